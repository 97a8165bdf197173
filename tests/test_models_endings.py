"""Answers that are none: which remedy each gets, and what the turn ends as where none helps."""

from __future__ import annotations

from typing import Any

import pytest

from glm_agent import Agent, Endings, ModelSettings, tool
from glm_agent.context import count_tokens, shorten
from glm_agent.errors import ContextOverflow, ModelConnectionError
from glm_agent.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Notice,
    Retrying,
    ToolCall,
    ToolResult,
    TurnStopped,
    Usage,
    UserMessage,
)
from glm_agent.models.endings import EndingsModel, remedy
from glm_agent.models.model import ModelEvent
from glm_agent.simulate import ScriptedModel

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


def response(
    text: str = "", *, finish: str = "stop", reasoning: str = "", tokens: int = 1, **more: Any
) -> ModelResponse:
    return ModelResponse(
        text=text, finish_reason=finish, reasoning=reasoning, usage=Usage(output_tokens=tokens), model="glm-5.3", **more
    )


THOUGHT = response(reasoning="Hm. 42.", finish="length", tokens=100)
MARKUP = "I look. <tool_call>nobody<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>"


@tool
def stock(sku: str) -> int:
    """Units in stock."""
    return 4


async def events(model: Any, request: ModelRequest | None = None) -> list[ModelEvent]:
    asked = request or ModelRequest(model="glm-5.3", messages=(UserMessage(text="Q"),))
    return [event async for event in model.stream(asked)]


@pytest.mark.parametrize(
    ("first", "output", "is_less"),
    [
        (THOUGHT, "42", True),
        (response(reasoning="Only this."), "42", True),
        (response("  \n"), "42", False),
        (response(finish="tool_calls"), "42", False),
    ],
)
async def test_an_empty_answer_is_asked_for_once_more(first: ModelResponse, output: str, is_less: bool) -> None:
    model = ScriptedModel([first, response("42", tokens=10)])
    result = await Agent(model).run("Q")
    assert (result.output, result.stop_reason) == (output, "end_turn")
    assert result.usage.output_tokens == first.usage.output_tokens + 10
    assert result.steps == 1
    assert (model.requests[1].settings.thinking is False) == is_less
    assert model.requests[1].messages == model.requests[0].messages


@pytest.mark.parametrize(
    ("lines", "stop_reason"),
    [
        ([response(), response()], "empty"),
        ([response(reasoning="a"), response(reasoning="b")], "empty"),
        ([THOUGHT, THOUGHT], "max_tokens"),
        ([response("half", finish="length")], "max_tokens"),
        ([response(), ModelConnectionError("gone")], "empty"),
    ],
)
async def test_what_no_remedy_helps_ends_the_turn_as_what_it_is(lines: list[Any], stop_reason: str) -> None:
    model = ScriptedModel(lines)
    assert (await Agent(model).run("Q")).stop_reason == stop_reason
    model.assert_done()


async def test_no_remedies_means_no_second_request() -> None:
    model = ScriptedModel([THOUGHT])
    result = await Agent(model, endings=Endings(asks_again=False)).run("Q")
    assert (result.stop_reason, len(model.requests)) == ("max_tokens", 1)


async def test_markup_that_nobody_can_read_is_asked_for_as_a_call() -> None:
    model = ScriptedModel([response(MARKUP), ToolCall(id="c", name="stock", arguments='{"sku": "A"}'), "4"])
    result = await Agent(model, tools=[stock]).run("Q")
    assert (result.output, result.stop_reason) == ("4", "end_turn")
    assert "Call the tool" in model.requests[1].messages[-1].text  # type: ignore[union-attr]
    # The bad answer is not part of the history.
    assert [type(m).__name__ for m in result.messages] == [
        "UserMessage",
        "ModelResponse",
        "ToolResult",
        "ModelResponse",
    ]


async def test_a_text_about_markup_is_an_answer() -> None:
    model = ScriptedModel([response("GLM writes <tool_call>name</tool_call> around its calls.")])
    assert (await Agent(model, tools=[stock]).run("Q")).stop_reason == "end_turn"


async def test_a_cut_answer_is_gone_on_with_where_that_is_wished() -> None:
    model = ScriptedModel([response("One, tw", finish="length", tokens=3), response("o, three.", tokens=4)])
    result = await Agent(model, endings=Endings(continues=True)).run("Count.")
    assert (result.output, result.stop_reason) == ("One, two, three.", "end_turn")
    assert result.usage.output_tokens == 7
    assert isinstance(model.requests[1].messages[-2], ModelResponse)


async def test_what_was_shown_of_the_void_answer_is_said_to_be_void() -> None:
    seen = await events(EndingsModel(ScriptedModel([THOUGHT, "42"])))
    kinds = [event.kind for event in seen]
    assert kinds.index("retrying") < kinds.index("text_delta")
    assert sum(isinstance(event, ModelResponse) for event in seen) == 1


@pytest.mark.parametrize(
    ("lines", "endings"),
    [
        ([THOUGHT, "42"], Endings()),
        ([ContextOverflow("too long"), "42"], Endings(compact=lambda messages: messages[:0])),
        ([response("One, tw", finish="length"), "o."], Endings(continues=True)),
    ],
    ids=["thought alone", "too long a history", "cut"],
)
async def test_why_it_is_asked_again_is_said_once(lines: list[Any], endings: Endings) -> None:
    seen = await events(EndingsModel(ScriptedModel(lines), endings=endings))
    assert sum(isinstance(event, Retrying | Notice) for event in seen) == 1


def history(steps: int) -> tuple[Message, ...]:
    said: list[Message] = [UserMessage(text="the task")]
    for at in range(steps):
        call = ToolCall(id=f"c{at}", name="stock", arguments="{}")
        said += [
            ModelResponse(tool_calls=(call,), finish_reason="tool_calls"),
            ToolResult(call_id=call.id, content="x" * 400),
        ]
    return tuple(said)


async def test_a_history_that_does_not_fit_is_sent_without_its_older_part_and_stays_short() -> None:
    full = history(10)
    model = ScriptedModel([ContextOverflow("too long"), "first", "second"])
    short = EndingsModel(model)
    seen = await events(short, ModelRequest(model="glm-5.3", messages=full))
    assert isinstance(seen[-1], ModelResponse)
    sent = model.requests[1].messages
    assert count_tokens(sent) < count_tokens(full) * 0.6
    assert UserMessage(text="the task") in sent
    assert sent[-1] == full[-1]
    longer = (*full, UserMessage(text="and now?"))
    await events(short, ModelRequest(model="glm-5.3", messages=longer))
    assert model.requests[2].messages == (*sent, longer[-1])


async def test_a_history_that_cannot_be_made_shorter_ends_as_context_overflow() -> None:
    model = ScriptedModel([ContextOverflow("too long")])
    assert (await Agent(model).run("Q")).stop_reason == "context_overflow"
    kept = ScriptedModel([ContextOverflow("too long")])
    with pytest.raises(ContextOverflow):
        await events(EndingsModel(kept, endings=Endings(compact=None)), ModelRequest(model="m", messages=history(9)))


@pytest.mark.parametrize(("used", "is_cut"), [(799_000, False), (801_000, True)])
async def test_a_nearly_full_window_is_made_room_in_before_the_server_refuses(used: int, is_cut: bool) -> None:
    last = ModelResponse(text="ok", usage=Usage(input_tokens=used))
    full = (*history(10), last, UserMessage(text="go on"))
    model = ScriptedModel(["fine"])
    await events(EndingsModel(model), ModelRequest(model="glm-5.3", messages=full))
    assert (len(model.requests[0].messages) < len(full)) == is_cut


def test_a_short_history_is_never_shortened() -> None:
    assert shorten(history(3), max_tokens=10_000) == history(3)


@pytest.mark.parametrize("most", [0, 50, 300, 700])
def test_a_shortened_history_keeps_calls_and_results_together(most: int) -> None:
    left = shorten(history(8), max_tokens=most)
    calls = [call.id for m in left if isinstance(m, ModelResponse) for call in m.tool_calls]
    assert calls == [m.call_id for m in left if isinstance(m, ToolResult)]
    assert calls[-1] == "c7"
    assert "earlier messages are left out" in left[0].text  # type: ignore[union-attr]


def test_what_needs_no_remedy_gets_none() -> None:
    asked = ModelRequest(model="m", messages=(UserMessage(text="Q"),))
    call = ToolCall(id="c", name="n", arguments="{}")
    for fine in (
        response("42"),
        response(tool_calls=(call,)),
        response(audio={"id": "a"}),
        response(finish="sensitive"),
    ):
        assert remedy(asked, fine, Endings()) is None


# -- tool_choice


async def test_no_tool_is_offered_under_none() -> None:
    model = ScriptedModel(["fine"])
    await Agent(model, tools=[stock], settings=ModelSettings(tool_choice="none")).run("Q")
    assert model.requests[0].tools == ()


@pytest.mark.parametrize("choice", ["required", "stock"])
async def test_a_call_that_is_owed_is_asked_for_again_with_nothing_else_on_offer(choice: str) -> None:
    @tool
    def other() -> int:
        """Another."""
        return 1

    model = ScriptedModel(
        [response("No need.", tokens=5), ToolCall(id="c", name="stock", arguments='{"sku": "A"}'), "4 left"]
    )
    agent = Agent(model, tools=[other, stock], settings=ModelSettings(tool_choice=choice))
    result = await agent.run("Q")
    assert (result.output, result.stop_reason) == ("4 left", "end_turn")
    assert result.usage.output_tokens == 5, "the answer that was not wanted was paid for too"
    assert [spec.name for spec in model.requests[0].tools] == ["other", "stock"]
    offered = ["stock"] if choice == "stock" else ["other", "stock"]
    assert [spec.name for spec in model.requests[1].tools] == offered
    # Once the call was made, nothing more is owed: the request is as without the setting.
    assert model.requests[2].messages == result.messages[:-1]


async def test_a_model_that_will_not_call_ends_the_turn_as_what_it_is() -> None:
    model = ScriptedModel(["No.", "No!"])
    result = await Agent(model, tools=[stock], settings=ModelSettings(tool_choice="required")).run("Q")
    assert (result.stop_reason, result.detail) == (
        "invalid_output",
        "the model did not call one of the tools, asked twice",
    )


async def test_a_choice_that_is_no_tool_is_refused() -> None:
    agent = Agent(ScriptedModel([]), tools=[stock], settings=ModelSettings(tool_choice="stonk"))
    with pytest.raises(Exception, match="'stonk', which is no tool that is offered: 'stock'"):
        await agent.run("Q")


async def test_a_budget_that_is_used_up_keeps_the_first_answer() -> None:
    model = ScriptedModel([response(reasoning="x"), TurnStopped(stop_reason="budget")])
    seen = await events(EndingsModel(model))
    assert seen[-1] == response(reasoning="x")
    assert any(isinstance(event, Retrying) for event in seen)
