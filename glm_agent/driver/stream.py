"""A turn as a stream of events."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Self

import anyio

from glm_agent.driver.groups import unwrapped
from glm_agent.driver.observers import Observer
from glm_agent.errors import AgentError
from glm_agent.messages import Event, TurnResult


class EventStream:
    """The events of one turn: ``async with`` it, iterate, then read ``result``.

    Leaving the block before the end cancels the turn.
    """

    def __init__(self, run: Callable[[Observer], Awaitable[TurnResult]]) -> None:
        self._run = run
        self._events = deque[Event]()
        self._wake = anyio.Event()
        self._is_done = False
        self._error: Exception | None = None
        self._result: TurnResult | None = None

    @property
    def result(self) -> TurnResult:
        """How the turn ended; there once the events are used up."""
        if self._result is None:
            raise AgentError("the turn has no result yet: iterate over its events to the end first")
        return self._result

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._drive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        async with unwrapped(nullcontext()):
            await self._tasks.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._is_done:
                raise StopAsyncIteration
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._events.popleft()

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._wake.set()

    async def _drive(self) -> None:
        try:
            self._result = await self._run(self._put)
        except Exception as error:
            self._error = error
        finally:
            self._is_done = True
            self._wake.set()
