"""A turn as a stream of events."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from glm_agent.driver.groups import unwrapped
from glm_agent.driver.observers import Observer
from glm_agent.errors import AgentError
from glm_agent.messages import Event, Message, TurnResult


class EventStream:
    """The events of one turn: ``async with`` it, iterate, then read ``result``.

    Leaving the block before the end cancels the turn; ``messages`` then holds what was said until then.
    """

    def __init__(self, run: Callable[[Observer], Awaitable[TurnResult]]) -> None:
        self._run = run
        self._events = deque[Event]()
        self._wake = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._is_done = False
        self._error: Exception | None = None
        self._said: tuple[Message, ...] = ()
        self._result: TurnResult | None = None

    @property
    def result(self) -> TurnResult:
        """How the turn ended; there once the events are used up."""
        if self._result is None:
            raise AgentError("the turn has no result yet: iterate over its events to the end first")
        return self._result

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as far as it came, also of a turn that was left early or raised; there behind the block."""
        return self._said if self._result is None else self._result.messages

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise AgentError("this stream was used already: every turn begins with a new agent.stream(…)")
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._drive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        async with unwrapped(nullcontext()):
            await self._tasks.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._tasks is None:
            raise AgentError(
                "the stream is not open: write 'async with agent.stream(…) as events:' and iterate over events in it"
            )
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
        except BaseException as error:
            self._said = getattr(error, "messages", ())
            if not isinstance(error, Exception):
                raise
            self._error = error
        finally:
            self._is_done = True
            self._wake.set()
