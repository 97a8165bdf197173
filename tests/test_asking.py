"""Tools that ask the person: what is asked, what comes back, and what happens where nobody is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

import anyio
import pytest

from glm_agent import Agent, ConfigurationError, ToolCall, ToolContext, ToolError, ToolResult, tool
from glm_agent.registry import ToolRegistry
from glm_agent.registry.asking import Question
from glm_agent.registry.bound import Bound
from glm_agent.simulate import ScriptedModel
from glm_agent.testing import ToolTester


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Address:
    street: str
    since: date


@tool
async def asks(context: ToolContext) -> str:
    """Ask."""
    return repr(await context.ask("Go on?"))


@tool
def asks_from_a_thread(context: ToolContext) -> str:
    """Ask."""
    return repr(context.ask_sync("Which one?", answer=Literal["a", "b"]))


def context(answers: list[Any], asked: list[Question] | None = None) -> ToolContext:
    left = iter(answers)

    async def asker(question: Question) -> Any:
        if asked is not None:
            asked.append(question)
        return next(left)

    return ToolContext(call=ToolCall(id="1", name="t", arguments=""), asker=asker)


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        (bool, True, True),
        (str, "x", "x"),
        (int, 3, 3),
        (Literal["a", "b"], "b", "b"),
        (Colour, "blue", Colour.BLUE),
        (list[int], [1], [1]),
        (Address, {"street": "s", "since": "2026-01-31"}, Address("s", date(2026, 1, 31))),
        (bool, None, None),
    ],
)
@pytest.mark.anyio
async def test_the_answer_is_a_value_of_the_type_asked_for_and_none_when_declined(kind: Any, said: Any, value: Any):
    assert await context([said]).ask("?", answer=kind) == value


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (bool, {"type": "boolean"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (
            Address,
            {
                "type": "object",
                "properties": {"street": {"type": "string"}, "since": {"type": "string", "format": "date"}},
                "required": ["street", "since"],
            },
        ),
    ],
)
@pytest.mark.anyio
async def test_the_person_is_shown_what_is_wanted(kind: Any, schema: dict[str, Any]):
    asked: list[Question] = []
    await context([None], asked).ask("Which?", answer=kind)
    assert asked == [Question(text="Which?", schema=schema, tool="t", call_id="1")]


@pytest.mark.anyio
async def test_an_answer_that_does_not_fit_is_asked_for_again_with_the_reason_and_not_for_ever():
    asked: list[Question] = []
    assert await context(["x", 3], asked).ask("How many?", answer=int) == 3
    assert [bool(question.problem) for question in asked] == [False, True]
    with pytest.raises(ToolError, match=r"'How many\?' did not fit: Input should be a valid integer"):
        await context(["x"] * 3).ask("How many?", answer=int)


@pytest.mark.anyio
async def test_what_has_no_form_cannot_be_asked_for():
    with pytest.raises(ConfigurationError, match="cannot be asked for"):
        await context([1]).ask("?", answer=threading_lock_type())


def threading_lock_type() -> Any:
    import threading

    return threading.Thread


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("function", [asks, asks_from_a_thread])
@pytest.mark.anyio
async def test_where_nobody_is_every_question_is_declined(function: Any):
    model = ScriptedModel([ToolCall(id="1", name=function.spec.name, arguments="{}"), "done"])
    result = await Agent(model, tools=[function]).run("go")
    assert [m.content for m in result.messages if isinstance(m, ToolResult)] == ["None"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_an_agent_asks_the_person_for_its_tools():
    async def ask(question: Question) -> Any:
        return {"Go on?": True, "Which one?": "b"}[question.text]

    calls = [ToolCall(id=t.spec.name, name=t.spec.name, arguments="{}") for t in (asks, asks_from_a_thread)]
    result = await Agent(ScriptedModel([calls, "done"]), tools=[asks, asks_from_a_thread], ask=ask).run("go")
    assert [m.content for m in result.messages if isinstance(m, ToolResult)] == ["True", "'b'"]


def test_a_tester_answers_for_the_person():
    tester = ToolTester(asks, asks_from_a_thread, answers=[True, "a"])
    assert tester.call_sync("asks").content == "True"
    assert tester.call_sync("asks_from_a_thread").content == "'a'"
    assert tester.call_sync("asks").content == "None"
    assert [question.text for question in tester.asked] == ["Go on?", "Which one?", "Go on?"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_calls_time_stands_still_while_the_person_thinks():
    contexts: list[ToolContext] = []

    @tool(timeout_seconds=50)
    async def slow(context: ToolContext) -> str:
        """Ask."""
        contexts.append(context)
        said = await context.ask("?")
        return f"{said}, {deadline() - anyio.current_time() > 40}"

    def deadline() -> float:
        assert contexts[0].bound is not None
        return contexts[0].bound.scope.deadline

    async def asker(question: Question) -> bool:
        return deadline() == float("inf")

    call = ToolCall(id="1", name="slow", arguments="")
    result = await ToolRegistry([slow]).call(call, ToolContext(call=call, asker=asker))
    assert result.content == "True, True"


@pytest.mark.anyio
async def test_pauses_of_a_bound_overlap():
    bound = Bound(60)
    first, second = bound.paused(), bound.paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert bound.scope.deadline == float("inf")
    second.__exit__(None, None, None)
    assert 30 < bound.scope.deadline - anyio.current_time() <= 60


@pytest.mark.anyio
async def test_a_call_that_has_ended_asks_nobody_and_calls_nothing_any_more():
    ended = context([True])
    ended.cancelled.set()
    with pytest.raises(ToolError, match="the call of 't' has ended"):
        await ended.ask("?")
    with pytest.raises(ToolError, match="the call of 't' has ended"):
        await ended.call_tool("other")


def test_the_blocking_form_is_for_plain_functions_only():
    with pytest.raises(RuntimeError, match="await the form without _sync"):
        context([True]).ask_sync("?")
