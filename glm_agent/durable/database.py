"""The database under sessions: how it is opened, what of it is ours beside the engine's tables, and its errors.

SQLite is opened in WAL mode: a record then survives the death of the process, and intents are synced
to the disk beside that. The tables that are ours hold what does not fit a step (see ``session``).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos import error as dbos_errors
from dbos._sys_db import db_retry  # pyright: ignore[reportPrivateUsage]
from sqlalchemy import event, exc
from sqlalchemy.schema import CreateTable

from glm_agent.durable.address import Address
from glm_agent.errors import JournalError
from glm_agent.journal.database import make_folder

_T = TypeVar("_T")

APPLICATION: Final = "glm-agent"
CONNECT_SECONDS: Final = 10

_CONNECTIONS: Final = 20
"""Kept open. A server is asked for no more: those beyond would be made and closed all the time."""

_FREE_BYTES: Final = 64 * 2**20
"""With less room than this nothing new is begun: SQLite on a full disk cannot even say what failed."""
_PRAGMAS: Final = ("busy_timeout=30000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")


class Database:
    """One database; nothing is opened before the first use."""

    def __init__(self, address: Address) -> None:
        self.address = address
        schema = None if address.path else "dbos"
        self.tables = sa.MetaData(schema=schema)
        self.blobs = sa.Table(
            "glm_agent_blobs",
            self.tables,
            sa.Column("session", sa.Text, primary_key=True),
            sa.Column("digest", sa.Text, primary_key=True),
            sa.Column("data", sa.LargeBinary, nullable=False),
        )
        self.inbox = sa.Table(
            "glm_agent_inbox",
            self.tables,
            sa.Column("session", sa.Text, primary_key=True),
            sa.Column("place", sa.Integer, primary_key=True),
            sa.Column("call_id", sa.Text, nullable=False),
            sa.Column("at", sa.Float, nullable=False),
            sa.Column("data", sa.Text, nullable=False),
        )
        self._is_prepared = False

    @property
    def exists(self) -> bool:
        """Whether there may be anything to read: reading makes no file."""
        return self.address.path is None or os.path.exists(self.address.path)

    @cached_property
    def engine(self) -> sa.Engine:
        """Connections to it, for us and for the engine of steps."""
        if self.address.path is None:
            arguments = {"connect_timeout": CONNECT_SECONDS, "application_name": APPLICATION}
            server = sa.create_engine(
                self.address.url, pool_size=_CONNECTIONS, max_overflow=0, pool_pre_ping=True, connect_args=arguments
            )
            event.listen(server, "handle_error", _note_absence)
            return server
        engine = sa.create_engine(self.address.url, pool_size=_CONNECTIONS, max_overflow=_CONNECTIONS)
        event.listen(engine, "connect", _settle)
        return engine

    @cached_property
    def at_once(self) -> sa.Engine:
        """The same connections, for one statement at a time: to a server that is one trip, and a transaction three."""
        return self.engine if self.address.path else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @cached_property
    def client(self) -> DBOSClient:
        """Reads and changes workflows from outside."""
        return DBOSClient(
            system_database_engine=self.engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
            lazy=True,
        )

    def prepare(self) -> None:
        """Make the file and the tables where they are missing, and bring those of an older version up to date."""
        if self._is_prepared:
            return
        with self.explained():
            if self.address.path is not None:
                make_folder(self.address.path.parent)
                with suppress(FileExistsError):
                    os.close(os.open(self.address.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with self.engine.connect():
                pass  # what is wrong is said here, not retried for ever in the engine
            DBOS.migrate(self.address.url)
            for table in self.tables.sorted_tables:
                self._make(table)
        self._is_prepared = True

    def _make(self, table: sa.Table) -> None:
        """Make a table where it is missing; other processes may do so at the same moment."""
        with suppress(exc.IntegrityError, exc.ProgrammingError), self.engine.begin() as connection:
            connection.execute(CreateTable(table, if_not_exists=True))
        with self.engine.connect() as connection:
            connection.execute(sa.select(table).limit(1))

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.destroy()
            del self.__dict__["client"]
        if "engine" in self.__dict__:
            self.engine.dispose()
            del self.__dict__["engine"]
            self.__dict__.pop("at_once", None)
        self._is_prepared = False

    def check_room(self) -> None:
        """Raises ``JournalError`` where the disk of an SQLite file is nearly full."""
        path = self.address.path
        if path is not None and (free := shutil.disk_usage(path.parent).free) < _FREE_BYTES:
            raise JournalError(
                f"there are {free // 2**20} MiB left for '{path}': make room, at least {_FREE_BYTES // 2**20} MiB, "
                "and resume the session"
            )

    def sync(self) -> None:
        """What was written survives a power cut when this returns."""
        if self.address.path is None:
            return  # PostgreSQL syncs every commit
        with self.explained(), open(f"{self.address.path}-wal", "rb") as log:
            os.fsync(log.fileno())

    # -- what does not fit a step

    def keep_blob(self, session: str, digest: str, data: bytes) -> None:
        values = {"session": session, "digest": digest, "data": data}
        with self.explained(), suppress(exc.IntegrityError):
            self._lasting(lambda connection: connection.execute(sa.insert(self.blobs).values(values)))

    def replace_blob(self, session: str, digest: str, data: bytes) -> None:
        """Keep it in the place of what has its name."""
        where = (self.blobs.c.session == session) & (self.blobs.c.digest == digest)

        def replace(connection: sa.Connection) -> None:
            connection.execute(sa.delete(self.blobs).where(where))
            connection.execute(sa.insert(self.blobs).values(session=session, digest=digest, data=data))

        with self.explained():
            self._lasting(replace)

    def blobs_of(self, session: str, digests: Sequence[str]) -> dict[str, bytes]:
        """Those of these names that are there."""
        named = sa.select(self.blobs.c.digest, self.blobs.c.data).where(self.blobs.c.session == session)
        with self.explained():
            found = self._lasting(lambda each: each.execute(named.where(self.blobs.c.digest.in_(digests))).all())
        return {row.digest: bytes(row.data) for row in found}

    def blob(self, session: str, digest: str) -> bytes:
        where = (self.blobs.c.session == session) & (self.blobs.c.digest == digest)
        with self.explained(), self.engine.connect() as connection:
            data: bytes | None = connection.execute(sa.select(self.blobs.c.data).where(where)).scalar()
        if data is None:
            raise JournalError(
                f"session '{session}' in '{self.address.shown}' lacks a large record ({digest[:12]}): "
                "restore a copy, or delete the session"
            )
        return bytes(data)

    def delete_beside(self, session: str) -> bool:
        """Everything of a session that is no step; False where there was nothing."""
        with self.explained(), self.engine.begin() as connection:
            gone = [
                connection.execute(sa.delete(table).where(table.c.session == session)).rowcount
                for table in (self.blobs, self.inbox)
            ]
        return any(gone)

    # -- what other processes say to the calls that wait

    def leave_decision(self, session: str, place: int, *, call_id: str, data: str) -> bool:
        """For the request at that place among the session's facts; False where one was left before."""
        values = {"session": session, "place": place, "call_id": call_id, "at": time.time(), "data": data}
        with self.explained():
            try:
                with self.engine.begin() as connection:
                    connection.execute(sa.insert(self.inbox).values(values))
            except exc.IntegrityError:
                return False
        return True

    def left_decisions(self, session: str) -> list[tuple[int, str]]:
        """Place and text of each, in the order of the places."""
        query = sa.select(self.inbox.c.place, self.inbox.c.data).where(self.inbox.c.session == session)
        with self.explained():
            found = self._lasting(lambda connection: connection.execute(query.order_by(self.inbox.c.place)).all())
        return [(row.place, row.data) for row in found]

    def clear_decisions(self, session: str, place: int) -> bool:
        """Of the request at that place, and of those before it; False where there is none."""
        where = (self.inbox.c.session == session) & (self.inbox.c.place <= place)
        with self.explained():
            return self._lasting(lambda connection: connection.execute(sa.delete(self.inbox).where(where)).rowcount) > 0

    def _lasting(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Work in a transaction, once the server is back where it is away: a running turn must not fail of that."""

        @db_retry()
        def attempt() -> _T:
            with self.engine.begin() as connection:
                return work(connection)

        return attempt()

    @contextmanager
    def explained(self) -> Generator[None]:
        """Turns what drivers raise into a ``JournalError`` that names the database and what to do."""
        try:
            yield
        except (exc.SQLAlchemyError, psycopg.Error, dbos_errors.DBOSException, OSError) as error:
            reason, advice = _reason(error), _advice(error, is_file=self.address.path is not None)
            raise JournalError(f"the database '{self.address.shown}' cannot be used ({reason}): {advice}") from error


def _settle(connection: Any, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _note_absence(context: sa.ExceptionContext) -> None:
    """Have the engine wait for a server whose socket is gone, as it does where a server refuses."""
    error = context.original_exception
    if context.connection is None and isinstance(error, psycopg.OperationalError):
        context.is_disconnect = str(error).startswith("connection is bad") or context.is_disconnect


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The driver's own error first: what stands around it repeats statements, and with them what was said."""
    while error:
        inner = getattr(error, "orig", None)
        if isinstance(inner, BaseException):
            yield inner
        yield error
        if error.__cause__ is None:
            return
        error = error.__cause__


def _reason(error: BaseException) -> str:
    cause = next(_causes(error))
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:300]


_ADVICE: Final = {
    "connection refused": "is the server running, and is host and port right?",
    "no such file or directory": "is the server running, and is its socket there?",
    "password": "give user and password in the address, or in PGUSER and PGPASSWORD",
    "does not exist": "make it first (createdb), or correct the address",
    "permission denied": "the user must be allowed to make tables in it, or somebody who is must do so once",
    "not a database": "the file is no database, or damaged: name another one",
    "malformed": "the file is damaged: move it away, or restore a copy",
    "full": "make room and resume the session",
    "readonly": "make it writable",
    "unable to open": "make the folder and the file writable",
    "locked": "another process holds it; try again when that one is done",
}


def _advice(error: BaseException, *, is_file: bool) -> str:
    said = str(next(_causes(error))).lower()
    if is_file and isinstance(error, OSError):
        return "name a file in a folder that can be written"
    return next((advice for sign, advice in _ADVICE.items() if sign in said), "see the reason in brackets")
