"""A process that kills itself at one of its steps: before a statement that writes, or a change in the file system."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from functools import partial
from itertools import count
from typing import Any

WRITES = ("INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE", "ALTER")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def at(number: int) -> None:
    """From now on; steps are numbered from 1."""
    seen = count(1)

    def step() -> None:
        if next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(sql: str) -> None:
        if sql.lstrip().upper().startswith(WRITES):
            step()

    class Traced(sqlite3.Connection):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.set_trace_callback(traced)

    def audited(event: str, given: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and given[2] & WRITING and str(given[0]).startswith(("/", "."))):
            step()

    sqlite3.connect = sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=Traced)  # type: ignore[assignment, attr-defined]
    sys.addaudithook(audited)
