"""One session, open for writing: the ``Steps`` that keep a turn's answers as steps of a workflow.

An answer is made first and then recorded, at the place that was reserved for it in the model's call
order. So an error of the database is never taken for the answer, and what a running tool keeps (nested
calls) has a place like everything else. A turn that goes on in another process is rebuilt from the
records; none is matched by its place, so the rules of a turn may change between two versions.

What a turn begins with is written together with the record after it: alone it says nothing that the
next process would not say anew. Everything else is on record before it is used.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import Context
from typing import Final, Protocol

import anyio
import anyio.to_thread
from dbos import DBOS

from glm_agent.driver import Intent, NestedCall, Record, Slot
from glm_agent.durable.database import Database
from glm_agent.durable.drain import Drain
from glm_agent.durable.keeping import Owned, Step, keep
from glm_agent.durable.rows import remembered_as
from glm_agent.durable.shared import SharedResults
from glm_agent.errors import JournalError
from glm_agent.journal import inbox, records
from glm_agent.journal.closing import Closing
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.remembered import Head
from glm_agent.messages import Decision, Fact, TurnStarted
from glm_agent.turn import Turn, open_calls, rebuild

LARGE_BYTES: Final = 256 * 1024
"""A record longer than this lies beside its step, which names it: steps are read as a whole, and often."""
_THREADS: Final = 8
_AT_ONCE: Final = 100
"""Records that come from elsewhere in one statement; PostgreSQL takes 65,535 values in one, SQLite half of that."""


class Place(Protocol):
    """The workflow that a session's records go to."""

    database: Database
    drain: Drain
    context: Context
    """In which its places are drawn."""
    owned: Owned

    def leave(self, facts: Sequence[Fact], *, updated: float, turn: Turn | None = None) -> None:
        """The session is closed; these are its facts, the last kept at ``updated`` (seconds since 1970)."""
        ...


class DatabaseSession(Closing):
    """A session open for writing; use it as a context manager. Implements the driver's ``Steps``."""

    allows_early = False  # only what the recorded response asks for may have run

    def __init__(
        self,
        id: str,
        *,
        stored: Sequence[StoredRecord],
        place: Place,
        places_used: int = 0,
        results: SharedResults | None = None,
    ) -> None:
        self.id = id
        self._results = results
        self.holder = uuid.uuid4().hex
        """New with every opening: an intent with another holder was begun by someone who is gone."""
        self._head = Head(remembered_as(place.database, place.owned.run), records.facts_of(stored))
        self._facts = self._head.facts
        self._intents = {line.record.key: line.record for line in stored if isinstance(line.record, Intent)}
        self._nested = {line.record.key: line.record for line in stored if isinstance(line.record, NestedCall)}
        self._place = place
        self._begun = records.begun_calls(stored)
        self._updated = stored[-1].at if stored else time.time()
        self._is_open = True
        self._threads: anyio.CapacityLimiter | None = None
        self._ahead: list[Step] = []
        """Steps that are written with the next one."""
        self._writes_ahead = threading.Lock()
        for _ in range(places_used):
            self._reserve()  # places of the run that this one goes on with

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact of the session in order: what was stored at the opening, then what came since."""
        return tuple(self._facts)

    @property
    def turn(self) -> Turn | None:
        """What the facts make; None where there are none. Raises ``TurnError`` where they are no turn."""
        return self._head.turn

    def reserve(self) -> Slot:
        """The place of the next record, numbered in the order of these calls."""
        return _Slot(self._keep, self._reserve())

    def gate(self) -> AbstractAsyncContextManager[None]:
        """Held while an answer is made and kept; closed for good when the process is about to end."""
        return self._place.drain.gate()

    def nested(self, key: str) -> NestedCall | None:
        """The nested call of this key that came to its end, in this process or an earlier one."""
        return self._nested.get(key)

    def begun(self) -> frozenset[str]:
        """Ids of the open calls that an earlier process began, or may have."""
        if not self._begun:
            return frozenset()
        return self._begun & {call.id for call in open_calls(rebuild(self._facts).messages)}

    def decisions(self) -> Sequence[Decision]:
        """What other processes left for the calls that wait now; gone once it is kept as a fact."""
        if not inbox.waiting(self._facts):
            return ()
        left = self._left()
        return inbox.still_open(left, self._facts) if left else ()

    def keep(self, record: Record) -> Record:
        """Append a record and return it as stored; of an intent, the first one with its key.

        It survives ``kill -9`` when this returns, an intent also a power cut. Raises ``JournalError``.
        """
        return self._record(record, self._reserve())

    def add(self, stored: Sequence[StoredRecord]) -> None:
        """Append records that were kept elsewhere, with their times; many in one transaction."""
        for first in range(0, len(stored), _AT_ONCE):
            self._place.database.check_room()
            lines = [(line.at, *records.encode(line.record)) for line in stored[first : first + _AT_ONCE]]
            if self._results is not None:
                for _, record, _ in lines:
                    self._results.keep(record)
            self._write([self._step(self._reserve(), record, text, at=at) for at, record, text in lines])
            self._facts += [record for _, record, _ in lines if records.is_fact(record)]
            self._updated = lines[-1][0]

    def close(self) -> None:
        """End the run and let others write. May be called twice."""
        if self._is_open:
            self._is_open = False
            try:
                if self._ahead:
                    self._write(())
            finally:
                self._place.leave(self.facts, updated=self._updated, turn=self._head.made)

    async def _keep(self, place: int, record: Record) -> Record:
        if isinstance(record, TurnStarted):
            return self._begin(record, place)
        self._threads = self._threads or anyio.CapacityLimiter(_THREADS)
        # Shielded: an answer that is there is kept, also when the run is cancelled at this moment.
        with anyio.CancelScope(shield=True):
            record = await anyio.to_thread.run_sync(self._record, record, place, limiter=self._threads)
        return record  # noqa: RET504 (for type checkers, a cancel scope may swallow what its block raises)

    def _begin(self, started: TurnStarted, place: int) -> Record:
        """Part of the session at once, and written with what follows."""
        self._place.database.check_room()
        record, text = records.encode(started)
        self._ahead.append(self._step(place, record, text))
        assert records.is_fact(record)
        self._facts.append(record)
        self._updated = time.time()
        return record

    def _record(self, record: Record, place: int) -> Record:
        if isinstance(record, Intent) and (begun := self._intents.get(record.key)) is not None:
            return begun
        self._place.database.check_room()
        request = -1
        if isinstance(record, Decision):
            request, record = self._first(record)
        # Text that cannot be kept is mended: the turn goes on with what stands on record, as a resumed one would.
        record, text = records.encode(record)
        if self._results is not None:
            self._results.keep(record)
        self._write((self._step(place, record, text),))
        # Only now is it part of the session: what the database refused was never said.
        self._updated = time.time()
        if isinstance(record, Intent):
            self._place.database.sync()
            self._intents[record.key] = record
        elif isinstance(record, NestedCall):
            self._nested[record.key] = record
        elif records.is_fact(record):
            self._facts.append(record)
            if request >= 0:
                self._place.database.clear_decisions(self.id, request)
        return record

    def _left(self) -> list[tuple[int, Decision]]:
        """Decisions of other processes that nobody took yet."""
        return [(place, inbox.from_text(text)) for place, text in self._place.database.left_decisions(self.id)]

    def _first(self, decision: Decision) -> tuple[int, Decision]:
        """The place of the call it is about, and the first decision on it, which may have come from elsewhere."""
        call = inbox.waiting(self._facts).get(decision.call_id)
        if call is None:
            return -1, decision
        return call.place, dict(self._left()).get(call.place, decision)

    def _write(self, steps: Sequence[Step]) -> None:
        with self._writes_ahead if self._ahead else nullcontext():  # calls that run at once are kept in threads
            keep(self._place.database, self._place.owned, (*self._ahead, *steps))
            self._ahead.clear()

    def _step(self, place: int, record: Record, text: str, *, at: float | None = None) -> Step:
        """The record, or the name of what lies beside it; and ``at``, where that is not now."""
        encoded = text.encode()
        if len(encoded) > LARGE_BYTES:
            digest = hashlib.sha256(encoded).hexdigest()
            self._place.database.keep_blob(self.id, digest, encoded)
            text = json.dumps({"kind": record.kind, "blob": digest, "bytes": len(encoded)})
        return Step(place, record.kind, text if at is None else f'{text[:-1]},"at":{at!r}}}')

    def _reserve(self) -> int:
        if not self._is_open:
            raise JournalError(f"session '{self.id}' is closed: open it again to go on")
        return self._place.context.copy().run(DBOS.reserve_step).step_id


class _Slot:
    def __init__(self, keep: Callable[[int, Record], Awaitable[Record]], place: int) -> None:
        self._keep, self._place = keep, place

    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        return await self._keep(self._place, await answer())
