"""The scripted model: what a test wrote down, as a stream."""

from contextlib import aclosing

import anyio
import pytest

from glm_agent.errors import RateLimited
from glm_agent.messages import (
    ModelRequest,
    ModelResponse,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallReady,
    TurnStopped,
    UserMessage,
)
from glm_agent.models.model import Model, ModelEvent
from glm_agent.simulate import ScriptedModel

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])]

ADD = ToolCall(id="call_1", name="add", arguments='{"a": 2, "b": 3}')
REQUEST = ModelRequest(model="glm-4.7", messages=(UserMessage(text="Hi"),))


async def heard(model: Model, request: ModelRequest = REQUEST) -> list[ModelEvent]:
    async with aclosing(model.stream(request)) as stream:
        return [event async for event in stream]


async def test_a_text_comes_as_deltas_and_a_response(anyio_backend: str) -> None:
    model = ScriptedModel(["Good morning."])
    assert await heard(model) == [
        TextDelta(text="Good"),
        TextDelta(text=" morning."),
        ModelResponse(text="Good morning.", model="glm-4.7"),
    ]
    assert model.requests == [REQUEST]


async def test_calls_are_ready_before_the_response_is(anyio_backend: str) -> None:
    second = ToolCall(id="call_2", name="list", arguments="")
    *deltas, ready, last_delta, also_ready, response = await heard(ScriptedModel([[ADD, second]]))
    fragments = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert "".join(delta.arguments for delta in fragments) == ADD.arguments
    assert {(delta.index, delta.id, delta.name) for delta in fragments} == {(0, "call_1", "add")}
    assert (ready, also_ready) == (ToolCallReady(call=ADD), ToolCallReady(call=second))
    assert last_delta == ToolCallDelta(index=1, id="call_2", name="list")
    assert response == ModelResponse(tool_calls=(ADD, second), finish_reason="tool_calls", model="glm-4.7")


async def test_a_whole_response_is_given_as_it_is(anyio_backend: str) -> None:
    response = ModelResponse(text="Hi", reasoning="Hm", tool_calls=(ADD,), finish_reason="length", id="x")
    events = await heard(ScriptedModel([response]))
    assert events[0] == ReasoningDelta(text="Hm")
    assert events[-1] is response


async def test_a_function_answers_the_request(anyio_backend: str) -> None:
    model = ScriptedModel([lambda request: f"You said {request.messages[-1].text}"])
    assert (await heard(model))[-1] == ModelResponse(text="You said Hi", model="glm-4.7")


async def test_errors_are_raised_also_in_the_middle(anyio_backend: str) -> None:
    limited = RateLimited("slow down", status_code=429, code="1302")
    model = ScriptedModel([limited, [TextDelta(text="Half"), limited]])
    with pytest.raises(RateLimited):
        await heard(model)
    async with aclosing(model.stream(REQUEST)) as stream:
        assert await anext(stream) == TextDelta(text="Half")
        with pytest.raises(RateLimited):
            await anext(stream)


async def test_events_are_passed_on_as_they_are(anyio_backend: str) -> None:
    events: list[ModelEvent] = [Retrying(attempt=2, wait_seconds=0, reason="busy"), ModelResponse(text="Hi")]
    stopped = TurnStopped(stop_reason="budget")
    model = ScriptedModel([events, stopped])
    assert await heard(model) == events
    assert await heard(model) == [stopped]


async def test_a_script_that_is_too_short_or_too_long_is_an_error(anyio_backend: str) -> None:
    model = ScriptedModel(["one", "two"])
    await heard(model)
    with pytest.raises(AssertionError, match="the script has 1 lines that nobody asked for: 'two'"):
        model.assert_done()
    await heard(model)
    model.assert_done()
    with pytest.raises(AssertionError, match="the script has 2 lines, and request 3 came; its last message: UserMess"):
        await heard(model)


async def test_it_can_be_cancelled_between_deltas(anyio_backend: str) -> None:
    model = ScriptedModel(["word " * 100])
    events: list[ModelEvent] = []
    with anyio.CancelScope() as scope:
        async with aclosing(model.stream(REQUEST)) as stream:
            async for event in stream:
                events.append(event)
                if len(events) == 3:
                    scope.cancel()
    assert len(events) == 3
