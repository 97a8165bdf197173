"""Ending without losing anything: what runs is kept, and nothing new begins."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio


class Drain:
    """A gate that all answers go through; once the drain has begun it lets nobody in, for good."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active = 0
        self._has_begun = False

    @asynccontextmanager
    async def gate(self) -> AsyncGenerator[None]:
        """Held while an answer is made and kept."""
        with self._changed:
            is_closed = self._has_begun
            self._active += not is_closed
        if is_closed:
            await anyio.sleep_forever()
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def begin(self) -> None:
        with self._changed:
            self._has_begun = True

    def wait(self, seconds: float) -> bool:
        """Whether everything that ran was kept in this time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._active == 0, timeout=seconds)
