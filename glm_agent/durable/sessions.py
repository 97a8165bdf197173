"""The sessions in a database: open one for writing; list, read, export, import, fork and delete them.

The same as ``Journal`` for sessions whose records are the steps of an engine's workflows.
"""

from __future__ import annotations

import contextvars
import difflib
import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from dbos import DBOS

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.drain import Drain
from glm_agent.durable.engine import Attached, Engine
from glm_agent.durable.liveness import described, liveness
from glm_agent.durable.rows import Run, all_runs, last_place, records_of, runs_of, workflow_id
from glm_agent.durable.session import DatabaseSession
from glm_agent.errors import JournalError
from glm_agent.journal import records
from glm_agent.journal.journal import new_session_id
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.store import checked_id, header_of, new_origin, origin_of, renamed
from glm_agent.journal.summary import Origin, SessionSummary, summarise
from glm_agent.messages import Fact, JsonObject

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_DAY_SECONDS: Final = 86_400.0


class DatabaseSessions:
    """Sessions in one database, which many processes and machines may use.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user@host/database``.

    Raises ``ConfigurationError`` for another address. Nothing is opened before the first use.
    """

    def __init__(self, url: str) -> None:
        self.address = Address.parse(url)
        self._own = Database(self.address)

    def open(self, session_id: str, *, task: str = "") -> DatabaseSession:
        """Open a session for writing: it is made where it is new.

        In a worker's turn of this session, that turn's run goes on; else a new run begins. ``task`` is kept with a new
        session. Raises ``JournalError`` where another process has it open, or where it waits for a worker.
        """
        engine = engines.engine_for(self.address)
        runs = runs_of(engine.database, checked_id(session_id))
        own = _own_run(runs)
        if own is not None:
            place: _Worked | _Held = _Worked(engine)
            used = last_place(engine.database, own)
        else:
            place, used = self._begin(engine, session_id, runs, task=task), 0
        try:
            stored = records_of(engine.database, runs)
            return DatabaseSession(session_id, stored=stored, place=place, places_used=used)
        except BaseException:
            with suppress(JournalError):
                place.leave((), updated=time.time())
            raise

    def results_of(self, session_id: str) -> Path:
        """The folder of this machine for long results of a session; made when it is needed."""
        path = self.address.path
        folder = path.with_name(f"{path.name}.results") if path else _local_folder(self.address)
        return folder / checked_id(session_id)

    def sessions(self) -> list[SessionSummary]:
        """Every session, the one that was written last first."""
        found = [summary_of(self._database, runs) for runs in all_runs(self._database).values()]
        return sorted(found, key=lambda each: each.updated, reverse=True)

    def summary(self, session_id: str) -> SessionSummary:
        """One session's summary; ``JournalError`` where there is none, with the nearest ids."""
        return summary_of(self._database, self._runs(session_id))

    def facts(self, session_id: str) -> tuple[Fact, ...]:
        """The facts of a session in order, also while another process writes it."""
        return records.facts_of(self.records(session_id))

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        return tuple(records_of(self._database, self._runs(session_id)))

    def export(self, session_id: str) -> Iterator[str]:
        """The session as lines of JSON, without line ends: a header with a version, then its records."""
        return records.to_lines(header_of(self.summary(session_id)), self.records(session_id))

    def import_(self, lines: Iterable[str], *, session_id: str | None = None) -> str:
        """Add an exported session, under another id where one is given, and return its id.

        Raises ``JournalError`` that names the line that cannot be read, or where the id is taken.
        """
        header, stored = records.from_lines(lines)
        new = checked_id(session_id or str(header.get("id", "")))
        self._add(new, stored, origin_of(header))
        return new

    def fork(self, session_id: str, *, new_id: str | None = None, facts: int | None = None) -> str:
        """Copy a session, or its first ``facts`` facts, into a new one and return the new id."""
        source = self.summary(session_id)
        said = [line for line in self.records(session_id) if records.is_fact(line.record)]
        new = checked_id(new_id or new_session_id())
        self._add(new, said[:facts], replace(source.origin, created=time.time()))
        return new

    def delete(self, session_id: str) -> None:
        """Delete a session; ``JournalError`` where there is none, or where it is open somewhere."""
        runs = self._runs(session_id)
        self._end_dead(self._database, runs, session_id)
        with self._database.explained():
            self._database.client.delete_workflows([run.workflow for run in runs])
        self._database.delete_beside(session_id)
        shutil.rmtree(self.results_of(session_id), ignore_errors=True)

    def prune(self, *, older_than_days: float) -> list[str]:
        """Delete the sessions not written for so long, but none that is open; returns their ids."""
        limit = time.time() - older_than_days * _DAY_SECONDS
        return [old.id for old in self.sessions() if old.updated < limit and self._try_delete(old.id)]

    def close(self) -> None:
        """Close the connections; the engine of this process stays until the process ends."""
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- opening

    def _begin(self, engine: Engine, session_id: str, runs: Sequence[Run], *, task: str, **more: Any) -> _Held:
        """A new run of this session, held by this process."""
        self._end_dead(engine.database, runs, session_id)
        number = runs[-1].number + 1 if runs else 1
        origin = _origin(runs[0]) if runs else more.pop("origin", None) or new_origin(task)
        spec: JsonObject = {"session": session_id, "origin": asdict(origin), **more}
        return _Held(engine, engine.attach(workflow_id(session_id, number), spec), session_id, origin)

    def _end_dead(self, database: Database, runs: Sequence[Run], session_id: str) -> None:
        """End runs whose process is gone; ``JournalError`` where one waits for a worker, or its process lives."""
        for run in runs:
            if not run.is_active:
                continue
            holder = run.status.executor_id or ""
            if run.status.status != "PENDING":
                raise JournalError(
                    f"session '{session_id}' waits in the queue '{run.status.queue_name}' for a worker: "
                    f"let one run it, or cancel it with glm-agent runs cancel {session_id}"
                )
            if not self._is_dead(database, holder):
                raise JournalError(
                    f"session '{session_id}' is open in another place ({described(holder)}): "
                    "wait until that one ends, or use another session"
                )
            with database.explained():
                database.client.cancel_workflow(run.workflow)

    def _is_dead(self, database: Database, executor_id: str) -> bool:
        current = engines.running_on(self.address)
        with database.explained():
            if current is not None:
                return executor_id != current.id and executor_id in current.liveness.dead([executor_id])
            looker = liveness(self.address)
            try:
                return executor_id in looker.dead([executor_id])
            finally:
                looker.close()

    # -- reading and writing

    @property
    def _database(self) -> Database:
        """That of the running engine where it is the same, so that connections are shared."""
        current = engines.running_on(self.address)
        return current.database if current is not None else self._own

    def _runs(self, session_id: str) -> list[Run]:
        runs = runs_of(self._database, checked_id(session_id))
        if not runs:
            raise self._unknown(session_id)
        return runs

    def _add(self, session_id: str, stored: Sequence[StoredRecord], origin: Origin) -> None:
        """A whole session, which nobody sees before it is complete."""
        engine = engines.engine_for(self.address)
        if runs_of(engine.database, session_id):
            raise JournalError(f"session '{session_id}' exists already: give the new one another id")
        place = self._begin(engine, session_id, (), task="", origin=origin)
        with DatabaseSession(session_id, stored=(), place=place) as session:
            for line in stored:
                session.keep(renamed(line.record, session_id), at=line.at)

    def _try_delete(self, session_id: str) -> bool:
        try:
            self.delete(session_id)
        except JournalError:
            return False
        return True

    def _unknown(self, session_id: str) -> JournalError:
        known = [each.id for each in self.sessions()]
        near = difflib.get_close_matches(session_id, known, n=3) or known[:3]
        hint = f"did you mean {', '.join(repr(id) for id in near)}?" if near else "it holds none yet"
        return JournalError(f"there is no session '{session_id}' in '{self.address.shown}': {hint}")


class _Held:
    """The place of a session that this program opened itself."""

    def __init__(self, engine: Engine, attached: Attached, session_id: str, origin: Origin) -> None:
        self._engine, self._attached = engine, attached
        self._session, self._origin = session_id, origin
        self.database: Database = engine.database
        self.drain: Drain = engine.drain
        self.context = attached.context

    def leave(self, facts: Sequence[Fact], *, updated: float) -> None:
        summary = summarise(self._session, origin=self._origin, facts=facts, updated=updated)
        self._engine.detach(self._attached, {"summary": as_json(summary)})


class _Worked:
    """The place of a session in a worker's turn, which ends when the worker says so."""

    def __init__(self, engine: Engine) -> None:
        self.database: Database = engine.database
        self.drain: Drain = engine.drain
        self.context = contextvars.copy_context()

    def leave(self, facts: Sequence[Fact], *, updated: float) -> None:
        pass


def as_json(summary: SessionSummary) -> JsonObject:
    """A summary as an outcome of a run keeps it."""
    return cast("JsonObject", _summaries().dump_python(summary, mode="json"))


def summary_of(database: Database, runs: Sequence[Run]) -> SessionSummary:
    """Of a session with these runs: as the last one left it, or made from the records where that has not ended."""
    last = runs[-1]
    if (outcome := last.outcome) is not None and "summary" in outcome:
        return _summaries().validate_python(outcome["summary"])
    stored = records_of(database, runs)
    updated = stored[-1].at if stored else (last.status.updated_at or 0) / 1000
    return summarise(last.session, origin=_origin(runs[0]), facts=records.facts_of(stored), updated=updated)


def _own_run(runs: Sequence[Run]) -> Run | None:
    """The run of a worker's turn that this is called in, where it is one of this session."""
    id = DBOS.workflow_id
    return next((run for run in runs if run.workflow == id), None) if id else None


def _origin(run: Run) -> Origin:
    given = run.spec.get("origin")
    said = cast("JsonObject", given) if isinstance(given, dict) else {}
    return origin_of({"origin": {"created": (run.status.created_at or 0) / 1000, **said}})


def _local_folder(address: Address) -> Path:
    """Of a database on a server: in the user's data folder, by the database's name."""
    from platformdirs import user_data_path

    return user_data_path("glm-agent") / "databases" / hashlib.sha256(address.shown.encode()).hexdigest()[:16]


@cache
def _summaries() -> TypeAdapter[SessionSummary]:
    from pydantic import TypeAdapter

    return TypeAdapter(SessionSummary)
