"""Commands on sessions are killed at every step: what is stored is whole, and the same command ends what was begun."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from glm_agent.durable import engine as engines
from glm_agent.durable import sessions_in
from glm_agent.journal import Journal
from glm_agent.journal.moving import move
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
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

from .conftest import Cli

CALLS = tuple(ToolCall(id=id, name="note", arguments="{}") for id in "ab")
SAID: tuple[Fact, ...] = (
    TurnStarted(turn=1, session="s", model="m"),
    UserMessage(text="pay"),
    ModelResponse(tool_calls=CALLS, finish_reason="tool_calls"),
    ToolResult(call_id="a", name="note", content="…(id='r0123456789ab', from_line=…)"),
)
FOR_APPROVAL: tuple[Fact, ...] = (
    *SAID,
    ApprovalRequested(call_id="b", name="note", arguments="{}"),
    TurnStopped(stop_reason="needs_approval", detail="b"),
)
FOR_A_WORD: tuple[Fact, ...] = (
    *SAID,
    OutcomeUnknown(call_id="b", name="note", arguments="{}", reason="its process died"),
    TurnStopped(stop_reason="needs_decision", detail="b"),
)
LONG = "long\n" * 100

STRIDE = int(os.environ.get("GLM_AGENT_TEST_STRIDE", "11"))
"""Every step is tried by ``make chaos``, one in so many here."""


def journal_in(folder: Path) -> Journal:
    return Journal(folder / ".glm-agent" / "journal.db")


def store(journal: Journal, id: str, facts: tuple[Fact, ...]) -> None:
    with journal.open(id) as session:
        for fact in facts:
            session.keep(fact)
    journal.results_of(id).mkdir(parents=True)
    (journal.results_of(id) / "r0123456789ab").write_text(LONG)


def killed_everywhere(cli: Cli, *command: str, stride: int = STRIDE) -> Iterator[Cli]:
    """A copy of the folder for the steps of the command, in which it was killed there."""
    for number in count(1 if STRIDE == 1 else 2, stride):
        folder = cli.folder.with_name(f"{cli.folder.name}-{number}")
        shutil.copytree(cli.folder, folder)
        here = Cli(folder, cli.environ, cli.nursery)
        done = here(*command, DIES_AT=str(number))
        if done.returncode == 0:
            assert number > 1
            return
        assert done.returncode == -signal.SIGKILL, done.stderr
        for path in folder.rglob("*.db"):
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        yield here


def is_whole(sessions: Any, id: str, facts: tuple[Fact, ...]) -> bool:
    """Whether it is there; what is there is there to its end."""
    if not sessions.has(id):
        return False
    assert [fact for fact in sessions.facts(id) if fact.kind != "turn_started"] == [*facts[1:]]
    assert sessions.missing_results(id) == []
    assert (sessions.results_of(id) / "r0123456789ab").read_text() == LONG
    return True


@pytest.mark.parametrize(
    ("command", "facts", "decision"),
    [
        (["approve", "s"], FOR_APPROVAL, ApprovalDecision(call_id="b", is_approved=True)),
        (["deny", "s", "--reason", "no"], FOR_APPROVAL, ApprovalDecision(call_id="b", is_approved=False, reason="no")),
        (["decide", "s", "b", "--failed"], FOR_A_WORD, OutcomeDecision(call_id="b", outcome="failed")),
    ],
)
def test_a_decision_is_there_or_not_and_can_be_given_again(
    cli: Cli, command: list[str], facts: tuple[Fact, ...], decision: Any
):
    with journal_in(cli.folder) as journal:
        store(journal, "s", facts)
    for here in killed_everywhere(cli, "sessions", *command):
        with journal_in(here.folder) as journal:
            assert is_whole(journal, "s", facts)
            was_there = list(journal.left("s")) == [decision]
            assert was_there or (list(journal.left("s")) == [] and journal.waiting("s"))
        again = here("sessions", *command)
        assert (again.returncode == 0) != was_there, again.stderr
        with journal_in(here.folder) as journal:
            assert (list(journal.left("s")), journal.waiting("s")) == ([decision], [])


def test_an_import_is_there_to_its_end_or_not_at_all(cli: Cli):
    with journal_in(cli.folder) as journal:
        store(journal, "s", FOR_APPROVAL)
        (cli.folder / "s.jsonl").write_text("".join(f"{line}\n" for line in journal.export("s")))
    for here in killed_everywhere(cli, "sessions", "import", "s.jsonl", "--id", "copy"):
        with journal_in(here.folder) as journal:
            was_there = is_whole(journal, "copy", FOR_APPROVAL)
        again = here("sessions", "import", "s.jsonl", "--id", "copy")
        assert ("exists already" in again.stderr) == was_there
        with journal_in(here.folder) as journal:
            assert is_whole(journal, "copy", FOR_APPROVAL)
            assert is_whole(journal, "s", FOR_APPROVAL)


def test_an_export_changes_nothing_and_can_be_made_again(cli: Cli):
    with journal_in(cli.folder) as journal:
        store(journal, "s", FOR_APPROVAL)
    whole = cli("sessions", "export", "s").stdout
    for here in killed_everywhere(cli, "sessions", "export", "s"):
        assert here("sessions", "export", "s").stdout == whole


@pytest.mark.parametrize("command", [["delete", "old-1"], ["prune", "--older-than", "30d"]])
def test_what_is_deleted_is_whole_or_gone_and_goes_the_next_time(cli: Cli, command: list[str]):
    with journal_in(cli.folder) as journal:
        for id in ("old-1", "old-2", "new"):
            store(journal, id, FOR_APPROVAL)
        journal.decide("old-1", ApprovalDecision(call_id="b", is_approved=True))
    with closing(sqlite3.connect(cli.folder / ".glm-agent" / "journal.db")) as connection, connection:
        old = "SELECT number FROM sessions WHERE id LIKE 'old-%'"
        connection.execute(f"UPDATE records SET at = 1 WHERE session IN ({old})")
        connection.execute("UPDATE sessions SET summarised = 0")
    for here in killed_everywhere(cli, "sessions", *command):
        with journal_in(here.folder) as journal:
            left = [id for id in ("old-1", "old-2") if journal.has(id)]
            for id in left:
                assert is_whole(journal, id, FOR_APPROVAL)
            assert is_whole(journal, "new", FOR_APPROVAL)
        again = here("sessions", *command)
        assert again.returncode == 0 or "there is no session 'old-1'" in again.stderr, again.stderr
        with journal_in(here.folder) as journal:
            gone = ["old-1"] if command[0] == "delete" else ["old-1", "old-2"]
            assert not any(journal.has(id) for id in gone)
            assert [each for each in gone if journal.results_of(each).exists()] == []
            assert is_whole(journal, "new", FOR_APPROVAL)


Place = Callable[[Path], Any]
JOURNAL: Place = journal_in
OTHER: Place = lambda folder: Journal(folder / "other" / "journal.db")  # noqa: E731
DATABASE: Place = lambda folder: sessions_in(f"sqlite:///{folder}/runs.db")  # noqa: E731


@pytest.mark.parametrize(
    ("where", "to", "places"),
    [
        ("", "other/journal.db", (JOURNAL, OTHER)),
        ("", "sqlite:///runs.db", (JOURNAL, DATABASE)),
        ("sqlite:///runs.db", "other/journal.db", (DATABASE, OTHER)),
    ],
    ids=["journal to journal", "journal to database", "database to journal"],
)
def test_a_move_leaves_the_session_whole_in_one_place_and_is_ended_by_the_same_move(
    cli: Cli, where: str, to: str, places: tuple[Place, Place]
):
    decision = ApprovalDecision(call_id="b", is_approved=True)
    with journal_in(cli.folder) as journal:
        store(journal, "s", FOR_APPROVAL)
        journal.decide("s", decision)
        store(journal, "other", FOR_APPROVAL)
    with DATABASE(cli.folder) as database:
        move("other", source=journal, target=database)  # so that its tables are there
        if where:
            move("s", source=journal, target=database)
    engines.close()
    given = ("--database", where) if where else ()
    # An engine starts for every move into a database, and writes a lot.
    stride = STRIDE if OTHER in places and not where else 11 * STRIDE
    for here in killed_everywhere(cli, "sessions", "move", "s", "--to", to, *given, stride=stride):
        source, target = (place(here.folder) for place in places)
        with source, target:
            assert any(is_whole(store, "s", FOR_APPROVAL) for store in (source, target) if not is_in_part(store))
            again = here("sessions", "move", "s", "--to", to, *given)
            assert again.returncode == 0, again.stderr
            assert is_whole(target, "s", FOR_APPROVAL)
            assert (list(target.left("s")), source.has("s")) == ([decision], False)
            assert not source.results_of("s").exists()


def is_in_part(sessions: Any) -> bool:
    """Whether a database has what a move has not brought to its end; it says so, and the next move replaces it."""
    return sessions.has("s") and json.dumps([fact.kind for fact in sessions.facts("s")]) != json.dumps(
        [fact.kind for fact in FOR_APPROVAL]
    )
