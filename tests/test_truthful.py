"""What other frameworks get wrong with GLM, each over a real socket: the right outcome is the only success."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from glm_agent import Agent, ModelResponse, QuotaExhausted, ToolResult, TurnResult, tool
from glm_agent.messages import Event, ToolCall

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from hosts import ALONE, RepliesServer, call, choice

pytestmark = pytest.mark.anyio

ran: list[tuple[Any, ...]] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ran.clear()


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    ran.append((a, b))
    return a + b


@tool
def pay(amount: int) -> str:
    """Pays."""
    ran.append((amount,))
    return "paid"


@tool(read_only=True)
def fail(why: str) -> str:
    """Fails."""
    raise ValueError(f"because {why}")


def called(arguments: str, *, name: str = "add", id: str = "call_1") -> list[dict[str, Any]]:
    return [choice(call(arguments, id=id, name=name)), choice({}, "tool_calls"), ALONE]


def said(text: str, finish: str = "stop") -> list[dict[str, Any]]:
    return [choice({"role": "assistant", "content": text}), choice({}, finish), ALONE]


async def run(*replies: Any, events: list[Event] | None = None) -> tuple[TurnResult, list[dict[str, Any]]]:
    with RepliesServer(*replies) as server:
        agent = Agent("glm-4.6", api_key="k.s", base_url=server.base_url, tools=[add, pay, fail])
        result = await agent.run("Q", observers=[] if events is None else [events.append])
        return result, server.bodies


def results(result: TurnResult) -> list[ToolResult]:
    return [message for message in result.messages if isinstance(message, ToolResult)]


# -- defects of calls


@pytest.mark.parametrize(
    "arguments",
    ["{'a': 2, 'b': 3,}", '{"a": "2", "b": "3"}', '{"a": 2, "b": 3,}', '"{\\"a\\": 2, \\"b\\": 3}"'],
)
async def test_what_can_be_read_without_inventing_runs_at_once(arguments: str) -> None:
    result, bodies = await run(called(arguments), said("5"))
    assert (result.output, ran, len(bodies)) == ("5", [(2, 3)], 2)


@pytest.mark.parametrize("arguments", ['{"a": 2, "b": 3', '{"a": 2, "b', '{"a": 2} {"b": 3}', "", "add 2 and 3"])
async def test_what_is_cut_or_glued_is_told_to_the_model_and_never_guessed(arguments: str) -> None:
    result, bodies = await run(called(arguments), called('{"a": 2, "b": 3}'), said("5"))
    first = results(result)[0]
    assert set(ran) <= {(2, 3)}, "nothing that the model did not write"
    if first.is_error:
        assert '"a"' in first.content or "'a'" in first.content, "the schema, or an example of it"
    assert (result.output, result.stop_reason) == ("5", "end_turn")
    # What goes back is JSON: broken arguments in the history would fail every later request.
    for message in bodies[-1]["messages"]:
        for one in message.get("tool_calls", ()):
            assert isinstance(json.loads(one["function"]["arguments"]), dict)


@pytest.mark.parametrize("arguments", ['{"amount": 2', "{'amount': 2}", '{"amount": 2} {"amount": 3}'])
async def test_what_writes_never_runs_on_repaired_arguments(arguments: str) -> None:
    result, _ = await run(called(arguments, name="pay"), said("sorry"))
    assert ran == []
    assert results(result)[0].is_error


async def test_markup_in_the_tools_name_is_taken_apart() -> None:
    name = "add<arg_key>a</arg_key><arg_value>2</arg_value><arg_key>b</arg_key><arg_value>3</arg_value>"
    result, bodies = await run(called("", name=name), said("5"))
    assert (result.output, ran, len(bodies)) == ("5", [(2, 3)], 2)


async def test_a_call_left_as_markup_in_the_text_runs() -> None:
    pairs = "<arg_key>a</arg_key><arg_value>2</arg_value><arg_key>b</arg_key><arg_value>3</arg_value>"
    text = f"I add. <tool_call>add{pairs}</tool_call>"
    result, _ = await run(said(text), said("5"))
    assert (result.output, ran) == ("5", [(2, 3)])
    first = result.messages[1]
    assert isinstance(first, ModelResponse)
    assert first.text == "I add."


async def test_a_tool_that_raises_tells_the_model_why_and_the_run_goes_on() -> None:
    result, _ = await run(called('{"why": "of x"}', name="fail"), said("I see."))
    assert result.output == "I see."
    assert "because of x" in results(result)[0].content


async def test_an_unknown_tool_is_named_to_the_model() -> None:
    result, _ = await run(called("{}", name="ad"), said("ok"))
    assert result.stop_reason == "end_turn"
    assert "add" in results(result)[0].content


async def test_two_calls_with_one_id_both_run_and_both_have_their_result() -> None:
    two = [
        choice(
            {
                "tool_calls": [
                    {"id": "same", "index": at, "function": {"name": "add", "arguments": f'{{"a": {at}, "b": 1}}'}}
                ]
            }
        )
        for at in (0, 1)
    ]
    result, bodies = await run([*two, choice({}, "tool_calls"), ALONE], said("done"))
    assert sorted(ran) == [(0, 1), (1, 1)]
    assert [one.content for one in results(result)] == ["1", "2"]
    ids = [message["tool_call_id"] for message in bodies[1]["messages"] if message["role"] == "tool"]
    assert len(set(ids)) == 2


# -- the truthful end


@pytest.mark.parametrize(
    ("reply", "stop_reason", "sent"),
    [
        (said("Yes."), "end_turn", 1),
        (said("half of", "length"), "max_tokens", 1),
        (said("", "length"), "max_tokens", 2),
        (said("something un", "sensitive"), "refusal", 1),
        (said("", "model_context_window_exceeded"), "context_overflow", 1),
        (said(""), "empty", 2),
        ([choice({"reasoning_content": "Hm."}), choice({}, "stop"), ALONE], "empty", 2),
        (said("", "tool_calls"), "error", 2),
        (said("what", "a_new_word"), "error", 1),
        ((400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}), "context_overflow", 1),
        ((400, {"error": {"code": "1301", "message": "unsafe"}}), "refusal", 1),
    ],
)
async def test_only_an_answer_is_a_success(reply: Any, stop_reason: str, sent: int) -> None:
    result, bodies = await run(reply)
    assert (result.stop_reason, len(bodies)) == (stop_reason, sent)
    assert bool(result.detail) == (stop_reason != "end_turn")


async def test_an_answer_that_the_server_lost_is_asked_for_again() -> None:
    events: list[Event] = []
    result, bodies = await run(said("", "network_error"), said("Here."), events=events)
    assert (result.output, len(bodies)) == ("Here.", 2)
    assert "retrying" in [event.kind for event in events]
    assert bodies[0]["request_id"] != bodies[1]["request_id"]


@pytest.mark.parametrize("code", ["1113", "1308", "1309", "1310", "1311", "1313", "1316", "1321"])
async def test_no_balance_and_no_plan_are_asked_for_once(code: str) -> None:
    with RepliesServer((429, {"error": {"code": code, "message": "no"}})) as server:
        with pytest.raises(QuotaExhausted) as caught:
            await Agent("glm-4.6", api_key="k.s", base_url=server.base_url).run("Q")
        assert len(server.bodies) == 1
    assert caught.value.messages


async def test_the_same_call_for_ever_ends_with_the_steps() -> None:
    result, bodies = await run(called('{"a": 1, "b": 1}'))
    assert (result.stop_reason, len(bodies)) == ("max_steps", 21)
    assert "tools" not in bodies[-1]


async def test_thinking_goes_back_word_for_word() -> None:
    thought = "\nFirst, a tab\t and „quotes“."
    asked = [choice({"reasoning_content": thought}), *called('{"a": 2, "b": 3}')]
    _, bodies = await run(asked, said("5"))
    assert bodies[1]["messages"][1]["reasoning_content"] == thought
    assert bodies[1]["thinking"] == {"type": "enabled", "clear_thinking": False}


async def test_what_the_provider_ran_itself_is_shown_and_never_run_here() -> None:
    hosted = {
        "id": "m1",
        "type": "mcp",
        "mcp": {"type": "mcp_call", "server_label": "s", "name": "add", "arguments": "{}"},
    }
    found = {"title": "T", "link": "https://x.example", "refer": "ref_1"}
    last = {
        **choice({}, "stop"),
        "web_search": [found],
        "content_filter": [{"role": "user", "level": 3}],
        "new_field": 7,
    }
    events: list[Event] = []
    result, _ = await run(
        [choice({"tool_calls": [hosted]}), choice({"content": "T says so [ref_1]."}), last], events=events
    )
    assert (result.output, ran) == ("T says so [ref_1].", [])
    (answer,) = (event for event in events if isinstance(event, ModelResponse))
    assert answer.hosted_calls[0].data == hosted
    assert answer.web_search == (found,)
    assert answer.content_filter == ({"role": "user", "level": 3},)
    assert answer.extra["new_field"] == 7
    assert not any(isinstance(event, ToolCall) for event in events)
