"""Sessions as the database has them: the workflows of their runs, and the steps that are their records.

A run of a session is a workflow ``session/number``. Its steps are the records in the order of their
places; what is too large for a step lies beside it. Steps of other kinds, and steps that the engine
recorded as failed, are no records.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from itertools import count
from typing import Any, Final, cast

import sqlalchemy as sa
from dbos import WorkflowStatus

from glm_agent.durable.database import Database
from glm_agent.durable.workflows import TURN
from glm_agent.journal.records import KINDS, StoredRecord, from_text
from glm_agent.journal.remembered import REMEMBERED, Row
from glm_agent.messages import JsonObject

ACTIVE: Final = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
_PAGE: Final = 1_000
_AT_ONCE: Final = 200
"""Runs of one session that are looked for together."""

_STEPS: Final = """SELECT run.workflow_uuid, run.recovery_attempts, step.function_id, step.function_name, step.output,
    step.completed_at_epoch_ms
    FROM {runs} AS run LEFT JOIN {steps} AS step ON step.workflow_uuid = run.workflow_uuid
    WHERE run.workflow_uuid IN :runs ORDER BY step.function_id"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a session: from a message, or from where the run before was left, to whatever stopped it."""

    session: str
    number: int
    """From 1."""
    status: WorkflowStatus

    @property
    def workflow(self) -> str:
        return workflow_id(self.session, self.number)

    @property
    def spec(self) -> JsonObject:
        """What it was begun with."""
        given = self.status.input
        arguments = cast("Sequence[JsonObject]", given["args"]) if given else ()
        return arguments[0] if arguments else {}

    @property
    def outcome(self) -> JsonObject | None:
        """What it ended with; None before."""
        found = self.status.output if self.status.status == "SUCCESS" else None
        return cast("JsonObject", found) if isinstance(found, dict) else None

    @property
    def is_active(self) -> bool:
        """Whether it waits for a worker, or runs, or was running when its process died."""
        return self.status.status in ACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """The runs of a session."""

    workflows: Sequence[str]
    """Their names, in order."""
    runs: Sequence[Run]
    """The first one, and those that are active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """What is on record of some runs of a session."""

    records: list[StoredRecord]
    earlier: int
    """How many of them are of other runs than the last."""
    places_used: int
    """The highest number of a step of the last of them; 0 where it has none."""
    attempts: int
    """How often the last of them was begun."""


def workflow_id(session: str, number: int) -> str:
    """The name of a run."""
    return f"{session}/{number}"


def runs_of(database: Database, session: str) -> list[Run]:
    """The runs of one session, the first first."""
    names = [workflow for workflow, _ in _named(database, session)]
    return _runs(database, workflow_ids=names).get(session, []) if names else []


def outline_of(database: Database, session: str) -> Outline:
    """What the opening of a session needs to know of its runs, which may be many."""
    found = _named(database, session)
    if not found:
        return Outline(workflows=(), runs=())
    wanted = [found[0][0], *(workflow for workflow, status in found[1:] if status in ACTIVE)]
    return Outline(workflows=[workflow for workflow, _ in found], runs=_runs(database, workflow_ids=wanted)[session])


def all_runs(database: Database, **filters: Any) -> dict[str, list[Run]]:
    """The runs of every session."""
    return _runs(database, **filters)


def records_of(database: Database, runs: Sequence[Run]) -> list[StoredRecord]:
    """The records of these runs of one session, in order."""
    return log_of(database, runs[0].session, [run.workflow for run in runs]).records if runs else []


def number_of(workflow: str) -> int:
    """The number of a run, by its name."""
    return int(workflow.rpartition("/")[2])


def log_of(database: Database, session: str, workflows: Sequence[str]) -> Log:
    """What is on record of these runs of a session."""
    found: dict[str, list[Any]] = {workflow: [] for workflow in workflows}
    with database.explained(), database.at_once.connect() as connection:
        for row in connection.execute(_steps(is_file=database.address.path is not None), {"runs": list(workflows)}):
            found[row.workflow_uuid].append(row)
    rows = [_row(step) for run in found.values() for step in run if _is_record(step)]
    last = found[workflows[-1]]
    return Log(
        records=REMEMBERED.records(
            remembered_as(database, workflows[0]), rows, partial(_parsed, database=database, session=session)
        ),
        earlier=len(rows) - sum(map(_is_record, last)),
        places_used=max((row.function_id or 0 for row in last), default=0),
        attempts=(last[0].recovery_attempts or 1) if last else 1,
    )


def remembered_as(database: Database, workflow: str) -> str:
    """The name under which this process remembers the session of a run."""
    return f"{database.address.url} {workflow.rpartition('/')[0]}"


def _named(database: Database, session: str) -> list[tuple[str, str]]:
    """Name and status of each run of a session, in order."""
    if not database.exists:
        return []
    database.prepare()
    found: list[tuple[str, str]] = []
    query = _names(is_file=database.address.path is not None)
    for first in count(1, _AT_ONCE):  # by their names: to look for what begins alike, a server reads all it has
        names = [workflow_id(session, number) for number in range(first, first + _AT_ONCE)]
        with database.explained(), database.at_once.connect() as connection:
            status = {row[0]: row[1] for row in connection.execute(query, {"runs": names, "kind": TURN})}
        found += [(name, status[name]) for name in names if name in status]
        if len(status) < _AT_ONCE:
            return found
    raise AssertionError


def _runs(database: Database, **filters: Any) -> dict[str, list[Run]]:
    if not database.exists:
        return {}
    database.prepare()
    found = defaultdict[str, list[Run]](list)
    with database.explained():
        for status in _statuses(database, **filters):
            session, _, number = status.workflow_id.rpartition("/")
            if session and number.isdecimal():
                found[session].append(Run(session, int(number), status))
    for runs in found.values():
        runs.sort(key=lambda run: run.number)
    return found


def _statuses(database: Database, **filters: Any) -> Iterable[WorkflowStatus]:
    """In pages, each from the moment where the last one ended: what happens to runs meanwhile moves none of them."""
    limit, since, seen = _PAGE, 0, set[str]()
    while True:
        page = database.client.list_workflows(name=TURN, limit=limit, start_time=_iso(since), **filters)
        yield from (status for status in page if status.workflow_id not in seen)
        if len(page) < limit:
            return
        last = page[-1].created_at or 0
        if last == since:  # many were put at one moment, and a database may name any of them first
            limit *= 2
        else:
            seen.clear()
        seen.update(status.workflow_id for status in page)
        since = last


def _iso(milliseconds: int) -> str:
    """As the engine reads it; in the middle of the millisecond, since it cuts."""
    return datetime.fromtimestamp((milliseconds + 0.5) / 1000, UTC).isoformat()


@cache
def _names(*, is_file: bool) -> sa.TextClause:
    table = "workflow_status" if is_file else "dbos.workflow_status"
    query = sa.text(f"SELECT workflow_uuid, status FROM {table} WHERE workflow_uuid IN :runs AND name = :kind")
    return query.bindparams(sa.bindparam("runs", expanding=True))


@cache
def _steps(*, is_file: bool) -> sa.TextClause:
    schema = "" if is_file else "dbos."
    names = {"runs": f"{schema}workflow_status", "steps": f"{schema}operation_outputs"}
    return sa.text(_STEPS.format(**names)).bindparams(sa.bindparam("runs", expanding=True))


def _is_record(step: Any) -> bool:
    return step.function_name in KINDS and step.output is not None


def _row(step: Any) -> Row:
    return (step.completed_at_epoch_ms or 0) / 1000, step.function_name, step.output


def _parsed(row: Row, *, database: Database, session: str) -> StoredRecord:
    at, kind, text = row
    if '"blob":' in text or '"at":' in text:  # nearly none has them, and to look costs less than to parse twice
        data = whole(database, session, json.loads(text))
        at = data.pop("at", None) or at
        text = json.dumps(data)
    where = f"session '{session}' in '{database.address.shown}'"
    return StoredRecord(at=at, record=from_text(text, kind=kind, where=where))


def whole(database: Database, session: str, output: JsonObject) -> JsonObject:
    """The record, also where the step only names what lies beside it."""
    if "blob" not in output:
        return dict(output)
    data = json.loads(database.blob(session, str(output["blob"])))
    return {**data, **({"at": output["at"]} if "at" in output else {})}
