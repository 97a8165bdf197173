"""Who waits for a place in flight: lanes by priority, those of one priority in turns, on any event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias

import anyio
import anyio.lowlevel

from glm_agent.errors import ModelError


class Lane(NamedTuple):
    """Whose requests these are: lanes of one priority take turns, however many wait in each."""

    name: str = ""
    priority: int = 0
    """The lowest goes first."""


class Place(NamedTuple):
    """A place in flight."""

    round: int
    """Requests of one round are refused together."""
    is_probe: bool = False
    """Whether others wait to see what comes of it."""
    slot: int = -1
    """Of a limit that several processes share: which of its places."""


_lane: ContextVar[Lane] = ContextVar("glm_agent.lane", default=Lane())  # noqa: B039 (a named tuple does not change)


@contextmanager
def lane(name: str, *, priority: int = 0) -> Generator[None]:
    """Requests that are made in the block wait in a lane of their own."""
    token = _lane.set(Lane(name, priority))
    try:
        yield
    finally:
        _lane.reset(token)


Answer: TypeAlias = Place | ModelError | None
"""What who waits is told: a place, to fail as another did, or (None) to look again."""


class Waiter:
    """Somebody on some event loop."""

    def __init__(self) -> None:
        self.called = anyio.Event()
        self.lane = _lane.get()
        self.answer: Answer = None
        self.is_called = False
        native: Any = anyio.lowlevel.current_token().native_token
        # asyncio's loop and trio's token each have a word for it.
        self._soon: Callable[[Callable[[], object]], object] = (
            native.call_soon_threadsafe if hasattr(native, "call_soon_threadsafe") else native.run_sync_soon
        )

    async def wait(self, seconds: float | None) -> None:
        """Until it is called, or the time is over."""
        if seconds is None:
            await self.called.wait()
            return
        with anyio.move_on_after(seconds):
            await self.called.wait()

    def call(self, answer: Answer) -> bool:
        """Tell it something; False where its loop is gone."""
        self.is_called = True
        with suppress(RuntimeError):  # both libraries' word for a loop that has ended
            self._soon(self.called.set)
            self.answer = answer
            return True
        return False


class Waiting:
    """Who waits: lanes by priority, those of one priority in turns."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[Waiter]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[Waiter]:
        return (waiter for waiters in self._lanes.values() for waiter in waiters)

    def append(self, waiter: Waiter) -> None:
        """Put it behind the others of its lane."""
        self._lanes.setdefault(waiter.lane, deque()).append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Forget it, where it still waits."""
        if not waiter.is_called and (found := self._lanes.get(waiter.lane)) is not None:
            found.remove(waiter)
            if not found:
                del self._lanes[waiter.lane]

    def call_one(self, answer: Answer) -> bool:
        """Call whose turn it is; False where nobody came."""
        # The lane that was served goes behind the others: a dict keeps the order of its insertions.
        turn = min(self._lanes, key=lambda each: each.priority)
        waiters = self._lanes.pop(turn)
        waiter = waiters.popleft()
        if waiters:
            self._lanes[turn] = waiters
        return waiter.call(answer)

    def call_all(self, answer: Answer) -> None:
        """Call everybody; nobody waits then."""
        waiters, self._lanes = list(self), {}
        for waiter in waiters:
            waiter.call(answer)
