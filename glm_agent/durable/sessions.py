"""The sessions in a database: open one for writing; list, read, export, import, fork and delete them.

The same as ``Journal`` for sessions whose records are the steps of an engine's workflows.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.opening import Description, end_dead, is_in_part, left_by_the_dead, opened
from glm_agent.durable.queue import TurnQueue
from glm_agent.durable.rows import Run, all_runs, records_of, runs_of
from glm_agent.durable.session import DatabaseSession
from glm_agent.durable.summaries import setup_of, summary_of
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import inbox, records, spilled
from glm_agent.journal.fork import fork
from glm_agent.journal.journal import new_session_id
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.search import Hit, hits
from glm_agent.journal.store import checked_id, header_of, origin_of, renamed
from glm_agent.journal.summary import SessionSummary, Setup
from glm_agent.messages import Decision, Fact, JsonObject

if TYPE_CHECKING:
    from glm_agent.journal.replay import Replay
    from glm_agent.models.catalog import ModelInfo
    from glm_agent.registry import Tools
    from glm_agent.turn import Waiting

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

    def facts(self, session_id: str) -> tuple[Fact, ...]:
        """The facts of a session in order, also while another process writes it."""
        return records.facts_of(self.records(session_id))

    def records(self, session_id: str) -> tuple[StoredRecord, ...]:
        """Facts and intents of a session in order, with the times they were kept."""
        return tuple(records_of(self._database, self._runs(session_id)))

    def search(self, text: str) -> Iterator[Hit]:
        """Where a text stands in what was said and done, in the session that was written last first."""
        if not text.strip():
            raise ConfigurationError("there is nothing to search for: give a text")
        ids = [summary.id for summary in self.sessions()]
        return chain.from_iterable(hits(text, self._texts(id), session=id) for id in ids)

    async def replay(
        self,
        session_id: str,
        *,
        tools: Tools | None = None,
        bodies: Mapping[str, bytes] | None = None,
        catalog: Mapping[str, ModelInfo] | None = None,
    ) -> Replay:
        """Run a session once more, offline, and compare every request with what was sent; see ``journal.replay``."""
        from glm_agent.journal.replay import replay

        return await replay(self.facts(session_id), tools=tools, bodies=bodies, catalog=catalog)

    # -- calls that wait for a person

    def waiting(self, session_id: str) -> list[Waiting]:
        """The calls of a session that wait for a person, without those that were decided and not taken up yet."""
        decided = {place for place, _ in self._database.left_decisions(checked_id(session_id))}
        calls = inbox.waiting(self.facts(session_id)).values()
        return [call.request for call in calls if call.place not in decided]

    def left(self, session_id: str) -> Sequence[Decision]:
        """Decisions on calls that wait which nobody has taken up yet."""
        found = self._database.left_decisions(checked_id(session_id))
        return inbox.still_open([(place, inbox.from_text(text)) for place, text in found], self.facts(session_id))

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

    def export(self, session_id: str) -> Iterator[str]:
        """The session as lines of JSON, without line ends: a header, its records, its results kept beside it."""
        header = {**header_of(self.summary(session_id)), "setup": asdict(self.setup(session_id))}
        lines = records.to_lines(header, self.records(session_id))
        return chain(lines, spilled.to_lines(self.results_of(session_id)))

    def missing_results(self, session_id: str) -> list[str]:
        """Ids of long results that the model was told of and that are no longer kept."""
        return spilled.missing(self.facts(session_id), self.results_of(session_id))

    def import_(self, lines: Iterable[str], *, session_id: str | None = None, takes_setup: bool = False) -> str:
        """Add an exported session, under another id where one is given, and return its id.

        ``takes_setup``: also with which options it ran. They name tools and commands that a resume would run, so only
        from who is trusted.

        All or nothing: what an import left that was cut off, the same import replaces. Raises ``JournalError`` that
        names the line that cannot be read, or where the id is taken.
        """
        lines, results = spilled.taken_from(lines)
        header, stored = records.from_lines(lines)
        new = checked_id(session_id or str(header.get("id", "")))
        setup = header.get("setup") if takes_setup else None
        options = cast("JsonObject", setup).get("options") if isinstance(setup, dict) else None
        self._add(new, stored, Description(origin=origin_of(header), options=options or None), results=results)
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
        the model is to have answered. Records beside the facts are not copied: the copy's calls get keys of their own.
        """
        new = checked_id(new_id or new_session_id())
        if facts is None:
            return fork(self, session_id, new_id=new, step=step, edit=edit, answer=answer)
        origin = replace(self.summary(session_id).origin, created=time.time())
        said = [line for line in self.records(session_id) if records.is_fact(line.record)]
        self._add(new, said[:facts], Description(origin=origin, options=self.setup(session_id).options or None))
        if (results := self.results_of(session_id)).is_dir():
            shutil.copytree(results, self.results_of(new), dirs_exist_ok=True)
        return new

    def delete(self, session_id: str) -> None:
        """Delete a session; ``JournalError`` where there is none, or where it is open somewhere."""
        runs = self._runs(session_id)
        end_dead(self._database, runs, session_id)
        with self._database.explained():
            self._database.client.delete_workflows([run.workflow for run in runs])
        self._database.delete_beside(session_id)
        shutil.rmtree(self.results_of(session_id), ignore_errors=True)

    def prune(self, *, older_than_days: float, keep: int = 0, is_dry: bool = False) -> list[str]:
        """Delete the sessions not written for so long, but none that is open; returns their ids.

        The ``keep`` that were written last stay, however old. ``is_dry`` only says which would go.
        """
        limit = time.time() - older_than_days * _DAY_SECONDS
        old = [each.id for each in self.sessions()[keep:] if each.updated < limit]
        return [id for id in old if (not self.is_open(id) if is_dry else self._try_delete(id))]

    def close(self) -> None:
        """Close the connections; the engine of this process stays until the process ends."""
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _database(self) -> Database:
        """That of the running engine where it is the same, so that connections are shared."""
        current = engines.running_on(self.address)
        return current.database if current is not None else self._own

    def _open(self, session_id: str, description: Description, *, is_new: bool = False) -> DatabaseSession:
        engine = engines.engine_for(self.address)
        runs = runs_of(engine.database, session_id)
        if is_new and runs:
            raise JournalError(f"session '{session_id}' exists already: give the new one another id")
        if is_in_part(runs):
            raise JournalError(
                f"session '{session_id}' is in '{self.place}' in part only, because what brought it was cut off: "
                "import or move it once more, or delete it"
            )
        place, used = opened(engine, session_id, runs, described=description)
        try:
            stored = records_of(engine.database, runs)
            return DatabaseSession(session_id, stored=stored, place=place, places_used=used)
        except BaseException:
            with suppress(JournalError):
                place.leave((), updated=time.time())
            raise

    def _add(
        self,
        session_id: str,
        stored: Sequence[StoredRecord],
        description: Description,
        *,
        results: spilled.Files | None = None,
    ) -> None:
        if is_in_part(runs_of(self._database, session_id)):
            self.delete(session_id)
        session = self._open(session_id, replace(description, is_arriving=True), is_new=True)
        try:
            with session:
                spilled.write(results or {}, self.results_of(session_id))
                for line in stored:
                    session.keep(renamed(line.record, session_id), at=line.at)
        except BaseException:
            with suppress(JournalError):
                self.delete(session_id)
            raise

    def _runs(self, session_id: str) -> list[Run]:
        runs = runs_of(self._database, checked_id(session_id))
        if not runs:
            raise self._unknown(session_id)
        return runs

    def _texts(self, session_id: str) -> Iterator[tuple[float, str, str]]:
        for line in records_of(self._database, runs_of(self._database, session_id)):
            if records.is_fact(line.record):
                yield line.at, line.record.kind, json.dumps(asdict(line.record), ensure_ascii=False)

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


def _local_folder(address: Address) -> Path:
    """Of a database on a server: in the user's data folder, by the database's name."""
    from platformdirs import user_data_path

    return user_data_path("glm-agent") / "databases" / hashlib.sha256(address.shown.encode()).hexdigest()[:16]
