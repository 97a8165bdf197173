"""The sessions in a database: open one for writing; list, read, export, import, fork and delete them.

The same as ``Journal`` for sessions whose records are the steps of an engine's workflows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.opening import (
    Description,
    end_dead,
    is_in_part,
    left_by_the_dead,
    opened,
    opened_here,
    taken_here,
)
from glm_agent.durable.queue import TurnQueue
from glm_agent.durable.rows import Run, all_runs, log_of, outline_of, records_of, runs_of
from glm_agent.durable.session import DatabaseSession, Place
from glm_agent.durable.shared import SharedResults
from glm_agent.durable.summaries import setup_of, summary_of
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import inbox, records, spilled
from glm_agent.journal.database import users_folder
from glm_agent.journal.inbox import Left
from glm_agent.journal.kept import KeptSessions
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.store import checked_id, renamed
from glm_agent.journal.summary import Origin, SessionSummary, Setup
from glm_agent.messages import Decision, JsonObject


class DatabaseSessions(KeptSessions):
    """Sessions in one database, which many processes and machines may use.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user@host/database``.

    Raises ``ConfigurationError`` for another address. Nothing is opened before the first use.
    """

    def __init__(self, url: str) -> None:
        self.address = Address.parse(url)
        self._own = Database(self.address)
        self._described: dict[str, Description] = {}

    @property
    def place(self) -> str:
        """Where it is, for people: no password in it."""
        return self.address.shown

    def describe(self, session_id: str, *, task: str = "", options: JsonObject | None = None) -> None:
        """Say how a session is run, before it is opened: that is kept with its next run.

        ``task`` is the task file it begins with, ``options`` what a front door needs to go on in the same way.
        """
        self._described[checked_id(session_id)] = Description(task=task, options=options)

    def open(self, session_id: str, *, task: str = "") -> DatabaseSession:
        """Open a session for writing: it is made where it is new.

        In a worker's turn of this session, that turn's run goes on; else a new run begins. ``task`` is kept with a new
        session. Raises ``JournalError`` where another process has it open, or where it waits for a worker.
        """
        description = self._described.pop(checked_id(session_id), Description())
        return self._open(session_id, replace(description, task=task or description.task))

    def is_open(self, session_id: str) -> bool:
        """Whether somebody has the session open for writing, or it waits for a worker."""
        try:
            left_by_the_dead(self._database, self._runs(session_id), session_id)
        except JournalError:
            return True
        return False

    def results_of(self, session_id: str) -> Path:
        """The folder of this machine for long results of a session; made when it is needed."""
        path = self.address.path
        folder = path.with_name(f"{path.name}.results") if path else _local_folder(self.address)
        return folder / checked_id(session_id)

    # -- reading

    def sessions(self) -> list[SessionSummary]:
        """Every session, the one that was written last first."""
        found = [summary_of(self._database, runs) for runs in all_runs(self._database).values()]
        return sorted(found, key=lambda each: each.updated, reverse=True)

    def has(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        return bool(runs_of(self._database, checked_id(session_id)))

    def summary(self, session_id: str) -> SessionSummary:
        """One session's summary; ``JournalError`` where there is none, with the nearest ids."""
        return summary_of(self._database, self._runs(session_id))

    def setup(self, session_id: str) -> Setup:
        """How a session is run; an empty one where nobody said it, and of a session that is not there."""
        return setup_of(runs_of(self._database, checked_id(session_id)))

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        return tuple(records_of(self._database, self._runs(session_id)))

    def export(self, session_id: str) -> Iterator[str]:
        """See ``KeptSessions.export``; with the results of other machines."""
        self._fetch_results(session_id)
        return super().export(session_id)

    def missing_results(self, session_id: str) -> list[str]:
        """Ids of long results that the model was told of and that are no longer kept."""
        self._fetch_results(session_id)
        return super().missing_results(session_id)

    # -- calls that wait for a person

    def decide(self, session_id: str, decision: Decision) -> None:
        """Leave a decision on a call that waits, for the process that has the session open, or the next one.

        The first decision on a call holds. Raises ``ConfigurationError`` where the call does not wait for one of this
        kind, or has one, and ``JournalError`` where there is no such session.
        """
        place = inbox.place_of(decision, inbox.waiting(self.facts(session_id)), session=session_id)
        text = inbox.to_text(decision)
        is_left = self._database.leave_decision(session_id, place, call_id=decision.call_id, data=text)
        if is_left and self._is_gone_by(session_id, place):
            is_left = not self._database.clear_decisions(session_id, place)
        if not is_left:
            raise ConfigurationError(
                f"call '{decision.call_id}' of session '{session_id}' was decided already; "
                f"glm-agent run --resume {session_id} goes on with it where it has stopped"
            )
        self._go_on(session_id)

    def _go_on(self, session_id: str) -> None:
        """A worker's turn that waits for nothing any more goes on in the queue that had it."""
        last = self._runs(session_id)[-1]
        if last.status.queue_name and not last.is_active and not self.waiting(session_id):
            TurnQueue(self.address.url, database=self._database).retry(session_id)

    def _is_gone_by(self, session_id: str, place: int) -> bool:
        """Whether the session went on while the decision was left, and may never look for it."""
        return all(call.place != place for call in inbox.waiting(self.facts(session_id)).values())

    # -- moving and deleting

    def delete(self, session_id: str) -> None:
        """Delete a session, or what is left of one; ``JournalError`` where there is none, or where it is open."""
        runs = runs_of(self._database, checked_id(session_id))
        if runs:
            end_dead(self._database, runs, session_id)
            with self._database.explained():
                self._database.client.delete_workflows([run.workflow for run in runs])
        # What a deletion leaves that is cut off here, the same one clears away.
        is_left = self._database.exists and self._database.delete_beside(session_id)
        if not runs and not is_left and not os.path.isdir(self.results_of(session_id)):
            raise self._unknown(session_id)
        shutil.rmtree(self.results_of(session_id), ignore_errors=True)

    def close(self) -> None:
        """Close the connections; the engine of this process stays until the process ends."""
        self._own.close()

    @property
    def _database(self) -> Database:
        """That of the running engine where it is the same, so that connections are shared."""
        current = engines.running_on(self.address)
        return current.database if current is not None else self._own

    def _open(self, session_id: str, description: Description, *, is_new: bool = False) -> DatabaseSession:
        engine = engines.engine_for(self.address)
        if (taken := taken_here(engine, session_id)) is not None and not is_new:
            place, log = opened_here(engine, taken)
            return self._opened(session_id, log.records, place, places_used=log.places_used)
        outline = outline_of(engine.database, session_id)
        if is_new and outline.runs:
            raise JournalError(f"session '{session_id}' exists already: give the new one another id")
        if is_in_part(outline.runs):
            raise JournalError(
                f"session '{session_id}' is in '{self.place}' in part only, because what brought it was cut off: "
                "import or move it once more, or delete it"
            )
        place = opened(engine, session_id, outline, described=description)
        try:
            names = outline.workflows
            stored = log_of(engine.database, session_id, names).records if names else []
            return self._opened(session_id, stored, place)
        except BaseException:
            with suppress(JournalError):
                place.leave((), updated=time.time())
            raise

    def _opened(
        self, session_id: str, stored: Sequence[StoredRecord], place: Place, *, places_used: int = 0
    ) -> DatabaseSession:
        results = self._shared(session_id)
        if results is not None:
            results.fetch(records.facts_of(stored))
        return DatabaseSession(session_id, stored=stored, place=place, places_used=places_used, results=results)

    def _shared(self, session_id: str) -> SharedResults | None:
        """Long results for other machines; the processes on a file all have the folder beside it."""
        if self.address.path is not None:
            return None
        return SharedResults(self._database, session_id, self.results_of(session_id))

    def _fetch_results(self, session_id: str) -> None:
        if (results := self._shared(session_id)) is not None:
            results.fetch(self.facts(session_id))

    def _add(
        self,
        session_id: str,
        stored: list[StoredRecord],
        *,
        origin: Origin,
        setup: Setup | None = None,
        results: spilled.Files | None = None,
    ) -> None:
        if is_in_part(runs_of(self._database, session_id)):
            self.delete(session_id)
        options = setup.options or None if setup is not None else None
        description = Description(origin=origin, options=options, is_arriving=True)
        session = self._open(session_id, description, is_new=True)
        try:
            with session:
                spilled.write(results or {}, self.results_of(session_id))
                session.add([replace(line, record=renamed(line.record, session_id)) for line in stored])
        except BaseException:
            with suppress(JournalError):
                self.delete(session_id)
            raise

    def _runs(self, session_id: str) -> list[Run]:
        runs = runs_of(self._database, checked_id(session_id))
        if not runs:
            raise self._unknown(session_id)
        return runs

    def _ids(self) -> list[str]:
        return [summary.id for summary in self.sessions()]

    def _left(self, session_id: str) -> list[Left]:
        found = self._database.left_decisions(checked_id(session_id))
        return [(place, inbox.from_text(text)) for place, text in found]

    def _texts(self, session_id: str) -> Iterator[tuple[float, str, str]]:
        for line in records_of(self._database, runs_of(self._database, session_id)):
            if records.is_fact(line.record):
                yield line.at, line.record.kind, json.dumps(asdict(line.record), ensure_ascii=False)


def _local_folder(address: Address) -> Path:
    """Of a database on a server: in the user's data folder, by the database's name."""
    return users_folder() / "databases" / hashlib.sha256(address.shown.encode()).hexdigest()[:16]
