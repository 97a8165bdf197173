"""The journal of many sessions: open one for writing; list, read, export, import, fork and delete them."""

from __future__ import annotations

import difflib
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import inbox, log, records, spilled
from glm_agent.journal.database import Database, default_path, make_folder
from glm_agent.journal.fork import fork
from glm_agent.journal.lock import SessionLock, sweep
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.replay import Replay, replay
from glm_agent.journal.search import Hit, hits
from glm_agent.journal.session import Session
from glm_agent.journal.store import checked_id, header_of, origin_of, renamed
from glm_agent.journal.summary import Origin, SessionSummary, Setup
from glm_agent.messages import Decision, Fact, JsonObject
from glm_agent.models.catalog import ModelInfo
from glm_agent.registry import Tools
from glm_agent.turn import Waiting

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
        return log.setup(self._database, checked_id(session_id))

    def waiting(self, session_id: str) -> list[Waiting]:
        """The calls of a session that wait for a person, without those that were decided and not taken up yet."""
        decided = {place for place, _ in log.left(self._database, session_id)}
        calls = inbox.waiting(self.facts(session_id)).values()
        return [call.request for call in calls if call.place not in decided]

    def left(self, session_id: str) -> Sequence[Decision]:
        """Decisions on calls that wait which nobody has taken up yet."""
        return inbox.still_open(log.left(self._database, session_id), self.facts(session_id))

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

    def search(self, text: str) -> Iterator[Hit]:
        """Where a text stands in what was said and done, in the session that was written last first."""
        if not text.strip():
            raise ConfigurationError("there is nothing to search for: give a text")
        ids = log.ids(self._database)
        return chain.from_iterable(hits(text, log.texts(self._database, id), session=id) for id in ids)

    def facts(self, session_id: str) -> tuple[Fact, ...]:
        """The facts of a session in order, also while another process writes it."""
        self.summary(session_id)
        return records.facts_of(log.stored(self._database, session_id))

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        self.summary(session_id)
        return tuple(log.stored(self._database, session_id))

    def export(self, session_id: str) -> Iterator[str]:
        """The session as lines of JSON, without line ends: a header, its records, its results kept beside it."""
        header = {**header_of(self.summary(session_id)), "setup": asdict(self.setup(session_id))}
        stored = log.stored(self._database, session_id)
        return chain(records.to_lines(header, stored), spilled.to_lines(self.results_of(session_id)))

    def missing_results(self, session_id: str) -> list[str]:
        """Ids of long results that the model was told of and that are no longer kept."""
        return spilled.missing(self.facts(session_id), self.results_of(session_id))

    def import_(self, lines: Iterable[str], *, session_id: str | None = None, takes_setup: bool = False) -> str:
        """Add an exported session, under another id where one is given, and return its id.

        ``takes_setup``: also with which options it ran. They name tools and commands that a resume would run, so only
        from who is trusted.

        All or nothing. Raises ``JournalError`` that names the line that cannot be read, or where the
        id is taken.
        """
        lines, results = spilled.taken_from(lines)
        header, stored = records.from_lines(lines)
        new = checked_id(session_id or str(header.get("id", "")))
        setup = _header_setup(header) if takes_setup else None
        self._add(new, stored, origin_of(header), setup=setup, results=results)
        return new

    def fork(
        self,
        session_id: str,
        *,
        new_id: str | None = None,
        facts: int | None = None,
        step: int | None = None,
        edit: str | None = None,
        answer: str | None = None,
    ) -> str:
        """Copy a session, or what stands before a step or its first ``facts`` facts, and return the new id.

        ``step`` is the number of a model request, from 1; ``edit`` is what the user says there instead, ``answer`` what
        the model is to have answered. Records beside the facts are not copied: the copy is a conversation of its own,
        and its calls get other keys. Raises ``ConfigurationError`` where there is no such step.
        """
        new = new_id or new_session_id()
        if facts is None:
            return fork(self, session_id, new_id=new, step=step, edit=edit, answer=answer)
        source = self.summary(session_id)
        said = [line for line in log.stored(self._database, session_id) if records.is_fact(line.record)]
        origin = replace(source.origin, created=time.time())
        self._add(checked_id(new), said[:facts], origin, setup=self.setup(session_id))
        if (results := self.results_of(session_id)).is_dir():
            shutil.copytree(results, self.results_of(new), dirs_exist_ok=True)
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
            # Where options were kept before they stood in the journal.
            (self.path.parent / "runs" / f"{session_id}.json").unlink(missing_ok=True)
        except BaseException:
            lock.release()
            raise
        lock.release()

    def prune(self, *, older_than_days: float, keep: int = 0, is_dry: bool = False) -> list[str]:
        """Delete the sessions not written for so long, but none that is open; returns their ids.

        The ``keep`` that were written last stay, however old. ``is_dry`` only says which would go.
        """
        limit = time.time() - older_than_days * _DAY_SECONDS
        old = [each.id for each in self.sessions()[keep:] if each.updated < limit]
        if is_dry:
            return [id for id in old if not self.is_open(id)]
        sweep(self.path.parent / "locks")
        return [id for id in old if self._try_delete(id)]

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def is_open(self, session_id: str) -> bool:
        """Whether somebody has the session open for writing."""
        if not self._lock_file(session_id).exists():
            return False
        try:
            self._locked(session_id).release()
        except JournalError:
            return True
        return False

    def _try_delete(self, session_id: str) -> bool:
        try:
            self.delete(session_id)
        except JournalError:
            return False
        return True

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
        origin: Origin,
        *,
        setup: Setup | None = None,
        results: spilled.Files | None = None,
    ) -> None:
        """Write a whole session at once, under its lock: it is there when its long results are."""
        lock = self._locked(session_id)
        try:
            if log.find(self._database, session_id):
                raise JournalError(f"session '{session_id}' exists already: give the new one another id")
            spilled.write(results or {}, self.results_of(session_id))
            own = [replace(line, record=renamed(line.record, session_id)) for line in stored]
            log.add(self._database, session_id, stored=own, origin=origin, setup=setup)
        finally:
            lock.release()

    def _unknown(self, session_id: str) -> JournalError:
        known = [each.id for each in self.sessions()]
        near = difflib.get_close_matches(session_id, known, n=3) or known[:3]
        hint = f"did you mean {', '.join(repr(id) for id in near)}?" if near else "it holds none yet"
        return JournalError(f"there is no session '{session_id}' in '{self.path}': {hint}")


def _header_setup(header: dict[str, Any]) -> Setup:
    """How an exported session was run, as far as its header says it."""
    found = header.get("setup")
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    options = said.get("options")
    return Setup(options=cast("JsonObject", options) if isinstance(options, dict) else {})
