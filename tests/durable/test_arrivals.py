"""Sessions that come from elsewhere are there to their end, or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from glm_agent import Agent
from glm_agent.agent import stores
from glm_agent.durable import engine as engines
from glm_agent.durable import sessions_in
from glm_agent.durable.keeping import Step
from glm_agent.durable.session import DatabaseSession
from glm_agent.errors import JournalError
from glm_agent.journal import Journal
from glm_agent.journal.moving import move
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    ModelResponse,
    ToolCall,
    TurnStarted,
    TurnStopped,
    UserMessage,
)
from glm_agent.simulate import ScriptedModel

WAITING = (
    TurnStarted(turn=1, session="s", model="m"),
    UserMessage(text="pay"),
    ModelResponse(tool_calls=(ToolCall(id="c", name="pay", arguments="{}"),), finish_reason="tool_calls"),
    ApprovalRequested(call_id="c", name="pay", arguments="{}"),
    TurnStopped(stop_reason="needs_approval", detail="c"),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "journal.db")
    with journal.open("s") as session:
        for fact in WAITING:
            session.keep(fact)
    results = journal.results_of("s")
    results.mkdir(parents=True)
    (results / "r0123456789ab").write_text("long")
    return journal


def breaks_after(records: int, monkeypatch: pytest.MonkeyPatch, *, kills: bool) -> None:
    write, left = DatabaseSession._write, iter(range(records))

    def broken(session: DatabaseSession, steps: Sequence[Step]) -> None:
        if next(left, None) is None:
            if kills:
                os.kill(os.getpid(), signal.SIGKILL)
            raise JournalError("the disk is full")
        write(session, steps)

    monkeypatch.setattr("glm_agent.durable.session._AT_ONCE", 1)
    monkeypatch.setattr(DatabaseSession, "_write", broken)


@pytest.mark.parametrize("records", [0, 3, 4])
def test_of_an_import_that_fails_nothing_is_left(
    sqlite_url: str, journal: Journal, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions_in(sqlite_url) as store:
        with monkeypatch.context() as patch:
            breaks_after(records, patch, kills=False)
            with pytest.raises(JournalError, match="the disk is full"):
                store.import_(journal.export("s"))
        assert store.sessions() == []
        assert not store.results_of("s").exists()
        store.import_(journal.export("s"))
        assert store.facts("s") == WAITING


@pytest.mark.parametrize("records", [0, 3])
def test_a_session_that_came_in_part_is_not_gone_on_with_and_a_second_move_replaces_it(
    sqlite_url: str, journal: Journal, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = os.fork()
    if not process:
        breaks_after(records, monkeypatch, kills=True)
        with sessions_in(sqlite_url) as store:
            store.import_(journal.export("s"))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    with sessions_in(sqlite_url) as store:
        with pytest.raises(JournalError, match=r"in part only.*import or move it once more, or delete it"):
            store.open("s")
        move("s", source=journal, target=store)
        assert store.facts("s") == WAITING
        assert store.open("s").close() is None
    assert journal.sessions() == []


def test_a_decision_that_nobody_took_yet_moves_along(sqlite_url: str, journal: Journal) -> None:
    decision = ApprovalDecision(call_id="c", is_approved=True)
    journal.decide("s", decision)
    with sessions_in(sqlite_url) as store:
        move("s", source=journal, target=store)
        assert list(store.left("s")) == [decision]
        assert store.waiting("s") == []
        move("s", source=store, target=journal)
    assert list(journal.left("s")) == [decision]
    assert journal.results_of("s").exists()


def test_a_move_that_was_cut_off_after_the_copy_is_finished_by_the_next(sqlite_url: str, journal: Journal) -> None:
    journal.decide("s", ApprovalDecision(call_id="c", is_approved=True))
    with sessions_in(sqlite_url) as store:
        store.import_(journal.export("s"), takes_setup=True)
        move("s", source=journal, target=store)
        assert store.facts("s") == WAITING
        assert store.waiting("s") == []
    assert journal.sessions() == []


def test_another_session_of_the_same_id_is_left_alone(sqlite_url: str, journal: Journal) -> None:
    with sessions_in(sqlite_url) as store:
        with store.open("s") as session:
            session.keep(UserMessage(text="somebody else's"))
        with pytest.raises(JournalError, match="has another session 's': delete one of the two"):
            move("s", source=journal, target=store)
        assert len(store.facts("s")) == 1
    assert journal.facts("s") == WAITING


def test_an_open_session_stays(sqlite_url: str, journal: Journal) -> None:
    with sessions_in(sqlite_url) as store, journal.open("s"):
        with pytest.raises(JournalError, match="is open"):
            move("s", source=journal, target=store)
        assert store.sessions() == []


def test_a_session_that_is_not_there_is_not_made_by_its_resume(sqlite_url: str, tmp_path: Path) -> None:
    for place in (sqlite_url, str(tmp_path / "none.db")):
        with pytest.raises(JournalError, match="there is no session 'nope'"):
            anyio.run(Agent(ScriptedModel([]), journal=place).resume, "nope")
        with stores.sessions(place) as store:
            assert store.sessions() == []


def test_results_that_cannot_be_written_leave_no_session(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results").write_text("no folder")
    with Journal(tmp_path / "other" / "journal.db") as other:
        with pytest.raises(JournalError, match=r"long results cannot be kept in '.*results/s'"):
            other.import_(journal.export("s"))
        assert other.sessions() == []
    engines.close()
