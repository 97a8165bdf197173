"""The journal of many sessions: open one for writing; list, read, export, import, fork and delete them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import inbox, log, old, records, spilled
from glm_agent.journal.database import Database, default_path, make_folder
from glm_agent.journal.inbox import Left
from glm_agent.journal.kept import KeptSessions
from glm_agent.journal.lock import SessionLock, sweep
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.session import Session
from glm_agent.journal.store import checked_id, renamed
from glm_agent.journal.summary import Origin, SessionSummary, Setup
from glm_agent.messages import Decision, JsonObject


class Journal(KeptSessions):
    """Sessions in one SQLite file.

    Nothing is opened or made before the first use. One journal serves many threads, tasks and event
    loops; many processes may use the same file; each session has one writer at a time. Without
    ``path`` it is ``journal.db`` in ``GLM_AGENT_HOME``, else in the nearest ``.glm-agent`` folder.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(os.path.expanduser(path)).absolute() if path is not None else default_path()
        self._database = Database(self.path)
        self._described: dict[str, tuple[str, JsonObject | None]] = {}

    @property
    def place(self) -> str:
        """Where the sessions are, for people."""
        return str(self.path)

    def describe(self, session_id: str, *, task: str = "", options: JsonObject | None = None) -> None:
        """Say how a session is run, before it is opened: that is kept with the next record of the session.

        ``task`` is the task file it begins with, ``options`` what a front door needs to go on in the same way.
        """
        self._described[checked_id(session_id)] = (task, options)

    def open(self, session_id: str, *, task: str = "") -> Session:
        """Open a session for writing; it is made with its first record where it is new.

        ``task`` is kept with a new session: the task file it began with. Raises ``ConfigurationError``
        for an id that cannot be one, and ``JournalError`` where another process has it open.
        """
        lock = self._locked(session_id)
        try:
            stored = log.stored(self._database, session_id)
            described, options = self._described.pop(session_id, ("", None))
            return Session(
                session_id,
                stored=stored,
                task=task or described,
                options=options,
                database=self._database,
                lock=lock,
            )
        except BaseException:
            lock.release()
            raise

    def results_of(self, session_id: str) -> Path:
        """The folder for results of a session that were too long for the model; made when it is needed."""
        return self.path.parent / "results" / checked_id(session_id)

    def sessions(self) -> list[SessionSummary]:
        """Every session, the one that was written last first."""
        return log.summaries(self._database)

    def has(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        return log.has(self._database, checked_id(session_id))

    def summary(self, session_id: str) -> SessionSummary:
        """One session's summary; ``JournalError`` where there is none, with the nearest ids."""
        found = log.find(self._database, checked_id(session_id))
        if found is None:
            raise self._unknown(session_id)
        return found

    def setup(self, session_id: str) -> Setup:
        """How a session is run; an empty one where nobody said it, and of a session that is not there."""
        found = log.setup(self._database, checked_id(session_id))
        return found if found.options or not self.has(session_id) else old.setup(self._old_options(session_id))

    def decide(self, session_id: str, decision: Decision) -> None:
        """Leave a decision on a call that waits, for the process that has the session open, or the next one.

        The first decision on a call holds. Raises ``ConfigurationError`` where the call does not wait for one of this
        kind, or has one, and ``JournalError`` where there is no such session.
        """
        while True:
            seen = self.records(session_id)
            place = inbox.place_of(decision, inbox.waiting(records.facts_of(seen)), session=session_id)
            is_left = log.leave(self._database, session_id, decision, place=place, records_seen=len(seen))
            if is_left:
                return
            if is_left is False:
                raise ConfigurationError(
                    f"call '{decision.call_id}' of session '{session_id}' was decided already, and the session has not "
                    f"gone on since: glm-agent run --resume {session_id}"
                )

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        self.summary(session_id)
        return tuple(log.stored(self._database, session_id))

    def delete(self, session_id: str) -> None:
        """Delete a session, or what is left of one; ``JournalError`` where there is none, or where it is open."""
        is_there = self.has(session_id)
        if not is_there and not any(os.path.lexists(path) for path in self._beside(session_id)):
            raise self._unknown(session_id)
        lock = self._locked(session_id)
        try:
            # Records first: who is killed in between leaves files of a session that is gone.
            if is_there:
                log.delete(self._database, session_id)
            elif self.has(session_id):
                return  # it was imported meanwhile
            results, options = self._beside(session_id)
            shutil.rmtree(results, ignore_errors=True)
            options.unlink(missing_ok=True)
        finally:
            lock.release()

    def prune(self, *, older_than_days: float, keep: int = 0, is_dry: bool = False) -> list[str]:
        """See ``KeptSessions.prune``; what killed processes left of locks and deleted sessions is cleared away too."""
        gone = super().prune(older_than_days=older_than_days, keep=keep, is_dry=is_dry)
        if not is_dry:
            sweep(self.path.parent / "locks")
            for left in self.path.parent.glob("results/*"):
                with suppress(ConfigurationError):  # a folder of that name is not ours
                    if not self.has(left.name):
                        self._try_delete(left.name)
        return gone

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._database.close()

    def is_open(self, session_id: str) -> bool:
        """Whether somebody has the session open for writing."""
        if not os.path.exists(self._lock_file(session_id)):
            return False
        try:
            self._locked(session_id).release()
        except JournalError:
            return True
        return False

    def _ids(self) -> list[str]:
        return log.ids(self._database)

    def _texts(self, session_id: str) -> list[tuple[float, str, str]]:
        return log.texts(self._database, session_id)

    def _left(self, session_id: str) -> list[Left]:
        return log.left(self._database, session_id)

    def _beside(self, session_id: str) -> tuple[Path, Path]:
        """What lies beside the journal of a session."""
        return self.results_of(session_id), self._old_options(session_id)

    def _old_options(self, session_id: str) -> Path:
        """Where versions before schema 2 kept how a session is run: in a file beside the journal."""
        return self.path.parent / "runs" / f"{session_id}.json"

    def _lock_file(self, session_id: str) -> Path:
        return self.path.parent / "locks" / f"{checked_id(session_id)}.lock"

    def _locked(self, session_id: str) -> SessionLock:
        path = self._lock_file(session_id)
        lock, folder = SessionLock(path), path.parent
        try:
            make_folder(self.path.parent)
            make_folder(folder)
        except OSError as error:
            raise JournalError(
                f"the folder '{folder}' cannot be made ({error.strerror or error}): "
                "set GLM_AGENT_HOME to a folder that can be written"
            ) from error
        lock.acquire(session_id)
        return lock

    def _add(
        self,
        session_id: str,
        stored: list[StoredRecord],
        *,
        origin: Origin,
        setup: Setup | None = None,
        results: spilled.Files | None = None,
    ) -> None:
        # Under its lock; the session is there when its long results are.
        lock = self._locked(session_id)
        try:
            if log.find(self._database, session_id):
                raise JournalError(f"session '{session_id}' exists already: give the new one another id")
            spilled.write(results or {}, self.results_of(session_id))
            own = [replace(line, record=renamed(line.record, session_id)) for line in stored]
            log.add(self._database, session_id, stored=own, origin=origin, setup=setup)
        finally:
            lock.release()
