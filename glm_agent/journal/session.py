"""One session, open for writing: the ``Steps`` that keep a turn's answers in the journal."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio
import anyio.to_thread

from glm_agent.driver import Intent, NestedCall, Record, Slot
from glm_agent.errors import JournalError
from glm_agent.journal import inbox, records
from glm_agent.journal.closing import Closing
from glm_agent.journal.database import Database
from glm_agent.journal.lock import SessionLock
from glm_agent.journal.log import SessionLog
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.remembered import Head
from glm_agent.messages import Decision, Fact, JsonObject
from glm_agent.turn import Turn, open_calls, rebuild


class Session(Closing):
    """A session open for writing; use it as a context manager. Implements the driver's ``Steps``."""

    allows_early = True

    def __init__(
        self,
        id: str,
        *,
        stored: Sequence[StoredRecord],
        task: str,
        options: JsonObject | None = None,
        database: Database,
        lock: SessionLock,
    ) -> None:
        self.id = id
        self.holder = uuid.uuid4().hex
        """New with every opening: an intent with another holder was begun by someone who is gone."""
        self._head = Head(f"{database.path} {id}", records.facts_of(stored))
        self._facts = self._head.facts
        self._begun = records.begun_calls(stored)
        self._database = database
        self._log = SessionLog(database, id, task=task, options=options)
        self._lock = lock
        self._is_open = True
        self._threads: anyio.CapacityLimiter | None = None

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact of the session in order: what was stored at the opening, then what came since."""
        return tuple(self._facts)

    @property
    def turn(self) -> Turn | None:
        """What the facts make; None where there are none. Raises ``TurnError`` where they are no turn."""
        return self._head.turn

    def reserve(self) -> Slot:
        """A place for the next record. The log is in the order of the answers, so places need no number."""
        return _Slot(self._keep)

    def gate(self) -> AbstractAsyncContextManager[None]:
        """Open: each record is kept before its answer is used, so there is nothing to drain."""
        return nullcontext()

    def nested(self, key: str) -> NestedCall | None:
        """The nested call of this key that came to its end, in this process or an earlier one."""
        return self._log.nested(key)

    def begun(self) -> frozenset[str]:
        """Ids of the open calls that an earlier process began, or may have."""
        if not self._begun:
            return frozenset()
        return self._begun & {call.id for call in open_calls(rebuild(self._facts).messages)}

    def decisions(self) -> tuple[Decision, ...]:
        """What other processes decided about the calls that wait now; kept as a fact, it is taken."""
        left = self._log.left()
        return inbox.still_open(left, self._facts) if left else ()

    def keep(self, record: Record) -> Record:
        """Append a record and return it as stored; of an intent, the first one with its key.

        Of decisions on a call, it is the first one too: another process may have left one meanwhile.

        A fact survives ``kill -9`` when this returns, an intent also a power cut. Raises ``JournalError``.
        """
        if not self._is_open:
            raise JournalError(f"session '{self.id}' is closed: open it again to go on")
        if isinstance(record, Decision):
            return self._keep_decision(record)
        record, text = records.encode(record)
        is_new = self._log.append(record, text)
        if isinstance(record, Intent):
            return record if is_new else self._log.intent(record)
        if records.is_fact(record):
            self._facts.append(record)
        return record

    def _keep_decision(self, decision: Decision) -> Decision:
        call = inbox.waiting(self._facts).get(decision.call_id)
        decision = self._log.decide(decision, place=call.place if call is not None else -1)
        self._facts.append(decision)
        return decision

    def close(self) -> None:
        """Keep the session's summary and let others write. May be called twice."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._log.end(self._head)
        finally:
            self._lock.release()

    async def _keep(self, record: Record) -> Record:
        """``keep``, in a worker thread where it may take long enough to hold up the event loop."""
        # A fact is committed in microseconds; an intent waits for the disk, and so does who comes meanwhile. Where the
        # disk was quick the last time, the change of threads would take nearly as long as the disk.
        is_quick = self._database.syncs_quickly or not isinstance(record, Intent)
        if is_quick and not self._is_keeping and not self._database.is_busy:
            return self.keep(record)
        self._threads = self._threads or anyio.CapacityLimiter(1)
        # Shielded: an answer that is there is kept, also when the run is cancelled at this moment.
        with anyio.CancelScope(shield=True):
            record = await anyio.to_thread.run_sync(self.keep, record, limiter=self._threads)
        return record  # noqa: RET504 (for type checkers, a cancel scope may swallow what its block raises)

    @property
    def _is_keeping(self) -> bool:
        """Whether a worker thread keeps a record, whose number is drawn before the database is busy."""
        return self._threads is not None and self._threads.borrowed_tokens > 0


class _Slot:
    def __init__(self, keep: Callable[[Record], Awaitable[Record]]) -> None:
        self._keep = keep

    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        return await self._keep(await answer())
