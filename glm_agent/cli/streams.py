"""Standard streams as a process may find them: closed, which a service or a crontab may do to it.

Nothing but the standard library is imported here: this comes before everything else.
"""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Give the process the streams it was started without; what is written to them goes nowhere.

    Otherwise the next file that is opened gets their number: a journal would then be a child's stdout.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _take(number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def _take(number: int) -> None:
    """Put the null device at this number."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)
