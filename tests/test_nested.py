"""Calls that tools make: permissions, budget, events and journal hold for them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glm_agent import Policy, ToolCall, ToolContext, ToolResult, TurnResult, tool
from glm_agent.driver import Driver, InlineSteps, Intent, NestedCall, NestingTools, Record, Slot
from glm_agent.journal import Journal
from glm_agent.messages import ApprovalDecision, ApprovalRequested, Event, OutcomeDecision, TurnStarted, UserMessage
from glm_agent.registry import ToolRegistry, Tools
from glm_agent.registry.budgeted import BudgetedTools
from glm_agent.registry.permitted import PermittedTools
from glm_agent.simulate import ScriptedModel
from glm_agent.turn import Turn, rebuild


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


PRICES = {"A": 3, "B": 4}
SOLD: list[str] = []


@tool(read_only=True)
def price(sku: str) -> int:
    """Price of an article."""
    return PRICES[sku]


@tool
def sell(sku: str) -> str:
    """Sell one."""
    SOLD.append(sku)
    return f"sold {sku}"


@tool(read_only=True, untrusted=True, max_output_tokens=50)
def page() -> str:
    """A long page of strangers."""
    return "x" * 5_000


@tool
async def program(lines: list[tuple[str, dict[str, Any]]], context: ToolContext) -> list[str]:
    """Call others."""
    return [(await context.call_tool(name, **arguments)).content for name, arguments in lines]


@tool(idempotent=True)
async def again(lines: list[tuple[str, dict[str, Any]]], context: ToolContext) -> list[str]:
    """Call others; may be run again."""
    return [(await context.call_tool(name, **arguments)).content for name, arguments in lines]


@tool
def plain(context: ToolContext) -> int:
    """Call another one from a thread."""
    return int(context.call_tool_sync("price", sku="A").content)


class Kept(InlineSteps):
    """Steps that remember what was kept."""

    holder = "here"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def reserve(self) -> Slot:
        kept = self.records

        class One:
            async def run(self, answer: Any) -> Record:
                kept.append(await answer())
                return kept[-1]

        return One()


async def run(
    call: ToolCall, *, policy: Policy | None = None, steps: InlineSteps | None = None, **more: Any
) -> tuple[TurnResult, list[Event]]:
    events: list[Event] = []
    tools: Tools = PermittedTools(ToolRegistry([price, sell, page, program, plain]), policy or Policy())
    if (limit := more.pop("max_calls", None)) is not None:
        tools = BudgetedTools(tools, max_calls=limit)
    steps = steps or InlineSteps()
    tools = NestingTools(tools, steps=steps, approve=more.get("approve"))
    started = TurnStarted(model="m", session="s", tools=await tools.specs())
    model = ScriptedModel([call, "done"])
    driver = Driver(
        turn=Turn(started=started), model=model, tools=tools, steps=steps, observers=[events.append], **more
    )
    return await driver.run(started, UserMessage(text="go")), events


def asking(*lines: tuple[str, dict[str, Any]]) -> ToolCall:
    import json

    return ToolCall(id="c", name="program", arguments=json.dumps({"lines": lines}))


def result_of(result: TurnResult) -> ToolResult:
    (found,) = [message for message in result.messages if isinstance(message, ToolResult)]
    return found


@pytest.mark.anyio
async def test_a_tool_calls_others_and_the_conversation_holds_only_its_result():
    result, events = await run(asking(("price", {"sku": "A"}), ("price", {"sku": "B"}), ("price", {"sku": "C"})))
    assert result_of(result).content == '["3","4","KeyError: \'C\'"]'
    assert [e.call.id for e in events if e.kind == "tool_started"] == ["c", "c.1", "c.2", "c.3"]
    assert [e.result.call_id for e in events if e.kind == "tool_finished"] == ["c.1", "c.2", "c.3", "c"]


@pytest.mark.anyio
async def test_a_plain_function_calls_others_from_its_thread():
    result, _ = await run(ToolCall(id="c", name="plain", arguments="{}"))
    assert result_of(result).content == "3"


@pytest.mark.anyio
async def test_a_rule_holds_for_nested_calls():
    SOLD.clear()
    denied, _ = await run(asking(("sell", {"sku": "A"})), policy=Policy(deny=("sell",)))
    assert "denied: the policy does not allow 'sell'" in result_of(denied).content
    asked, _ = await run(asking(("sell", {"sku": "A"})), policy=Policy(ask=("sell",)))
    assert "a person's approval, which a program cannot: call it directly" in result_of(asked).content
    assert SOLD == []


@pytest.mark.parametrize(
    ("decision", "said", "sold"),
    [
        ({"is_approved": True}, "sold A", ["A"]),
        ({"is_approved": True, "arguments": '{"sku": "B"}'}, "sold B", ["B"]),
        ({"is_approved": False, "reason": "too cheap"}, "denied: too cheap", []),
    ],
)
@pytest.mark.anyio
async def test_a_person_decides_on_a_nested_call_while_the_program_waits(
    decision: dict[str, Any], said: str, sold: Sequence[str]
):
    SOLD.clear()

    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        return ApprovalDecision(call_id=request.call_id, **decision)

    result, _ = await run(asking(("sell", {"sku": "A"})), policy=Policy(ask=("sell",)), approve=approve)
    assert said in result_of(result).content
    assert sold == SOLD


@pytest.mark.anyio
async def test_the_budget_of_calls_counts_nested_ones_and_ends_the_turn():
    result, _ = await run(asking(*[("price", {"sku": "A"})] * 5), max_calls=3)
    assert (result.stop_reason, result.detail) == ("budget", "the budget of 3 tool calls is used up")


@pytest.mark.anyio
async def test_nested_calls_are_kept_beside_the_facts_with_an_intent_before_each_write():
    steps = Kept()
    await run(asking(("price", {"sku": "A"}), ("sell", {"sku": "A"})), steps=steps)
    outer, read, intent, write = [r for r in steps.records if isinstance(r, Intent | NestedCall)]
    assert isinstance(outer, Intent)
    assert isinstance(intent, Intent)
    assert isinstance(read, NestedCall)
    assert isinstance(write, NestedCall)
    assert (read.parent_key, write.parent_key, write.key) == (outer.key, outer.key, intent.key)
    assert (write.call.name, write.result.content) == ("sell", "sold A")
    assert len({outer.key, read.key, write.key}) == 3


@pytest.mark.anyio
async def test_a_journal_keeps_nested_calls_and_still_folds_to_the_same_turn(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as journal:
        with journal.open("one") as session:
            await run(asking(("sell", {"sku": "A"})), steps=session)  # type: ignore[arg-type]
            facts = session.facts
        kinds = [line.record.kind for line in journal.records("one")]
        assert kinds.count("nested_call") == 1
        assert journal.facts("one") == facts
        lines = list(journal.export("one"))
        journal.import_(lines, session_id="two")
        assert [r.record for r in journal.records("two")][1:] == [r.record for r in journal.records("one")][1:]


@pytest.mark.anyio
async def test_a_program_gets_the_whole_of_a_long_result_and_is_as_untrusted_as_it():
    result, _ = await run(asking(("page", {})))
    assert len(result_of(result).content) > 5_000
    assert result_of(result).is_untrusted


@pytest.mark.anyio
async def test_nested_calls_do_not_nest():
    result, _ = await run(asking(("program", {"lines": [["price", {"sku": "A"}]]})))
    assert "'price' cannot be called from here" in result_of(result).content


@pytest.mark.anyio
async def test_a_call_without_a_run_has_nobody_to_call():
    call = asking(("price", {"sku": "A"}))
    result = await ToolRegistry([program, price]).call(call, ToolContext(call=call))
    assert result.content == "'price' cannot be called from here: no agent runs this call"


async def resumed(
    call: ToolCall, path: Path, *, policy: Policy | None = None, facts: tuple[Any, ...] = ()
) -> TurnResult:
    """One life of a process that runs ``call`` in session s of a journal, the tools being those above."""
    with Journal(path) as journal, journal.open("s") as session:
        tools: Tools = PermittedTools(ToolRegistry([price, sell, again, die, dies_selling]), policy or Policy())
        tools = NestingTools(tools, steps=session)
        started = TurnStarted(model="m", session="s", tools=await tools.specs())
        begun = (started, *facts) if session.facts else (started, UserMessage(text="go"))
        turn = rebuild(session.facts) if session.facts else Turn(started=started)
        responses = [call, "done"][sum(fact.kind == "model_response" for fact in session.facts) :]
        return await Driver(turn=turn, model=ScriptedModel(responses), tools=tools, steps=session).run(*begun)


class Died(BaseException):
    """Stands for the death of the process."""


DYING = [False]


@tool(read_only=True)
def die() -> str:
    """Where the process ends."""
    if DYING[0]:
        raise Died
    return "alive"


@tool
def dies_selling(sku: str) -> str:
    """Sell one, and end before anybody knows."""
    SOLD.append(sku)
    if DYING[0]:
        raise Died
    return "sold"


async def died(call: ToolCall, path: Path) -> None:
    SOLD.clear()
    DYING[0] = True
    with pytest.raises(Died):
        await resumed(call, path)
    DYING[0] = False


def programmed(*lines: tuple[str, dict[str, Any]], tool_name: str = "again") -> ToolCall:
    return replace(asking(*lines), name=tool_name)


@pytest.mark.anyio
async def test_a_nested_write_that_had_finished_does_not_run_again_when_its_program_does(tmp_path: Path):
    call = programmed(("sell", {"sku": "A"}), ("price", {"sku": "A"}), ("die", {}))
    await died(call, tmp_path / "j.db")
    PRICES["A"] = 9
    result = await resumed(call, tmp_path / "j.db")
    PRICES["A"] = 3
    assert result_of(result).content == '["sold A","3","alive"]'
    assert SOLD == ["A"]


@pytest.mark.anyio
async def test_a_nested_write_that_was_begun_is_unknown_and_does_not_run_again(tmp_path: Path):
    call = programmed(("dies_selling", {"sku": "A"}))
    await died(call, tmp_path / "j.db")
    result = await resumed(call, tmp_path / "j.db")
    assert "unknown outcome" in result_of(result).content
    assert SOLD == ["A"]


@pytest.mark.anyio
async def test_a_nested_write_of_unknown_outcome_stops_the_turn_where_the_policy_says_so(tmp_path: Path):
    call, path, policy = (
        programmed(("sell", {"sku": "B"}), ("dies_selling", {"sku": "A"})),
        tmp_path / "j.db",
        Policy(unknown_outcome="stop"),
    )
    await died(call, path)
    result = await resumed(call, path, policy=policy)
    assert result.stop_reason == "needs_decision"
    assert "'again' is not known (c): within it, 'dies_selling' was called: an earlier process began" in result.detail
    retry = OutcomeDecision(call_id="c", outcome="retry")
    assert result_of(await resumed(call, path, policy=policy, facts=(retry,))).content == '["sold B","sold"]'
    assert SOLD == ["B", "A", "A"]  # A as often as the person let it run, B once
