"""The file of a journal: where it is, how it is opened, its schema and migrations, and its errors.

One connection per ``Database``, used by any thread under one lock. Facts are committed with
``synchronous=NORMAL``, which in WAL mode survives the death of the process; ``is_synced`` also
survives a power cut. What the rows mean is none of this module's business.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from glm_agent.errors import JournalError

FILE_NAME: Final = "journal.db"
FOLDER_NAME: Final = ".glm-agent"

_APPLICATION_ID: Final = 0x474C4D41
"""``GLMA``: tells our files from other programs' SQLite files."""

_BUSY_SECONDS: Final = 15.0
"""How long a write waits for another process; commits take milliseconds, so this is a hang, not a queue."""

_QUICK_SECONDS: Final = 0.001
"""What may hold up an event loop. On such a disk a change of threads takes half as long as the commit."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE sessions (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            origin TEXT NOT NULL,
            summary TEXT NOT NULL,
            summarised INTEGER NOT NULL
        )""",
        # A record's number is its session's number * 2**32 + its place in the session, from 1: so a session lies
        # together in the file, and appending touches one page. (An index on the session took 1.4 times as long.)
        """CREATE TABLE records (
            number INTEGER PRIMARY KEY,
            session INTEGER NOT NULL,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            key TEXT,
            data TEXT NOT NULL
        )""",
        "CREATE UNIQUE INDEX intents ON records (session, key) WHERE key IS NOT NULL",
        f"PRAGMA application_id = {_APPLICATION_ID}",
    ),
    (
        "ALTER TABLE sessions ADD COLUMN setup TEXT NOT NULL DEFAULT ''",
        # The place is that of the request among the session's facts, from 0.
        """CREATE TABLE inbox (
            session INTEGER NOT NULL,
            place INTEGER NOT NULL,
            call_id TEXT NOT NULL,
            at REAL NOT NULL,
            data TEXT NOT NULL,
            PRIMARY KEY (session, place)
        ) WITHOUT ROWID""",
        "UPDATE sessions SET summarised = 0",  # summaries say more now
    ),
)
"""Entry *n* turns schema version *n* into *n + 1*. Append only: files of every version are out there."""

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


def default_path() -> Path:
    """Where the journal is when nobody says: ``GLM_AGENT_HOME``, else the project's, else the user's.

    The project's is the nearest existing ``.glm-agent/journal.db`` from the working directory
    upwards that belongs to this user, else a new one in the working directory; where that cannot be
    written, the user's data folder.
    """
    if home := os.environ.get("GLM_AGENT_HOME"):
        return Path(os.path.expanduser(home)) / FILE_NAME
    here = _here()
    for folder in (here, *here.parents):
        if _is_ours(path := folder / FOLDER_NAME / FILE_NAME):
            return path
    if os.access(here, os.W_OK):
        return here / FOLDER_NAME / FILE_NAME
    return users_folder() / FILE_NAME


def users_folder() -> Path:
    """Where a user's data is kept.

    Raises ``JournalError`` where the user has no home, as in containers that run under a number alone.
    """
    from platformdirs import user_data_path

    try:
        return user_data_path("glm-agent")
    except RuntimeError as error:
        raise JournalError(
            "there is no place for sessions: this user has no home; "
            "set GLM_AGENT_HOME or HOME to a folder, or work in one that can be written"
        ) from error


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise JournalError(
            "the working directory is gone: change into one that exists, or set GLM_AGENT_HOME to one for sessions"
        ) from None


def _is_ours(path: Path) -> bool:
    """A stranger's file in a shared folder above us must not get our conversations."""
    try:
        return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    except OSError:
        return False


class Database:
    """One SQLite file, opened at first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._synced_in = math.inf

    @property
    def syncs_quickly(self) -> bool:
        """Whether the last synced statement took no time that others would notice; not before there was one."""
        return self._synced_in < _QUICK_SECONDS

    @property
    def is_busy(self) -> bool:
        """Whether a thread of this process is writing right now, so that a write here would wait."""
        return self._lock.locked()

    def execute(self, sql: str, parameters: Parameters = (), *, is_synced: bool = False) -> int:
        """One statement, committed; the number of rows it changed."""
        with self._lock, _Explained(self.path):
            connection = self._opened()
            if not is_synced:
                return connection.execute(sql, parameters).rowcount
            connection.execute("PRAGMA synchronous = FULL")
            began = time.perf_counter()
            try:
                return connection.execute(sql, parameters).rowcount
            finally:
                self._synced_in = time.perf_counter() - began
                connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Several statements, committed at the end of the block and undone when it raises."""
        with self._lock, _Explained(self.path):
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def read(self, sql: str, parameters: Parameters = ()) -> list[Any]:
        """The rows of a query; none where there is no file yet, and reading makes none."""
        with self._lock, _Explained(self.path):
            if self._connection is None and not _is_there(self.path):
                return []
            return self._opened().execute(sql, parameters).fetchall()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            make_folder(self.path.parent)
            _make_file(self.path)
            self._connection = _connect(self.path)
        return self._connection


def _is_there(path: Path) -> bool:
    """Raises ``OSError`` where that cannot be known."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def make_folder(folder: Path) -> None:
    """Make a private folder, with a ``.gitignore`` in it: conversations are not for the repository."""
    if os.path.isdir(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if folder.name == FOLDER_NAME:
            (folder / ".gitignore").write_text("*\n")
        _sync_folder(folder.parent)


def _make_file(path: Path) -> None:
    """SQLite gives its ``-wal`` and ``-shm`` files the mode of the database, so only this one needs care."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new file is safe from a power cut only when its folder's entry is; not possible on Windows."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _migrate(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == len(MIGRATIONS):
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Read again: another process may have migrated while this one waited for the lock.
        for statements in MIGRATIONS[_version(connection, path) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.execute("PRAGMA journal_mode = WAL")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema version; raises for files that are not ours to write."""
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    ((application,),) = connection.execute("PRAGMA application_id").fetchall()
    is_new = version == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    if not is_new and application != _APPLICATION_ID:
        raise JournalError(f"'{path}' is an SQLite file of another program: name another file for the journal")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"the journal '{path}' has schema version {version}, and this version of glm-agent knows up to "
            f"{len(MIGRATIONS)}: upgrade glm-agent, or set GLM_AGENT_HOME to another folder"
        )
    return int(version)


_ADVICE: Final = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged: move it away to begin a new one, or restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is no database, or damaged: move it away to begin a new one",
    sqlite3.SQLITE_READONLY: "make it writable, or set GLM_AGENT_HOME to a folder that is",
    sqlite3.SQLITE_CANTOPEN: "make the folder and the file writable, or set GLM_AGENT_HOME to a folder that is",
    sqlite3.SQLITE_PERM: "make it writable, or set GLM_AGENT_HOME to a folder that is",
    sqlite3.SQLITE_BUSY: "another process holds it; try again when that one is done",
    sqlite3.SQLITE_FULL: "the disk is full: make room and resume the session",
    sqlite3.SQLITE_IOERR: "the disk does not take it: check it for room and defects",
}


class _Explained:
    """Turns what SQLite and the system raise into a ``JournalError`` that names the file and what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            advice = _ADVICE.get(code, "see https://sqlite.org/rescode.html for what it means")
            raise JournalError(f"the journal '{self._path}' cannot be used ({error}): {advice}") from error
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise JournalError(
                f"the journal '{self._path}' cannot be used ({reason}): "
                "set GLM_AGENT_HOME to a folder that can be written"
            ) from error
