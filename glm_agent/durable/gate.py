"""The gate of a key and model over all workers of a PostgreSQL database: its places are advisory locks.

The server frees the places of a process that dies. How many there are is one row of a table, which all workers
read with every place they take: a refusal (1302) that one of them meets halves it for all.
"""

from __future__ import annotations

import copy
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, LiteralString, Protocol, TypeVar, cast

import anyio
import anyio.to_thread
import psycopg
import sqlalchemy as sa

from glm_agent.durable.address import Address
from glm_agent.durable.liveness import watched
from glm_agent.errors import JournalError, ModelError
from glm_agent.models.limit import PATIENCE_SECONDS, Limit
from glm_agent.models.waiting import Place

_T = TypeVar("_T")
_log = logging.getLogger("glm_agent.durable")

_POLL_SECONDS: Final = 0.05
"""A lock that another process frees tells nobody; only the first of those that wait in a process asks."""
UNLIMITED: Final = 1_024
"""Places where no limit is known: each request takes one all the same, so that a refusal knows how many ran."""

_TABLE: Final = """CREATE TABLE IF NOT EXISTS glm_agent_gates (
    account TEXT PRIMARY KEY, most INTEGER, round INTEGER NOT NULL DEFAULT 0)"""

_MADE_AT_ONCE: Final = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateTable,
)
"""What ``IF NOT EXISTS`` says where another process makes the table at the same moment: by how far that one has got."""

_BEGIN: Final = "INSERT INTO glm_agent_gates (account, most) VALUES (%s, %s) ON CONFLICT (account) DO NOTHING"

_BOUND: Final = "UPDATE glm_agent_gates SET most = %(bound)s WHERE account = %(account)s AND most > %(bound)s"

# Locks of one connection do not keep it out: its own places are left out, and before the lock is tried.
_TAKE: Final = """SELECT gate.round, gate.most, (
    SELECT slot FROM generate_series(0, coalesce(gate.most, %(unlimited)s) - 1) AS slot
    WHERE CASE WHEN slot = ANY(%(own)s) THEN false ELSE pg_try_advisory_lock(%(number)s, slot) END LIMIT 1)
    FROM glm_agent_gates AS gate WHERE account = %(account)s"""

_GIVE: Final = "SELECT pg_advisory_unlock(%s, %s)"

_HALVE: Final = """UPDATE glm_agent_gates SET round = round + 1, most = greatest(1, (
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND classid::bigint = %(number)s AND objsubid = 2) / 2)
    WHERE account = %(account)s AND round = %(round)s"""

_GROW: Final = """UPDATE glm_agent_gates SET most = least(most + 1, %(bound)s)
    WHERE account = %(account)s AND round = %(round)s"""


class GateServer:
    """The connection of one process to the gates of all. Blocking; any thread may use it."""

    def __init__(self, url: str, *, bound: int | None = None) -> None:
        address = Address.parse(url)
        self._shown = address.shown
        self._url = sa.make_url(address.url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._bound = bound
        self._mutex = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._own: dict[str, set[int]] = {}
        self._begun = set[str]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="glm-agent gate")

    def limit(self, account: str) -> SharedLimit:
        """The limit of a key and model."""
        return SharedLimit(self, account)

    def take(self, account: str) -> tuple[int, int, int | None] | None:
        """A place: its slot, its round, and how many places there are; None where all are taken."""

        def take(connection: psycopg.Connection) -> tuple[int, int, int | None] | None:
            if account not in self._begun:
                connection.execute(_BEGIN, (account, self._bound))
                if self._bound is not None:
                    connection.execute(_BOUND, {"account": account, "bound": self._bound})
                self._begun.add(account)
            own = self._own.setdefault(account, set())
            values = {"account": account, "number": _number(account), "own": list(own), "unlimited": UNLIMITED}
            row = cast("tuple[int, int | None, int | None] | None", connection.execute(_TAKE, values).fetchone())
            if row is None or row[2] is None:
                return None
            own.add(row[2])
            return row[2], row[0], row[1]

        return self._do(take)

    def give(self, account: str, slot: int) -> None:
        """A place back. One that was lost with its connection is free already."""

        def give(connection: psycopg.Connection) -> None:
            own = self._own.get(account, set())
            if slot in own:
                connection.execute(_GIVE, (_number(account), slot))
                own.discard(slot)

        self._do(give)

    def refused(self, account: str, *, round: int) -> None:
        """Too many ran: half of them may. Requests of one round are refused together, whoever made them."""
        self._change(_HALVE, {"account": account, "number": _number(account), "round": round})

    def grow(self, account: str, *, round: int) -> None:
        """A full round of successes: one more may run."""
        self._change(_GROW, {"account": account, "bound": self._bound or 2**31 - 1, "round": round})

    def later(self, work: Callable[..., None], *given: Any, **named: Any) -> None:
        """Do it soon, in order: an event loop does not wait for it."""
        self._thread.submit(self._quietly, partial(work, *given, **named))

    def close(self) -> None:
        self._thread.shutdown()
        with self._mutex:
            self._forget()

    def _quietly(self, work: Callable[[], None]) -> None:
        try:
            work()
        except JournalError as error:  # a connection that is lost has given its places back
            _log.warning("%s", error)

    def _change(self, sql: LiteralString, values: dict[str, Any]) -> None:
        self._do(lambda connection: connection.execute(sql, values))

    def _do(self, work: Callable[[psycopg.Connection], _T]) -> _T:
        """With the connection, made again once where it was lost."""
        with self._mutex:
            try:
                try:
                    return work(self._connected())
                except psycopg.OperationalError:
                    self._forget()
                    return work(self._connected())
            except psycopg.Error as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise JournalError(
                    f"the database '{self._shown}' cannot be asked for a place ({reason}): is the server running?"
                ) from error

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = watched(self._url, name="gate")
            with suppress(*_MADE_AT_ONCE):
                self._connection.execute(_TABLE)
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._own = None, {}


class Gate(Protocol):
    """Where the places are: a server, or files."""

    def take(self, account: str) -> tuple[int, int, int | None] | None: ...
    def give(self, account: str, slot: int) -> None: ...
    def refused(self, account: str, *, round: int) -> None: ...
    def grow(self, account: str, *, round: int) -> None: ...
    def later(self, work: Callable[..., None], *given: Any, **named: Any) -> None: ...


class SharedLimit(Limit):
    """A limit that all workers of a database share. Who waits in this process waits in lanes, as ever."""

    def __init__(self, server: Gate, account: str, **more: Any) -> None:
        super().__init__(**more)
        self._server, self._account = server, account
        self._turnstile = Limit(1)
        self._counted = 0

    async def enter(self, *, patience_seconds: float = PATIENCE_SECONDS) -> Place:
        while True:
            place = await super().enter(patience_seconds=patience_seconds)
            try:
                slot, round = await self._slot()
            except BaseException:
                super().leave(place, outcome=None)
                raise
            taken = place._replace(slot=slot, round=round)
            refusal = self.refusal
            if refusal is None or place.is_probe:
                return taken
            self.leave(taken, outcome=None)  # it came while this one waited for its slot
            if not refusal.is_retryable:
                raise copy.copy(refusal)

    def leave(self, place: Place, *, outcome: bool | None, error: ModelError | None = None) -> None:
        # What a refusal says is this process's business too; how many there may be is the server's.
        super().leave(place, outcome=outcome or None, error=error)
        if outcome is False:
            self._server.later(self._server.refused, self._account, round=place.round)
        elif outcome and self._is_full_round():
            self._server.later(self._server.grow, self._account, round=place.round)
        self._server.later(self._server.give, self._account, place.slot)

    def _succeed(self) -> None:
        self.refusal, self._overloads = None, 0

    async def _slot(self) -> tuple[int, int]:
        """A place of the server's, and its round; one at a time asks in each process."""
        turn = await self._turnstile.enter()
        try:
            while (taken := await self._try()) is None:  # noqa: ASYNC110 (it is freed in another process)
                await anyio.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))
        finally:
            self._turnstile.leave(turn, outcome=None)
        # Those that would find no place wait here, where they can be told of a refusal.
        slot, round, self.most = taken
        return slot, round

    async def _try(self) -> tuple[int, int, int | None] | None:
        found = None
        with anyio.CancelScope(shield=True):  # a place that is taken by nobody would stay taken
            found = await anyio.to_thread.run_sync(self._server.take, self._account)
        return found  # noqa: RET504 (for type checkers, a cancel scope may swallow what its block raises)

    def _is_full_round(self) -> bool:
        """Whether as many succeeded in this process as there are places."""
        if self.most is None:
            return False
        self._counted += 1
        if self._counted < self.most:
            return False
        self._counted = 0
        return True


def _number(account: str) -> int:
    """The first key of its locks."""
    return int(account[:8], 16) & 0x7FFFFFFF
