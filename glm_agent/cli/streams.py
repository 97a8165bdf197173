"""Standard streams as a process may find them: closed, which a service or a crontab may do to it.

Nothing but the standard library is imported here: this comes before everything else.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

_STDERR: Final = 2


def open_missing() -> None:
    """Give the process the streams it was started without; what is written to them goes nowhere.

    Otherwise the next file that is opened gets their number: a journal would then be a child's stdout.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _take(number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def let_stderr_fail() -> None:
    """Have what stderr does not take (its disk is full, its reader has left) go nowhere: the answer is on stdout."""
    was = sys.stderr
    with suppress(OSError, ValueError):  # of a stream that is no file
        if not was.isatty() and was.fileno() == _STDERR:
            _replace(was)


def _replace(was: TextIO) -> None:
    raw = io.BufferedWriter(_Forgiving(_STDERR, "wb", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, encoding=was.encoding, errors=was.errors, line_buffering=True)


class _Forgiving(io.FileIO):
    """A file that takes everything."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def is_somewhere() -> bool:
    """Whether the working directory exists; somebody may have deleted it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _take(number: int) -> None:
    """Put the null device at this number."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)
