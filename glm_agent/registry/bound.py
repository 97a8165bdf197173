"""The bound in time of one call, which stands still while a person is being asked."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Bound:
    """A cancel scope with a deadline ``seconds`` from now; None for none."""

    def __init__(self, seconds: float | None) -> None:
        self.scope = anyio.CancelScope(deadline=math.inf if seconds is None else anyio.current_time() + seconds)
        self._pauses = 0
        self._left = math.inf

    @contextmanager
    def paused(self) -> Generator[None]:
        """No time passes inside; pauses may overlap."""
        if self._pauses == 0:
            self._left = self.scope.deadline - anyio.current_time()
            self.scope.deadline = math.inf
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self.scope.deadline = anyio.current_time() + self._left
