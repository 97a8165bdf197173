"""Every session that the other tests have stored runs once more, offline, byte for byte. It comes last."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from glm_agent.durable.sessions import DatabaseSessions
from glm_agent.journal import Journal
from glm_agent.journal.database import MIGRATIONS
from glm_agent.journal.replay import replay
from glm_agent.messages import Fact, ModelResponse

sys.path.insert(0, str(Path(__file__).with_name("servers")))
import postgres

pytestmark = pytest.mark.anyio

EXCEPTIONS = {
    "test_a_damaged_database": "the file is damaged",
    "test_a_damaged_record": "a record is damaged",
    "test_the_first_difference": "a fact was changed",
    "test_a_dialect_of_ones_own": "its dialect has to be given, as that test does",
}
"""Beginnings of tests' names whose sessions do not replay, and why."""


class Stored(NamedTuple):
    """One session that a test left."""

    test: str
    id: str
    facts: tuple[Fact, ...]
    is_on_a_server: bool


def store_in(path: Path) -> Journal | DatabaseSessions | None:
    """The sessions in a file, where this version can read it; tests leave damaged, foreign and future ones too."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            ((version,),) = connection.execute("PRAGMA user_version").fetchall()
            ((application,),) = connection.execute("PRAGMA application_id").fetchall()
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return None
    if (version, application) == (len(MIGRATIONS), 0x474C4D41):
        return Journal(path)
    return DatabaseSessions(f"sqlite:///{path}") if "workflow_status" in tables else None


def stores(folder: Path) -> Iterator[tuple[str, Journal | DatabaseSessions]]:
    """Every place where a test of this run has stored sessions, with the test's name."""
    for path in sorted(folder.rglob("*.db")):
        if (found := store_in(path)) is not None:
            yield path.relative_to(folder).parts[0], found
    for server in postgres.RUNNING:
        for url, test in server.databases.items():
            yield test.rpartition("::")[2], DatabaseSessions(url)


def sessions(folder: Path) -> Iterator[Stored]:
    """The sessions that a model was asked in: what tests wrote by hand has no hashes."""
    for test, found in stores(folder):
        if test.startswith(tuple(EXCEPTIONS)):
            continue
        with found as store:
            for id in [summary.id for summary in store.sessions()]:
                facts = store.facts(id)
                if any(isinstance(fact, ModelResponse) and fact.sent is not None for fact in facts):
                    yield Stored(test, id, facts, "://" in store.place and not store.place.startswith("sqlite"))


async def test_every_session_of_the_suite_replays(tmp_path_factory: pytest.TempPathFactory) -> None:
    found = [*sessions(tmp_path_factory.getbasetemp())]
    if not found:
        pytest.skip("no other test has stored a session: run it with the others")
    divergences = {}
    compared = 0
    print(f"{len(found)} sessions, {sum(stored.is_on_a_server for stored in found)} of them on PostgreSQL")
    for stored in found:
        done = await replay(stored.facts)
        compared += len(done.steps) - done.not_compared
        if done.divergence is not None:
            divergences[f"{stored.test}: {stored.id}"] = f"step {done.divergence.step}: {done.divergence.reason}"
    assert divergences == {}
    assert compared >= len(found)
