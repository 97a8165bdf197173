"""The journal of many sessions: open one for writing; list, read, export, import, fork and delete them."""

from __future__ import annotations

import difflib
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from glm_agent.driver import Record
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import log, records
from glm_agent.journal.database import Database, default_path, make_folder
from glm_agent.journal.lock import SessionLock
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.replay import Replay, replay
from glm_agent.journal.session import Session
from glm_agent.journal.summary import Origin, SessionSummary
from glm_agent.messages import Fact, TurnStarted
from glm_agent.models.catalog import ModelInfo
from glm_agent.registry import Tools

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,80}")
_DAY_SECONDS: Final = 86_400.0


def new_session_id() -> str:
    """An id that sorts by time, such as ``20261122-213108-5f3a9c``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


class Journal:
    """Sessions in one SQLite file.

    Nothing is opened or made before the first use. One journal serves many threads, tasks and event
    loops; many processes may use the same file; each session has one writer at a time. Without
    ``path`` it is ``journal.db`` in ``GLM_AGENT_HOME``, else in the nearest ``.glm-agent`` folder.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path).expanduser().absolute() if path is not None else default_path()
        self._database = Database(self.path)

    def open(self, session_id: str, *, task: str = "") -> Session:
        """Open a session for writing; it is made with its first record where it is new.

        ``task`` is kept with a new session: the task file it began with. Raises ``ConfigurationError``
        for an id that cannot be one, and ``JournalError`` where another process has it open.
        """
        lock = self._locked(session_id)
        try:
            facts = records.facts_of(log.stored(self._database, session_id))
            return Session(session_id, facts=facts, task=task, database=self._database, lock=lock)
        except BaseException:
            lock.release()
            raise

    def results_of(self, session_id: str) -> Path:
        """The folder for results of a session that were too long for the model; made when it is needed."""
        return self.path.parent / "results" / _checked(session_id)

    def sessions(self) -> list[SessionSummary]:
        """Every session, the one that was written last first."""
        return log.summaries(self._database)

    def has(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        return log.has(self._database, _checked(session_id))

    def summary(self, session_id: str) -> SessionSummary:
        """One session's summary; ``JournalError`` where there is none, with the nearest ids."""
        found = log.find(self._database, _checked(session_id))
        if found is None:
            raise self._unknown(session_id)
        return found

    def facts(self, session_id: str) -> tuple[Fact, ...]:
        """The facts of a session in order, also while another process writes it."""
        self.summary(session_id)
        return records.facts_of(log.stored(self._database, session_id))

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        self.summary(session_id)
        return tuple(log.stored(self._database, session_id))

    def export(self, session_id: str) -> Iterator[str]:
        """The session as lines of JSON, without line ends: a header with a version, then its records."""
        header = _header(self.summary(session_id))
        return records.to_lines(header, log.stored(self._database, session_id))

    def import_(self, lines: Iterable[str], *, session_id: str | None = None) -> str:
        """Add an exported session, under another id where one is given, and return its id.

        All or nothing. Raises ``JournalError`` that names the line that cannot be read, or where the
        id is taken.
        """
        header, stored = records.from_lines(lines)
        new = _checked(session_id or str(header.get("id", "")))
        self._add(new, stored, _origin(header))
        return new

    def fork(self, session_id: str, *, new_id: str | None = None, facts: int | None = None) -> str:
        """Copy a session, or its first ``facts`` facts, into a new one and return the new id.

        Records beside the facts are not copied: the copy is a conversation of its own, and its calls get other keys.
        """
        source = self.summary(session_id)
        stored = log.stored(self._database, session_id)
        said = [line for line in stored if records.is_fact(line.record)]
        new = _checked(new_id or new_session_id())
        self._add(new, said[:facts], replace(source.origin, created=time.time()))
        return new

    async def replay(
        self,
        session_id: str,
        *,
        tools: Tools | None = None,
        bodies: Mapping[str, bytes] | None = None,
        catalog: Mapping[str, ModelInfo] | None = None,
    ) -> Replay:
        """Run a session once more, offline, and compare every request with what was sent; see ``journal.replay``."""
        return await replay(self.facts(session_id), tools=tools, bodies=bodies, catalog=catalog)

    def delete(self, session_id: str) -> None:
        """Delete a session; ``JournalError`` where there is none, or where it is open somewhere."""
        self.summary(session_id)
        lock = self._locked(session_id)
        try:
            log.delete(self._database, session_id)
            shutil.rmtree(self.results_of(session_id), ignore_errors=True)
        except BaseException:
            lock.release()
            raise
        lock.release(is_last=True)

    def prune(self, *, older_than_days: float) -> list[str]:
        """Delete the sessions not written for so long, but none that is open; returns their ids."""
        limit = time.time() - older_than_days * _DAY_SECONDS
        return [old.id for old in self.sessions() if old.updated < limit and self._try_delete(old.id)]

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _try_delete(self, session_id: str) -> bool:
        try:
            self.delete(session_id)
        except JournalError:
            return False
        return True

    def _locked(self, session_id: str) -> SessionLock:
        folder = self.path.parent / "locks"
        lock = SessionLock(folder / f"{_checked(session_id)}.lock")
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

    def _add(self, session_id: str, stored: list[StoredRecord], origin: Origin) -> None:
        """Write a whole session at once, under its lock."""
        lock = self._locked(session_id)
        try:
            if log.find(self._database, session_id):
                raise JournalError(f"session '{session_id}' exists already: give the new one another id")
            own = [replace(line, record=_renamed(line.record, session_id)) for line in stored]
            log.add(self._database, session_id, stored=own, origin=origin)
        finally:
            lock.release()

    def _unknown(self, session_id: str) -> JournalError:
        known = [each.id for each in self.sessions()]
        near = difflib.get_close_matches(session_id, known, n=3) or known[:3]
        hint = f"did you mean {', '.join(repr(id) for id in near)}?" if near else "it holds none yet"
        return JournalError(f"there is no session '{session_id}' in '{self.path}': {hint}")


def _checked(session_id: str) -> str:
    """The id, which is also the name of a file."""
    if not _ID.fullmatch(session_id):
        raise ConfigurationError(
            f"'{session_id[:100]}' cannot be the id of a session: use 1 to 80 letters, digits, '.', '_' and '-'"
        )
    return session_id


def _renamed(record: Record, session_id: str) -> Record:
    """The record in a session of another id: the keys of its calls are made from that id."""
    return replace(record, session=session_id) if isinstance(record, TurnStarted) else record


def _header(summary: SessionSummary) -> dict[str, Any]:
    """What an export says beside the records, which hold the rest."""
    return {"id": summary.id, "origin": asdict(summary.origin)}


def _origin(header: dict[str, Any]) -> Origin:
    """Where an exported session began, as far as its header says it."""
    found = header.get("origin")
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    created = said.get("created")
    return Origin(
        created=float(created) if isinstance(created, int | float) else time.time(),
        folder=str(said.get("folder", "")),
        task=str(said.get("task", "")),
        version=str(said.get("version", "")),
    )
