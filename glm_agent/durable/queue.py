"""The queue: turns that wait for a worker, put there from any process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Final

from dbos import EnqueueOptions

from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.engine import STEPS_VERSION
from glm_agent.durable.rows import Run, all_runs, runs_of, workflow_id
from glm_agent.durable.workflows import TURN
from glm_agent.errors import JournalError
from glm_agent.journal.closing import Closing
from glm_agent.journal.store import checked_id, new_origin, own_version
from glm_agent.messages import JsonObject
from glm_agent.wire.jsontext import scrub

QUEUE: Final = "glm-agent"
"""The queue where none is named."""
POLL_SECONDS: Final = 0.2
"""Between two looks of a worker into its queue."""
CONCURRENCY: Final = 8
"""Turns at once in each worker, where nobody ever said another number for the queue."""

_PER_TRANSACTION: Final = 200
"""On SQLite nobody else can write meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnSpec:
    """A turn for a worker: data, nothing live, no secrets."""

    session: str
    prompt: str | None = None
    """What the user says; None: what the options name (a task file), or the rest of the session's turn."""
    is_resumed: bool = False
    """Goes on with what is stored, such as after an approval."""
    options: JsonObject = field(default_factory=dict[str, Any])
    """What the worker makes an agent of: the options of ``glm-agent run``."""
    attachments: tuple[str, ...] = ()
    task: str = ""
    """The task file, for lists of sessions."""
    priority: int = 0
    """Lower ones first; from 0."""
    labels: JsonObject = field(default_factory=dict[str, Any])
    """What whoever put it there wants to find it by."""


class TurnQueue(Closing):
    """Turns in a database that wait for workers, or that workers had."""

    def __init__(self, url: str, *, database: Database | None = None) -> None:
        self._database = database or Database(Address.parse(url))

    def put(self, specs: Iterable[TurnSpec], *, queue: str = QUEUE) -> list[str]:
        """Put turns into a queue, many in one transaction, and return the ids of their runs.

        A turn of a session that is new is its first run. Of a session that is there the next one is added where
        ``is_resumed`` or a prompt is given for it and none waits; else nothing: to put the same twice is harmless.
        """
        self._database.prepare()
        given = iter(specs)
        found: list[str] = []
        while chunk := list(islice(given, _PER_TRANSACTION)):
            found += self._put(chunk, queue)
        return found

    def runs(self, **filters: Any) -> list[Run]:
        """Runs of all sessions, the first first; ``filters`` as ``DBOSClient.list_workflows`` takes them."""
        return [run for runs in all_runs(self._database, **filters).values() for run in runs]

    def cancel(self, session: str) -> bool:
        """Take a session's run from the queue, or from its worker at its next record; False where none is active."""
        active = [run for run in runs_of(self._database, checked_id(session)) if run.is_active]
        with self._database.explained():
            self._database.client.cancel_workflows([run.workflow for run in active])
        return bool(active)

    def cancel_runs(self, runs: Iterable[Run]) -> None:
        """Take many runs from the queue, or from their workers."""
        with self._database.explained():
            self._database.client.cancel_workflows([run.workflow for run in runs])

    def retry(self, session: str) -> str:
        """Put the rest of a session's turn into the queue that had it; ``JournalError`` where it is not over."""
        runs = runs_of(self._database, checked_id(session))
        if not runs:
            raise JournalError(f"there is no session '{session}' in '{self._database.address.shown}'")
        last = runs[-1]
        if last.is_active:
            raise JournalError(f"session '{session}' is not over: {last.status.status.lower()}")
        kept = {name: last.spec.get(name, {}) for name in ("options", "labels")}
        spec = TurnSpec(session=session, is_resumed=True, **kept)
        return self.put([spec], queue=last.status.queue_name or QUEUE)[0]

    def close(self) -> None:
        """Close the connections. The next use opens them again."""
        self._database.close()

    def _put(self, specs: Sequence[TurnSpec], queue: str) -> list[str]:
        numbers = self._numbers(specs)
        ids: list[str] = []
        with self._database.explained(), self._database.engine.begin() as connection:
            for spec in specs:
                id = workflow_id(checked_id(spec.session), numbers[spec.session])
                self._database.client.enqueue_in_transaction(connection, _options(spec, id, queue), _data(spec))
                ids.append(id)
        return ids

    def _numbers(self, specs: Sequence[TurnSpec]) -> dict[str, int]:
        """The numbers of their runs, by session. Nearly all sessions are new: those cost one question together."""
        first = [workflow_id(checked_id(spec.session), 1) for spec in specs]
        known = all_runs(self._database, workflow_ids=first, load_input=False, load_output=False)
        return {spec.session: self._number(spec) if spec.session in known else 1 for spec in specs}

    def _number(self, spec: TurnSpec) -> int:
        """That of the run that waits or is at work, else the next one where there is something to do."""
        runs = runs_of(self._database, checked_id(spec.session))
        if not runs or runs[-1].is_active or not (spec.is_resumed or spec.prompt):
            return runs[-1].number if runs else 1
        return runs[-1].number + 1


def _options(spec: TurnSpec, id: str, queue: str) -> EnqueueOptions:
    options: EnqueueOptions = {
        "workflow_name": TURN,
        "workflow_id": id,
        "queue_name": queue,
        "app_version": STEPS_VERSION,
    }
    if spec.priority:
        options["priority"] = spec.priority
    return options


def _data(spec: TurnSpec) -> JsonObject:
    """As the run keeps it: what is empty is left out."""
    origin = asdict(new_origin(spec.task))
    said = {name: value for name, value in asdict(spec).items() if value and name not in ("priority", "task")}
    return {**scrub(said), "origin": origin, "version": own_version(), "put_at": time.time()}
