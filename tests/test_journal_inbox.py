"""The inbox: what a person decides from another process is taken once, by whoever holds the session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import Journal
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Decision,
    Fact,
    ModelResponse,
    OutcomeDecision,
    OutcomeUnknown,
    ToolCall,
    ToolResult,
    TurnStarted,
    TurnStopped,
    UserMessage,
)

PAY, PUSH = (ToolCall(id=id, name=name, arguments="{}") for id, name in (("a", "pay"), ("b", "push")))
ASKING = ModelResponse(tool_calls=(PAY, PUSH), finish_reason="tool_calls")
BEGINNING: tuple[Fact, ...] = (TurnStarted(model="m", session="s"), UserMessage(text="go"), ASKING)
UNKNOWN = OutcomeUnknown(call_id="a", name="pay", arguments="{}")
ASKED = ApprovalRequested(call_id="b", name="push", arguments="{}")
STOPPED = TurnStopped(stop_reason="needs_approval")


def yes(call_id: str = "b", **more: str) -> ApprovalDecision:
    return ApprovalDecision(call_id=call_id, is_approved=True, **more)


def done(call_id: str = "a") -> OutcomeDecision:
    return OutcomeDecision(call_id=call_id, outcome="done", text="paid")


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


def write(journal: Journal, *facts: Fact) -> None:
    with journal.open("s") as session:
        for fact in facts:
            session.keep(fact)


@pytest.fixture
def waiting(journal: Journal) -> Journal:
    write(journal, *BEGINNING, UNKNOWN, ASKED, STOPPED)
    return journal


def test_what_waits_is_said_until_it_is_decided(waiting: Journal) -> None:
    assert waiting.waiting("s") == [UNKNOWN, ASKED]
    assert waiting.summary("s").waiting == 2
    waiting.decide("s", yes())
    assert waiting.waiting("s") == [UNKNOWN]


def test_a_decision_is_taken_by_the_next_holder_once(waiting: Journal) -> None:
    waiting.decide("s", yes(reason="ok"))
    waiting.decide("s", done())
    with waiting.open("s") as session:
        assert set(session.decisions()) == {done(), yes(reason="ok")}
        for decision in session.decisions():
            assert session.keep(decision) == decision
        assert session.decisions() == ()
        assert session.facts[-2:] == waiting.facts("s")[-2:]
    with waiting.open("s") as session:
        assert session.decisions() == ()


def test_a_session_that_is_open_elsewhere_hears_of_a_decision(waiting: Journal) -> None:
    with waiting.open("s") as session, Journal(waiting.path) as other:
        assert session.decisions() == ()
        other.decide("s", yes())
        assert session.decisions() == (yes(),)


def test_the_first_decision_on_a_call_holds_wherever_it_comes_from(waiting: Journal) -> None:
    no = ApprovalDecision(call_id="b", is_approved=False)
    waiting.decide("s", no)
    with pytest.raises(ConfigurationError, match="call 'b' of session 's' was decided already"):
        waiting.decide("s", yes())
    with waiting.open("s") as session:
        assert session.keep(yes()) == no  # said on the terminal a moment later
    assert waiting.facts("s")[-1] == no
    with pytest.raises(ConfigurationError, match="no call 'b' of session 's' waits"):
        waiting.decide("s", yes())


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (yes("c"), r"no call 'c' of session 's' waits.*waiting: a \(pay, unknown outcome\), b \(push, approval\)"),
        (yes("a"), r"'a' .*was begun.*sessions decide s a --done"),
        (done("b"), r"'b' .*waits for approval, and never ran.*sessions approve s b"),
    ],
)
def test_a_decision_that_answers_nothing_says_what_waits(waiting: Journal, decision: Decision, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        waiting.decide("s", decision)
    assert waiting.waiting("s") == [UNKNOWN, ASKED]


def test_nothing_can_be_decided_where_nothing_waits(journal: Journal) -> None:
    with pytest.raises(JournalError, match="no session 's'"):
        journal.decide("s", yes())
    write(journal, *BEGINNING)
    with pytest.raises(ConfigurationError, match="waiting: none"):
        journal.decide("s", yes())


def test_a_decision_answers_the_call_it_was_made_on_and_no_later_one_of_the_same_id(waiting: Journal) -> None:
    waiting.decide("s", yes())
    # The turn goes on without it: another process closed the calls, and the provider uses the ids again.
    results = (ToolResult(call_id="a", name="pay"), ToolResult(call_id="b", name="push"))
    write(waiting, TurnStarted(model="m", session="s"), *results, ASKING, ASKED)
    with waiting.open("s") as session:
        assert session.decisions() == ()
        assert session.keep(yes(reason="again")) == yes(reason="again")


def test_a_deleted_session_leaves_nothing_in_the_inbox(waiting: Journal) -> None:
    waiting.decide("s", yes())
    waiting.delete("s")
    write(waiting, *BEGINNING, UNKNOWN, ASKED)
    assert waiting.waiting("s") == [UNKNOWN, ASKED]


DECIDING = """
import sys
from glm_agent.errors import ConfigurationError
from glm_agent.journal import Journal
from glm_agent.messages import ApprovalDecision
try:
    Journal(sys.argv[1]).decide("s", ApprovalDecision(call_id="b", is_approved=True, reason=sys.argv[2]))
    print("mine")
except ConfigurationError:
    print("late")
"""


def test_of_many_processes_that_decide_at_once_one_is_heard(waiting: Journal) -> None:
    command = [sys.executable, "-c", DECIDING, str(waiting.path)]
    children = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(4)]
    said = [child.communicate(timeout=60)[0].strip() for child in children]
    assert sorted(said) == ["late", "late", "late", "mine"]
    with waiting.open("s") as session:
        assert session.decisions() == (yes(reason=str(said.index("mine"))),)
