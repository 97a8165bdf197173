"""Every session that the other tests have stored runs once more, offline, byte for byte. It comes last."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from glm_agent.journal import Journal
from glm_agent.journal.database import MIGRATIONS
from glm_agent.journal.replay import replay
from glm_agent.messages import Fact, ModelResponse

pytestmark = pytest.mark.anyio

EXCEPTIONS = {
    "test_a_damaged_database": "the file is damaged",
    "test_a_damaged_record": "a record is damaged",
    "test_the_first_difference": "a fact was changed",
}
"""Beginnings of tests' names whose sessions do not replay, and why."""


class Stored(NamedTuple):
    """One session that a test left."""

    test: str
    id: str
    facts: tuple[Fact, ...]


def journals(folder: Path) -> Iterator[Path]:
    """Files that are journals of this version; tests leave damaged, foreign and future ones too."""
    for path in sorted(folder.rglob("*.db")):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                ((version,),) = connection.execute("PRAGMA user_version").fetchall()
                ((application,),) = connection.execute("PRAGMA application_id").fetchall()
            connection.close()
        except sqlite3.Error:
            continue
        if (version, application) == (len(MIGRATIONS), 0x474C4D41):
            yield path


def sessions(folder: Path) -> Iterator[Stored]:
    """The sessions that a model was asked in: what tests wrote by hand has no hashes."""
    for path in journals(folder):
        test = path.relative_to(folder).parts[0]
        if test.startswith(tuple(EXCEPTIONS)):
            continue
        with Journal(path) as journal:
            for id in [summary.id for summary in journal.sessions()]:
                facts = journal.facts(id)
                if any(isinstance(fact, ModelResponse) and fact.sent is not None for fact in facts):
                    yield Stored(test, id, facts)


async def test_every_session_of_the_suite_replays(tmp_path_factory: pytest.TempPathFactory) -> None:
    found = [*sessions(tmp_path_factory.getbasetemp())]
    if not found:
        pytest.skip("no other test has stored a session: run it with the others")
    divergences = {}
    compared = 0
    for stored in found:
        done = await replay(stored.facts)
        compared += len(done.steps) - done.not_compared
        if done.divergence is not None:
            divergences[f"{stored.test}: {stored.id}"] = f"step {done.divergence.step}: {done.divergence.reason}"
    assert divergences == {}
    assert compared >= len(found)
