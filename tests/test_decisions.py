"""What a turn waits for, decided through the agent: at its resume, from elsewhere, or left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import Agent, ConfigurationError, ModelSettings, ToolCall, ToolResult, ToolSpec, tool
from glm_agent.agent.changes import changes
from glm_agent.driver import InlineSteps, heeding
from glm_agent.journal import Journal
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Decision,
    Event,
    OutcomeDecision,
    TurnStarted,
)
from glm_agent.simulate import ScriptedModel

CALL = ToolCall(id="call_1", name="pay", arguments='{"amount": 5}')
PAID: list[int] = []


class Died(BaseException):
    """Stands for the death of the process."""


@tool
def pay(amount: int) -> str:
    """Pay."""
    PAID.append(amount)
    if len(PAID) == 1:
        raise Died
    return f"paid {amount}, attempt {len(PAID)}"


def agent(path: Path, *said: Any, **more: Any) -> Agent:
    return Agent(ScriptedModel(said), tools=[pay], journal=path, session="bill", **more)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal whose session was left by a process that died within the call."""
    PAID.clear()
    with pytest.raises(Died):
        agent(tmp_path / "journal.db", CALL).run_sync("pay 5")
    return tmp_path / "journal.db"


def result_of(result: Any) -> ToolResult:
    return next(message for message in result.messages if isinstance(message, ToolResult))


STOPPING = {"permissions": {"unknown_outcome": "stop"}}


@pytest.mark.anyio
async def test_the_model_is_told_of_an_unknown_outcome_where_nobody_says_otherwise(journal: Path) -> None:
    result = await agent(journal, "I look").resume()
    assert (result.stop_reason, PAID) == ("end_turn", [5])
    assert result_of(result).content.startswith("unknown outcome")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("decision", "content", "paid"),
    [
        (OutcomeDecision(call_id="call_1", outcome="done", text="receipt 4711"), "receipt 4711", [5]),
        (OutcomeDecision(call_id="call_1", outcome="failed", text="no funds"), "failed: no funds", [5]),
        (OutcomeDecision(call_id="call_1", outcome="retry"), "paid 5, attempt 2", [5, 5]),
    ],
)
async def test_a_person_says_what_came_of_a_call(
    journal: Path, decision: OutcomeDecision, content: str, paid: list[int]
) -> None:
    stopped = await agent(journal, **STOPPING).resume()
    assert (stopped.stop_reason, "'pay' is not known (call_1)" in stopped.detail) == ("needs_decision", True)
    assert (await agent(journal, **STOPPING).resume()).stop_reason == "needs_decision"
    result = await agent(journal, "thanks", **STOPPING).resume(decisions=[decision])
    assert (result.output, result_of(result).content, PAID) == ("thanks", content, paid)
    with pytest.raises(ConfigurationError, match="no call 'call_1' waits for a decision; waiting: none"):
        await agent(journal, **STOPPING).resume(decisions=[decision])


@pytest.mark.anyio
async def test_what_was_decided_elsewhere_is_taken_at_the_resume_and_before_what_it_brings(journal: Path) -> None:
    await agent(journal, **STOPPING).resume()
    done = OutcomeDecision(call_id="call_1", outcome="done", text="by hand")
    with Journal(journal) as elsewhere:
        elsewhere.decide("bill", done)
    with pytest.raises(ConfigurationError, match="waiting: none"):
        await agent(journal, **STOPPING).resume(decisions=[done])
    result = await agent(journal, "thanks", **STOPPING).resume()
    assert (result.output, result_of(result).content) == ("thanks", "by hand")


@pytest.mark.anyio
async def test_a_decision_of_the_wrong_kind_or_made_twice_is_an_error_before_anything_happens(journal: Path) -> None:
    await agent(journal, **STOPPING).resume()
    yes = ApprovalDecision(call_id="call_1", is_approved=True)
    retry = OutcomeDecision(call_id="call_1", outcome="retry")
    for decisions, says in (
        ([yes], "waits for an OutcomeDecision"),
        ([retry, retry], "no call 'call_1' waits for a decision; waiting: none"),
        ([replace(retry, call_id="x")], r"no call 'x' waits for a decision; waiting: call_1 \(pay\)"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            await agent(journal, **STOPPING).resume(decisions=decisions)
    assert PAID == [5]


@pytest.mark.anyio
@pytest.mark.parametrize("is_asked", [False, True])
async def test_a_message_that_leaves_a_begun_call_says_that_it_may_have_happened(journal: Path, is_asked: bool) -> None:
    if is_asked:
        await agent(journal, **STOPPING).resume()
    result = await agent(journal, "so be it").run("never mind")
    assert result_of(result).content == (
        "no result: the turn was left and a new message came. The call had begun: it may or may not have taken effect"
    )
    assert PAID == [5]


@pytest.mark.anyio
async def test_a_message_that_leaves_a_call_which_never_ran_does_not_say_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await agent(path, CALL, permissions={"ask": ["pay"]}).run("pay 5")
    result = await agent(path, "so be it").run("never mind")
    assert result_of(result).content == "no result: the turn was left and a new message came"


# -- a run that waits, and a decision that comes from elsewhere


@pytest.mark.anyio
async def test_a_run_that_waits_for_its_person_hears_of_the_decision_of_another_process(tmp_path: Path) -> None:
    path, was_asked, was_withdrawn = tmp_path / "journal.db", anyio.Event(), list[bool]()
    PAID[:] = [0]

    async def approve(_: ApprovalRequested) -> ApprovalDecision | None:
        was_asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            was_withdrawn.append(True)

    async def decide() -> None:
        await was_asked.wait()
        with Journal(path) as elsewhere:
            elsewhere.decide("bill", ApprovalDecision(call_id="call_1", is_approved=True, arguments='{"amount": 7}'))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(decide)
            result = await agent(path, CALL, "done", permissions={"ask": ["pay"]}, approve=approve).run("pay 5")
    assert (result.output, PAID, was_withdrawn) == ("done", [0, 7], [True])


REQUEST = ApprovalRequested(call_id="a", name="pay", arguments="{}")


class Left(InlineSteps):
    """Steps with decisions that others left."""

    def __init__(self, *decisions: Decision) -> None:
        self.left = decisions

    def decisions(self) -> tuple[Decision, ...]:
        return self.left


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_persons_own_answer_counts_where_nobody_else_decided_on_this_call() -> None:
    others = Left(ApprovalDecision(call_id="b", is_approved=False), OutcomeDecision(call_id="a", outcome="failed"))
    said = ApprovalDecision(call_id="a", is_approved=True, reason="mine")

    async def answer(_: ApprovalRequested) -> ApprovalDecision | None:
        await anyio.lowlevel.checkpoint()
        return said

    async def nobody(_: ApprovalRequested) -> ApprovalDecision | None:
        return None

    async def fails(_: ApprovalRequested) -> ApprovalDecision | None:
        raise OSError("the terminal is gone")

    with anyio.fail_after(60):
        assert await heeding(answer, others)(REQUEST) == said
        assert await heeding(nobody, others)(REQUEST) is None
        with pytest.raises(OSError, match="the terminal is gone"):
            await heeding(fails, others)(REQUEST)


# -- what has changed


BEFORE = TurnStarted(
    model="glm-5.3",
    instructions="Be brief.",
    tools=(
        ToolSpec(name="pay", description="Pays.", parameters={}),
        ToolSpec(name="look", description="", parameters={}),
    ),
    settings=ModelSettings(temperature=0.5),
    version="0.1.0",
)


def with_tool(**changed: Any) -> TurnStarted:
    return replace(BEFORE, tools=(replace(BEFORE.tools[0], **changed), BEFORE.tools[1]))


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (replace(BEFORE, session="other", turn=3), []),
        (replace(BEFORE, tools=BEFORE.tools[::-1]), []),
        (replace(BEFORE, tools=BEFORE.tools[:1]), ["tools removed: look"]),
        (
            replace(BEFORE, tools=(*BEFORE.tools, ToolSpec(name="new", description="", parameters={}))),
            ["tools added: new"],
        ),
        (with_tool(effect="read"), ["effect of 'pay': write -> read"]),
        (with_tool(source="elsewhere"), []),
        (with_tool(description="Pays at once."), ["tools defined otherwise: pay"]),
        (
            with_tool(parameters={"type": "object"}, effect="read"),
            ["effect of 'pay': write -> read", "tools defined otherwise: pay"],
        ),
        (replace(BEFORE, instructions="Be long."), ["instructions changed"]),
        (replace(BEFORE, model="glm-4.7"), ["model: glm-5.3 -> glm-4.7"]),
        (replace(BEFORE, settings=ModelSettings()), ["temperature: 0.5 -> None"]),
        (replace(BEFORE, max_steps=3), ["max_steps: 20 -> 3"]),
        (replace(BEFORE, version="0.2.0"), ["glm-agent: 0.1.0 -> 0.2.0"]),
        (replace(BEFORE, version=""), []),
    ],
)
def test_what_changed_since_a_turn_began_is_said_in_a_phrase_each(now: TurnStarted, says: list[str]) -> None:
    assert changes(BEFORE, now) == says


starts = st.builds(
    TurnStarted,
    model=st.sampled_from("ab"),
    instructions=st.sampled_from("ab"),
    max_steps=st.integers(1, 2),
    settings=st.builds(ModelSettings, top_p=st.sampled_from([None, 0.5])),
    tools=st.lists(
        st.builds(
            ToolSpec,
            name=st.sampled_from("ab"),
            description=st.sampled_from("ab"),
            parameters=st.just({}),
            effect=st.sampled_from(["read", "write"]),
        ),
        max_size=2,
        unique_by=lambda spec: spec.name,
    ).map(lambda specs: tuple(sorted(specs, key=lambda spec: spec.name))),
)


@given(starts, starts)
def test_nothing_is_said_exactly_where_nothing_changed(before: TurnStarted, now: TurnStarted) -> None:
    assert (changes(before, now) == []) == (before == now)


@pytest.mark.anyio
async def test_a_resume_under_other_terms_works_and_says_what_changed(journal: Path) -> None:
    events: list[Event] = []
    changed = agent(journal, "fine", instructions="Be kind.", observers=[events.append])
    assert (await changed.resume()).output == "fine"
    notices = [event.text for event in events if event.kind == "notice"]
    assert notices == ["since the turn began: instructions changed"]
    events.clear()
    assert (await changed.resume()).output == "fine"  # it has its answer: nothing goes on
    assert events == []


def test_a_stored_turn_names_the_version_that_runs_it_and_another_one_does_not(journal: Path) -> None:
    with Journal(journal) as stored:
        assert stored.summary("bill").versions == (_version(),)
    started: list[Event] = []
    Agent(ScriptedModel(["hi"]), observers=[started.append]).run_sync("hello")
    assert next(event for event in started if isinstance(event, TurnStarted)).version == ""


def _version() -> str:
    import glm_agent

    return glm_agent.__version__
