"""What every store of sessions does in the same way, whatever its records are kept in."""

from __future__ import annotations

import difflib
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import inbox, records, spilled
from glm_agent.journal.closing import Closing
from glm_agent.journal.fork import fork
from glm_agent.journal.inbox import Left
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.search import Hit, hits
from glm_agent.journal.store import checked_id, header_of, new_session_id, origin_of
from glm_agent.journal.summary import Origin, SessionSummary, Setup
from glm_agent.messages import Decision, Fact, JsonObject
from glm_agent.turn import Waiting

if TYPE_CHECKING:
    from glm_agent.journal.replay import Replay
    from glm_agent.models.catalog import ModelInfo
    from glm_agent.registry import Tools
    from glm_agent.wire.dialects import Dialect

_DAY_SECONDS: Final = 86_400.0


class KeptSessions(Closing):
    """Sessions, from what a store does in its own way: list them, read one, add one, delete one."""

    @property
    @abstractmethod
    def place(self) -> str: ...
    @abstractmethod
    def sessions(self) -> list[SessionSummary]: ...
    @abstractmethod
    def summary(self, session_id: str) -> SessionSummary: ...
    @abstractmethod
    def setup(self, session_id: str) -> Setup: ...
    @abstractmethod
    def records(self, session_id: str) -> tuple[StoredRecord, ...]: ...
    @abstractmethod
    def results_of(self, session_id: str) -> Path: ...
    @abstractmethod
    def is_open(self, session_id: str) -> bool: ...
    @abstractmethod
    def delete(self, session_id: str) -> None: ...
    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _ids(self) -> list[str]:
        """Every session's id, the one that was written last first."""

    @abstractmethod
    def _texts(self, session_id: str) -> Iterable[tuple[float, str, str]]:
        """Time, kind and JSON of the records that hold words."""

    @abstractmethod
    def _left(self, session_id: str) -> list[Left]:
        """Decisions that other processes left, with the places of what they answer."""

    @abstractmethod
    def _add(
        self,
        session_id: str,
        stored: list[StoredRecord],
        *,
        origin: Origin,
        setup: Setup | None = None,
        results: spilled.Files | None = None,
    ) -> None:
        """Write a whole session at once: all or nothing, and not over another one."""

    # -- reading

    def facts(self, session_id: str) -> tuple[Fact, ...]:
        """The facts of a session in order, also while another process writes it."""
        return records.facts_of(self.records(session_id))

    def search(self, text: str) -> Iterator[Hit]:
        """Where a text stands in what was said and done, in the session that was written last first."""
        if not text.strip():
            raise ConfigurationError("there is nothing to search for: give a text")
        return chain.from_iterable(hits(text, self._texts(id), session=id) for id in self._ids())

    async def replay(
        self,
        session_id: str,
        *,
        tools: Tools | None = None,
        bodies: Mapping[str, bytes] | None = None,
        catalog: Mapping[str, ModelInfo] | None = None,
        dialects: Iterable[Dialect] = (),
    ) -> Replay:
        """Run a session once more, offline, and compare every request with what was sent; see ``journal.replay``."""
        from glm_agent.journal.replay import replay

        facts = self.facts(session_id)
        return await replay(facts, tools=tools, bodies=bodies, catalog=catalog, dialects=dialects)

    # -- calls that wait for a person

    def waiting(self, session_id: str) -> list[Waiting]:
        """The calls of a session that wait for a person, without those that were decided and not taken up yet."""
        calls = inbox.waiting(self.facts(session_id)).values()
        decided = {place for place, _ in self._left(session_id)}
        return [call.request for call in calls if call.place not in decided]

    def left(self, session_id: str) -> Sequence[Decision]:
        """Decisions on calls that wait which nobody has taken up yet."""
        return inbox.still_open(self._left(session_id), self.facts(session_id))

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
        setup = _setup_of(header) if takes_setup else None
        self._add(new, stored, origin=origin_of(header), setup=setup, results=results)
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
        and its calls get other keys. Raises ``ConfigurationError`` where there is no such step, or not so many facts.
        """
        new = checked_id(new_id or new_session_id())
        if facts is None:
            return fork(self, session_id, new_id=new, step=step, edit=edit, answer=answer)
        if (step, edit, answer) != (None, None, None):
            raise ConfigurationError("facts= says where the copy ends: leave out step=, edit= and answer=, or facts=")
        origin = replace(self.summary(session_id).origin, created=time.time())
        said = [line for line in self.records(session_id) if records.is_fact(line.record)]
        if not 1 <= facts <= len(said):
            raise ConfigurationError(f"session {session_id!r} has {len(said)} facts: it cannot be copied up to {facts}")
        results = spilled.read(self.results_of(session_id))
        self._add(new, said[:facts], origin=origin, setup=self.setup(session_id), results=results)
        return new

    def prune(self, *, older_than_days: float, keep: int = 0, is_dry: bool = False) -> list[str]:
        """Delete the sessions not written for so long, but none that is open; returns their ids.

        The ``keep`` that were written last stay, however old. ``is_dry`` only says which would go.
        """
        limit = time.time() - older_than_days * _DAY_SECONDS
        old = [each.id for each in self.sessions()[keep:] if each.updated < limit]
        return [id for id in old if (not self.is_open(id) if is_dry else self._try_delete(id))]

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
        return JournalError(f"there is no session '{session_id}' in '{self.place}': {hint}")


def _setup_of(header: dict[str, Any]) -> Setup:
    """How an exported session was run, as far as its header says it."""
    found = header.get("setup")
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    options = said.get("options")
    return Setup(options=cast("JsonObject", options) if isinstance(options, dict) else {})
