"""The rows of the log: every statement that reads or writes sessions and records.

A session's summary is a cache of its records: kept when the session is closed, made anew where
records came after it because a process died or is still at work. So a record costs one insert.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from glm_agent.driver import Intent, NestedCall, Record
from glm_agent.journal import inbox, records, search
from glm_agent.journal.database import Database
from glm_agent.journal.inbox import Left
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.remembered import REMEMBERED, Head, Row
from glm_agent.journal.store import new_origin
from glm_agent.journal.summary import Origin, SessionSummary, Setup, summarise
from glm_agent.messages import Decision, JsonObject
from glm_agent.wire.jsontext import dumps

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_PLACES: Final = 1 << 32
"""Numbers for the records of one session; see the schema."""

_INSERT_SESSION: Final = """INSERT INTO sessions (id, origin, summary, summarised) VALUES (?, ?, '', 0)
    ON CONFLICT (id) DO NOTHING"""

_INSERT_RECORD: Final = """INSERT INTO records (number, session, at, kind, key, data) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (session, key) WHERE key IS NOT NULL DO NOTHING"""

_SELECT_SESSIONS: Final = f"""SELECT id, origin, summary, summarised,
    (SELECT max(number) FROM records WHERE number BETWEEN s.number * {_PLACES} AND (s.number + 1) * {_PLACES} - 1)
    FROM sessions AS s"""

_SELECT_IDS: Final = f"""SELECT id FROM sessions AS s ORDER BY (
        SELECT at FROM records WHERE number BETWEEN s.number * {_PLACES} AND (s.number + 1) * {_PLACES} - 1
        ORDER BY number DESC LIMIT 1
    ) DESC"""

_SELECT_RECORDS: Final = """SELECT at, kind, data FROM records WHERE number BETWEEN ? AND ? ORDER BY number"""

_SELECT_KEY: Final = """SELECT data FROM records WHERE session = ? AND key = ?"""

_SELECT_LEFT: Final = """SELECT place, data FROM inbox WHERE session = (SELECT number FROM sessions WHERE id = ?)
    ORDER BY place"""

_INSERT_LEFT: Final = """INSERT INTO inbox (session, place, call_id, at, data) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (session, place) DO NOTHING"""

_NESTED: Final = "nested:"


class SessionLog:
    """The log of one session, for the one process that may write it."""

    def __init__(self, database: Database, id: str, *, task: str = "", options: JsonObject | None = None) -> None:
        self._database = database
        self._id = id
        self._options = options
        self._origin = new_origin(task)
        self._session = 0
        self._last = 0
        self._at = 0.0

    def append(self, record: Record, text: str) -> bool:
        """One more record, whose JSON is ``text``; False where an intent with its key is there already.

        A fact survives ``kill -9`` when this returns, an intent also a power cut.
        """
        if not self._session:
            self._begin()
        at = time.time()
        row = _row(self._session, self._last + 1, record, text, at=at)
        if not self._database.execute(_INSERT_RECORD, row, is_synced=isinstance(record, Intent)):
            return False
        self._last, self._at = self._last + 1, at
        return True

    def decide(self, decision: Decision, *, place: int) -> Decision:
        """Keep a decision on the call that waits at ``place``: the first one, which may have come from elsewhere."""
        if not self._session:
            self._begin()
        with self._database.transaction() as connection:
            sql = "SELECT data FROM inbox WHERE session = ? AND place = ?"
            for (text,) in connection.execute(sql, (self._session, place)).fetchall():
                decision = inbox.from_text(text)
            record, text = records.encode(decision)
            at = time.time()
            connection.execute(_INSERT_RECORD, _row(self._session, self._last + 1, record, text, at=at))
            connection.execute("DELETE FROM inbox WHERE session = ? AND place <= ?", (self._session, place))
        self._last, self._at = self._last + 1, at
        return cast("Decision", record)

    def left(self) -> list[Left]:
        """Decisions of other processes that nobody took yet."""
        return left(self._database, self._id)

    def intent(self, same: Intent) -> Intent:
        """The intent with the key of this one that is on record."""
        found = self._found(_key(same), kind=same.kind)
        assert isinstance(found, Intent)
        return found

    def nested(self, key: str) -> NestedCall | None:
        """The nested call with this key."""
        found = self._found(f"{_NESTED}{key}", kind="nested_call")
        assert found is None or isinstance(found, NestedCall)
        return found

    def _found(self, key: str | None, *, kind: str) -> Record | None:
        rows = self._database.read(_SELECT_KEY, (self._session, key))
        return records.from_text(rows[0][0], kind=kind, where=f"session '{self._id}'") if rows else None

    def end(self, head: Head) -> None:
        """Keep the summary of a session that now consists of these facts."""
        if self._at:
            found = summarise(self._id, origin=self._origin, facts=head.facts, updated=self._at, turn=head.made)
            values = (_summaries().dump_json(found).decode(), self._last, self._session)
            self._database.execute("UPDATE sessions SET summary = ?, summarised = ? WHERE number = ?", values)

    def _begin(self) -> None:
        with self._database.transaction() as connection:
            self._session, self._last = _begin(connection, self._id, self._origin)
            ((origin,),) = connection.execute("SELECT origin FROM sessions WHERE number = ?", (self._session,))
            if self._options is not None:
                _set_up(connection, self._session, Setup(options=self._options))
        self._origin = _origins().validate_json(origin)


def add(
    database: Database, id: str, *, stored: Sequence[StoredRecord], origin: Origin, setup: Setup | None = None
) -> None:
    """A whole session at once: all of it or nothing."""
    with database.transaction() as connection:
        session, last = _begin(connection, id, origin)
        if setup is not None:
            _set_up(connection, session, setup)
        for number, line in enumerate(stored, start=last + 1):
            record, text = records.encode(line.record)
            connection.execute(_INSERT_RECORD, _row(session, number, record, text, at=line.at))


def _set_up(connection: sqlite3.Connection, session: int, setup: Setup) -> None:
    text = dumps(asdict(setup)).decode()  # a file's name need not be Unicode
    connection.execute("UPDATE sessions SET setup = ? WHERE number = ?", (text, session))


def delete(database: Database, id: str) -> None:
    """A session and its records."""
    with database.transaction() as connection:
        for (session,) in connection.execute("SELECT number FROM sessions WHERE id = ?", (id,)).fetchall():
            connection.execute("DELETE FROM records WHERE number BETWEEN ? AND ?", _numbers(session))
            connection.execute("DELETE FROM inbox WHERE session = ?", (session,))
            connection.execute("DELETE FROM sessions WHERE number = ?", (session,))


def summaries(database: Database) -> list[SessionSummary]:
    """Every session, the one that was written last first."""
    every = [_summary(database, row) for row in database.read(_SELECT_SESSIONS)]
    return sorted(every, key=lambda each: each.updated, reverse=True)


def has(database: Database, id: str) -> bool:
    """Whether there is a session with this id."""
    return bool(database.read("SELECT 1 FROM sessions WHERE id = ?", (id,)))


def setup(database: Database, id: str) -> Setup:
    """How a session is run; an empty one where nobody said it."""
    rows = database.read("SELECT setup FROM sessions WHERE id = ?", (id,))
    return _setups().validate_json(rows[0][0]) if rows and rows[0][0] else Setup()


def left(database: Database, id: str) -> list[Left]:
    """The decisions in a session's inbox."""
    return [(place, inbox.from_text(text)) for place, text in database.read(_SELECT_LEFT, (id,))]


def leave(database: Database, id: str, decision: Decision, *, place: int, records_seen: int) -> bool | None:
    """Put a decision into a session's inbox; False where one is there already.

    None where the session has other records by now than the ``records_seen`` that the decision was made on.
    """
    with database.transaction() as connection:
        for (session,) in connection.execute("SELECT number FROM sessions WHERE id = ?", (id,)).fetchall():
            sql = "SELECT count(*) FROM records WHERE number BETWEEN ? AND ?"
            if connection.execute(sql, _numbers(session)).fetchone() != (records_seen,):
                return None
            row = (session, place, decision.call_id, time.time(), inbox.to_text(decision))
            return connection.execute(_INSERT_LEFT, row).rowcount > 0
    return None


def ids(database: Database) -> list[str]:
    """Every session's id, the one that was written last first; without reading any session."""
    return [id for (id,) in database.read(_SELECT_IDS)]


def texts(database: Database, id: str) -> list[tuple[float, str, str]]:
    """Time, kind and JSON of the records of a session that hold words."""
    found = database.read("SELECT number FROM sessions WHERE id = ?", (id,))
    marks = ", ".join("?" * len(search.KINDS))
    sql = f"SELECT at, kind, data FROM records WHERE number BETWEEN ? AND ? AND kind IN ({marks}) ORDER BY number"
    return database.read(sql, (*_numbers(found[0][0]), *search.KINDS)) if found else []


def find(database: Database, id: str) -> SessionSummary | None:
    """The session with this id."""
    rows = database.read(f"{_SELECT_SESSIONS} WHERE id = ?", (id,))
    return _summary(database, rows[0]) if rows else None


def stored(database: Database, id: str) -> list[StoredRecord]:
    """The records of a session in the order they were kept; none where there is no such session."""
    found = database.read("SELECT number FROM sessions WHERE id = ?", (id,))
    rows = database.read(_SELECT_RECORDS, _numbers(found[0][0])) if found else []
    where = f"session '{id}' in '{database.path}'"

    def parsed(row: Row) -> StoredRecord:
        at, kind, text = row
        return StoredRecord(at=at, record=records.from_text(text, kind=kind, where=where))

    return REMEMBERED.records(f"{database.path} {id}", rows, parsed)


def _begin(connection: sqlite3.Connection, id: str, origin: Origin) -> tuple[int, int]:
    """The number of a session, whose row is made where it is new, and the number before its next record."""
    connection.execute(_INSERT_SESSION, (id, _origins().dump_json(origin).decode()))
    ((session,),) = connection.execute("SELECT number FROM sessions WHERE id = ?", (id,))
    ((last,),) = connection.execute("SELECT max(number) FROM records WHERE number BETWEEN ? AND ?", _numbers(session))
    return session, last or session * _PLACES


def _key(record: Record) -> str | None:
    """What a record is found by, where it is looked for alone; no two of a session have the same."""
    match record:
        case Intent():
            return record.key
        case NestedCall():
            return f"{_NESTED}{record.key}"  # a nested write has an intent of the same key
        case _:
            return None


def _row(session: int, number: int, record: Record, text: str, *, at: float) -> tuple[Any, ...]:
    return number, session, at, record.kind, _key(record), text


def _numbers(session: int) -> tuple[int, int]:
    """The first and the last number that records of a session can have."""
    return session * _PLACES, (session + 1) * _PLACES - 1


def _summary(database: Database, row: tuple[str, str, str, int, int | None]) -> SessionSummary:
    id, origin, summary, summarised, last = row
    if summary and summarised == last:
        return _summaries().validate_json(summary)
    lines = stored(database, id)
    begun = _origins().validate_json(origin)
    updated = lines[-1].at if lines else begun.created
    return summarise(id, origin=begun, facts=records.facts_of(lines), updated=updated)


@cache
def _setups() -> TypeAdapter[Setup]:
    from pydantic import TypeAdapter

    return TypeAdapter(Setup)


@cache
def _origins() -> TypeAdapter[Origin]:
    from pydantic import TypeAdapter

    return TypeAdapter(Origin)


@cache
def _summaries() -> TypeAdapter[SessionSummary]:
    from pydantic import TypeAdapter

    return TypeAdapter(SessionSummary)
