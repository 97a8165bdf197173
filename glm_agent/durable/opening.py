"""Opening a session for writing: who has it, and the run that its next records belong to."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dbos import DBOS

from glm_agent.durable import engine as engines
from glm_agent.durable.database import Database
from glm_agent.durable.drain import Drain
from glm_agent.durable.engine import Attached, Engine
from glm_agent.durable.keeping import own_run
from glm_agent.durable.liveness import described, liveness
from glm_agent.durable.rows import Log, Outline, Run, number_of, workflow_id
from glm_agent.durable.session import Place
from glm_agent.durable.summaries import as_json, origin_of_run
from glm_agent.durable.taken import Taken
from glm_agent.errors import JournalError
from glm_agent.journal.store import new_origin
from glm_agent.journal.summary import Origin, summarise
from glm_agent.messages import Fact, JsonObject
from glm_agent.turn import Turn
from glm_agent.wire.jsontext import scrub


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What is kept with the next run of a session."""

    task: str = ""
    """The task file it begins with."""
    options: JsonObject | None = None
    """What a front door needs to go on in the same way."""
    origin: Origin | None = None
    """Of a session that came from elsewhere."""
    is_arriving: bool = False
    """Whether the run holds what comes from elsewhere: it counts when it is there to its end."""


def taken_here(engine: Engine, session: str) -> Taken | None:
    """The run of this session in whose context this is called; None outside of a worker's turn of it."""
    taken = engine.taken.get(DBOS.workflow_id or "")
    return taken if taken is not None and taken.session == session else None


def opened_here(engine: Engine, taken: Taken) -> tuple[Place, Log]:
    """The place of the next records in a worker's own run, and what is on record before."""
    return _Worked(engine, taken), taken.logged(engine.database)


def opened(engine: Engine, session: str, outline: Outline, *, described: Description) -> Place:
    """The place of the next records: in a new run.

    Raises ``JournalError`` where another process has the session open, or where it waits for a worker.
    """
    end_dead(engine.database, outline.runs, session)
    number = number_of(outline.workflows[-1]) + 1 if outline.workflows else 1
    origin = origin_of_run(outline.runs[0]) if outline.runs else described.origin or new_origin(described.task)
    spec: JsonObject = {"session": session, "origin": asdict(origin)}
    if described.options is not None:
        spec["options"] = scrub(described.options)
    if described.is_arriving:
        spec["arriving"] = True
    return _Held(engine, engine.attach(workflow_id(session, number), spec), session, origin)


def is_in_part(runs: Sequence[Run]) -> bool:
    """Whether a session was on its way here when what brought it died."""
    return bool(runs) and runs[0].spec.get("arriving") is True and runs[0].outcome is None


def end_dead(database: Database, runs: Sequence[Run], session: str) -> None:
    """End runs whose process is gone; ``JournalError`` where one waits for a worker, or its process lives."""
    for run in left_by_the_dead(database, runs, session):
        with database.explained():
            database.client.cancel_workflow(run.workflow)


def left_by_the_dead(database: Database, runs: Sequence[Run], session: str) -> list[Run]:
    """The runs whose process is gone; ``JournalError`` where one waits for a worker, or its process lives."""
    found: list[Run] = []
    for run in runs:
        if not run.is_active:
            continue
        holder = run.status.executor_id or ""
        if run.status.status != "PENDING":
            raise JournalError(
                f"session '{session}' waits in the queue '{run.status.queue_name}' for a worker: "
                f"let one run it, or cancel it with glm-agent runs cancel {session}"
            )
        if not _is_dead(database, holder):
            raise JournalError(
                f"session '{session}' is open in another place ({described(holder)}): "
                "wait until that one ends, or use another session"
            )
        found.append(run)
    return found


def _is_dead(database: Database, executor_id: str) -> bool:
    current = engines.running_on(database.address)
    with database.explained():
        if current is not None:
            return executor_id != current.id and executor_id in current.liveness.dead([executor_id])
        looker = liveness(database.address)
        try:
            return executor_id in looker.dead([executor_id])
        finally:
            looker.close()


class _Held:
    """The place of a session that this program opened itself."""

    def __init__(self, engine: Engine, attached: Attached, session: str, origin: Origin) -> None:
        self._engine, self._attached = engine, attached
        self._session, self._origin = session, origin
        self.database: Database = engine.database
        self.drain: Drain = engine.drain
        self.context = attached.context
        self.owned = attached.context.run(own_run)

    def leave(self, facts: Sequence[Fact], *, updated: float, turn: Turn | None = None) -> None:
        summary = summarise(self._session, origin=self._origin, facts=facts, updated=updated or time.time(), turn=turn)
        self._engine.detach(self._attached, {"summary": as_json(summary)})


class _Worked:
    """The place of a session in a worker's turn, which ends when the worker says so."""

    def __init__(self, engine: Engine, taken: Taken) -> None:
        self._taken = taken
        self.database: Database = engine.database
        self.drain: Drain = engine.drain
        self.context = contextvars.copy_context()
        self.owned = own_run()

    def leave(self, facts: Sequence[Fact], *, updated: float, turn: Turn | None = None) -> None:
        taken = self._taken
        taken.summary = as_json(summarise(taken.session, origin=taken.origin, facts=facts, updated=updated, turn=turn))
