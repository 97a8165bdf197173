"""Sessions as the database has them: the workflows of their runs, and the steps that are their records.

A run of a session is a workflow ``session/number``. Its steps are the records in the order of their
places; what is too large for a step lies beside it. Steps of other kinds, and steps that the engine
recorded as failed, are no records.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from dbos import StepInfo, WorkflowStatus

from glm_agent.durable.database import Database
from glm_agent.durable.workflows import TURN
from glm_agent.journal.records import KINDS, StoredRecord, from_text
from glm_agent.messages import JsonObject

Runs: TypeAlias = "Sequence[Run]"

ACTIVE: Final = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
_PAGE: Final = 1_000


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


def workflow_id(session: str, number: int) -> str:
    """The name of a run."""
    return f"{session}/{number}"


def runs_of(database: Database, session: str) -> list[Run]:
    """The runs of one session, the first first."""
    return _runs(database, workflow_id_prefix=f"{session}/").get(session, [])


def all_runs(database: Database, **filters: Any) -> dict[str, list[Run]]:
    """The runs of every session."""
    return _runs(database, **filters)


def records_of(database: Database, runs: Iterable[Run]) -> list[StoredRecord]:
    """The records of these runs, in order."""
    return [record for run in runs for record in _records(database, run)]


def last_place(database: Database, run: Run) -> int:
    """The highest number of a step of this run; 0 where it has none."""
    with database.explained():
        steps = database.client.list_workflow_steps(run.workflow)
    return max((step["function_id"] for step in steps), default=0)


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
    offset = 0
    while page := database.client.list_workflows(name=TURN, limit=_PAGE, offset=offset, **filters):
        yield from page
        offset += len(page)
        if len(page) < _PAGE:
            return


def _records(database: Database, run: Run) -> Iterable[StoredRecord]:
    where = f"session '{run.session}' in '{database.address.shown}'"
    with database.explained():
        steps = database.client.list_workflow_steps(run.workflow)
    for step in steps:
        kind, output = step["function_name"], step["output"]
        if kind in KINDS and isinstance(output, Mapping):
            data = whole(database, run.session, cast("JsonObject", output))
            at = data.pop("at", None) or _ended(step)
            yield StoredRecord(at=at, record=from_text(json.dumps(data), kind=kind, where=where))


def whole(database: Database, session: str, output: JsonObject) -> JsonObject:
    """The record, also where the step only names what lies beside it."""
    if "blob" not in output:
        return dict(output)
    data = json.loads(database.blob(session, str(output["blob"])))
    return {**data, **({"at": output["at"]} if "at" in output else {})}


def _ended(step: StepInfo) -> float:
    return (step["completed_at_epoch_ms"] or 0) / 1000
