"""One writer per session: a lock the system frees when its holder dies, with the holder's name in it."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from glm_agent.errors import JournalError

_ATTEMPTS: Final = 3
"""A holder removes its file when it leaves: who had opened that one before fails once, and finds a new file."""


class SessionLock:
    """Held while a session is open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # flock needs no cleaning up after a kill -9. Not thread-local: a session may be opened on one
        # thread and closed on another, as the portal of ``run_sync`` does.
        self._lock = FileLock(path, timeout=0, mode=0o600, thread_local=False, on_acquired=_sign)

    def acquire(self, session: str) -> None:
        """Take the lock; ``JournalError`` with the holder's name where another has it."""
        try:
            if not self._try():
                raise JournalError(
                    f"session '{session}' is open in another place ({self._holder()}): "
                    "wait until that one ends, or use another session"
                )
        except OSError as error:
            raise JournalError(
                f"the lock '{self._path}' cannot be taken ({error.strerror or error}): "
                "make room and the folder writable, or set GLM_AGENT_HOME to another one"
            ) from error

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        if self._lock.is_locked:
            with suppress(OSError):  # Windows removes no file that is open
                os.truncate(self._path, 0)  # to close a removed file with something in it takes ext4 milliseconds
                self._path.unlink(missing_ok=True)
        self._lock.release()

    def _try(self) -> bool:
        """Whether the lock is ours now."""
        for _ in range(_ATTEMPTS):
            with suppress(Timeout):
                self._lock.acquire()
                return True
        return False

    def _holder(self) -> str:
        try:
            return self._path.read_text(errors="replace").strip() or "holder unknown"
        except OSError:
            return "holder unknown"


def sweep(folder: Path) -> None:
    """Remove the files of locks that nobody holds: of processes that were killed."""
    for path in folder.glob("*.lock"):
        lock = SessionLock(path)
        with suppress(JournalError):
            lock.acquire(path.stem)
            lock.release()


def _sign(descriptor: int) -> None:
    """Who holds it. Only the program's name: arguments may hold secrets."""
    os.ftruncate(descriptor, 0)
    name = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    with suppress(OSError):  # on a full disk sessions can still be deleted
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}, {name}\n".encode(errors="replace"), 0)
