"""Which processes are alive: each holds a lock, which the system or the server frees when it dies."""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from filelock import FileLock, Timeout

from glm_agent.durable.address import Address
from glm_agent.durable.database import APPLICATION, CONNECT_SECONDS
from glm_agent.journal.database import make_folder

_CLASS: Final = 0x474C4D
"""First key of our advisory locks: ``GLM``."""
_ATTACHED: Final = "attached"

SETTLE_SECONDS: Final = 5.0
"""After the server was away nobody is taken for dead for so long: all lost their locks, and come back one by one."""
_LOOK_SECONDS: Final = 0.5
"""Between two looks whether this is closed."""
_AGAIN_SECONDS: Final = 0.2


def new_executor_id(*, is_worker: bool) -> str:
    """New at each start, so that nobody is taken for the one before: host, process, chance, and what it does."""
    kind = "worker" if is_worker else _ATTACHED
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}-{kind}"


def is_worker(executor_id: str) -> bool:
    """Whether its turns can go on in another process: those of a program that calls ``agent.run`` cannot."""
    return executor_id.endswith("-worker")


def described(executor_id: str) -> str:
    """The process, for people."""
    host, pid, _, kind = executor_id.rsplit("-", 3) if executor_id.count("-") >= 3 else (executor_id, "?", "", "")
    return f"process {pid} on {host}" + (", a worker" if kind == "worker" else "")


class Liveness(Protocol):
    """Our own lock, held, and a look at those of others."""

    def hold(self, executor_id: str) -> None:
        """Take the lock of this process; before it begins anything."""
        ...

    def dead(self, executor_ids: Iterable[str]) -> list[str]:
        """Those whose lock is free."""
        ...

    def close(self) -> None: ...


def liveness(address: Address) -> Liveness:
    """The locks of those who work on this database."""
    return FileLiveness(address.path) if address.path else ServerLiveness(address.url)


class FileLiveness:
    """A locked file per process, in a folder beside the database."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f"{path.name}.processes")
        self._own: FileLock | None = None

    def hold(self, executor_id: str) -> None:
        make_folder(self._folder)
        self._own = self._lock(executor_id)
        self._own.acquire()

    def dead(self, executor_ids: Iterable[str]) -> list[str]:
        return [each for each in executor_ids if self._is_dead(each)]

    def close(self) -> None:
        if self._own is not None:
            Path(self._own.lock_file).unlink(missing_ok=True)
            self._own.release()
            self._own = None

    def _is_dead(self, executor_id: str) -> bool:
        lock = self._lock(executor_id)
        path = Path(lock.lock_file)
        if self._own is not None and path == Path(self._own.lock_file):
            return False
        if not os.path.exists(path):
            return True
        try:
            lock.acquire()
        except Timeout:
            return False
        # Nobody has this id again, so the file may go, and the folder does not grow.
        path.unlink(missing_ok=True)
        lock.release()
        return True

    def _lock(self, executor_id: str) -> FileLock:
        return FileLock(self._folder / executor_id, timeout=0, mode=0o600, thread_local=False)


class ServerLiveness:
    """An advisory lock of PostgreSQL: the server frees it when the connection ends.

    It is held by a connection of its own, beside which a thread sleeps: a process that lives has its lock again
    within moments after the connection was cut or the server was away.
    """

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._own = ""
        self._holds, self._looks = threading.Lock(), threading.Lock()
        self._held: psycopg.Connection | None = None
        self._looking: psycopg.Connection | None = None
        self._lost_at = -math.inf
        self._is_closed = threading.Event()

    def hold(self, executor_id: str) -> None:
        self._own = executor_id
        self._take()
        threading.Thread(target=self._keep, name="glm-agent liveness", daemon=True).start()

    def dead(self, executor_ids: Iterable[str]) -> list[str]:
        others = [each for each in executor_ids if each != self._own]
        with self._looks:
            if not others or self._is_closed.wait(self._unsettled()):
                return []
            return [each for each in others if _is_free(self._alive(), each)]

    def close(self) -> None:
        self._is_closed.set()
        with self._holds:
            if self._held is not None:
                self._held.close()
            self._held = None
        with self._looks:
            if self._looking is not None:
                self._looking.close()
            self._looking = None

    def _keep(self) -> None:
        """Have the lock again whenever it was lost."""
        while not self._is_closed.is_set():
            held = self._held
            # Nobody sends anything on this connection but the end of it.
            if held is not None and not held.closed and not select.select([held], [], [], _LOOK_SECONDS)[0]:
                continue
            with suppress(psycopg.Error, OSError, ValueError):
                self._take()
            self._is_closed.wait(_AGAIN_SECONDS)

    def _take(self) -> None:
        with self._holds:
            if self._is_closed.is_set():
                return
            if self._held is not None:
                self._held.close()
            self._held = watched(self._url, name=self._own)
            # Who looks whether we live holds it for microseconds.
            self._held.execute("SELECT pg_advisory_lock(%s, %s)", (_CLASS, _number(self._own)))

    def _unsettled(self) -> float:
        """Seconds until everybody who lives has their lock again, after the server or our connection was gone."""
        row = self._alive().execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8").fetchone()
        age = min(float(row[0]) if row is not None else 0.0, time.monotonic() - self._lost_at)
        return max(0.0, SETTLE_SECONDS - age)

    def _alive(self) -> psycopg.Connection:
        """The connection to look with, made again where it was lost."""
        if self._looking is not None:
            with suppress(psycopg.Error):
                self._looking.execute("SELECT 1")
                return self._looking
            self._looking.close()
            self._lost_at = time.monotonic()
        self._looking = watched(self._url, name=self._own)
        return self._looking


def watched(url: str, *, name: str) -> psycopg.Connection:
    """A connection to hold locks with: that it was lost is noticed within twenty seconds."""
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=f"{APPLICATION} {name}",
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
    )


def _is_free(connection: psycopg.Connection, executor_id: str) -> bool:
    keys = (_CLASS, _number(executor_id))
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", keys).fetchone()
    if row is None or not row[0]:
        return False
    connection.execute("SELECT pg_advisory_unlock(%s, %s)", keys)
    return True


def _number(executor_id: str) -> int:
    """A 32-bit number, as the lock wants it; ids hold a random part, so two alive ones hardly meet."""
    return zlib.crc32(executor_id.encode()) - 2**31
