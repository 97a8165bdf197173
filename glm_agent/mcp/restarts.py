"""When a server that has failed may be started again. Pure: time and chance are given.

The first failure is free: the next use starts the server at once. Each further one in a row doubles the wait, which
chance shortens, so that many agents do not come back to one server together. After many in a row the server is left
alone for a long while, then tried once; only a use that succeeds forgets the failures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MAX_WAIT_SECONDS = 60.0
LEFT_ALONE_AFTER = 8
"""Failures in a row after which a server is left alone: it has been tried for about two minutes."""
LEFT_ALONE_SECONDS = 300.0
"""Then it may be tried once more."""

_SHORT_LIFE_SECONDS = 10.0
"""A server that has been there for longer than this has not failed in a row with what was before."""


@dataclass(slots=True)
class Restarts:
    """The failures of one server."""

    chance: Callable[[], float] = random.random
    """A number from 0 to 1."""
    failures: int = 0
    """In a row."""
    _not_before: float = 0.0

    def failed(self, now: float, *, lived_seconds: float = 0.0) -> None:
        """Count a failure of a server that had been ready for so long."""
        self.failures = 1 if lived_seconds > _SHORT_LIFE_SECONDS else self.failures + 1
        self._not_before = now + self._pause()

    def succeeded(self) -> None:
        """Forget what was before."""
        self.failures = 0
        self._not_before = 0.0

    def wait(self, now: float) -> float:
        """Seconds until it may be started; 0 or less: now."""
        return self._not_before - now

    def _pause(self) -> float:
        if self.failures <= 1:
            return 0.0
        if self.failures >= LEFT_ALONE_AFTER:
            return LEFT_ALONE_SECONDS
        return min(2.0 ** (self.failures - 2), MAX_WAIT_SECONDS) * (0.5 + self.chance() / 2)
