"""One writer per session: a lock the system frees when its holder dies, with the holder's name in it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from glm_agent.errors import JournalError


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
            self._lock.acquire()
        except Timeout as error:
            raise JournalError(
                f"session '{session}' is open in another place ({self._holder()}): "
                "wait until that one ends, or use another session"
            ) from error
        except OSError as error:
            raise JournalError(f"the lock '{self._path}' cannot be taken: {error.strerror or error}") from error

    def release(self, *, is_last: bool = False) -> None:
        """Give the lock back; ``is_last`` also removes its file, for a session that is gone."""
        if is_last:
            self._path.unlink(missing_ok=True)
        self._lock.release()

    def _holder(self) -> str:
        try:
            return self._path.read_text(errors="replace").strip() or "holder unknown"
        except OSError:
            return "holder unknown"


def _sign(descriptor: int) -> None:
    """Who holds it. Only the program's name: arguments may hold secrets."""
    os.ftruncate(descriptor, 0)
    name = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}, {name}\n".encode(errors="replace"), 0)
