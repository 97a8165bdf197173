"""Calls that run while the response that asks for them is still coming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from glm_agent.messages import Fact, ToolCall


class EarlyCalls:
    """Calls of a coming response that already run; each ends as its result or is thrown away."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._running: dict[str, EarlyCall] = {}

    def start(self, call: ToolCall, answer: Callable[[], Awaitable[Fact]]) -> None:
        early = self._running[call.id] = EarlyCall(call)
        self._tasks.start_soon(early.run, answer)

    def take(self, call: ToolCall) -> EarlyCall | None:
        """The running call, if it is the very same: name and arguments too."""
        early = self._running.pop(call.id, None)
        if early is not None and early.call != call:
            early.scope.cancel()
            return None
        return early

    def discard(self) -> None:
        for early in self._running.values():
            early.scope.cancel()
        self._running.clear()


class EarlyCall:
    """One call that runs before its response is there, and what came of it."""

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self.scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._fact: Fact | None = None

    async def run(self, answer: Callable[[], Awaitable[Fact]]) -> None:
        with self.scope:
            self._fact = await answer()
            self._done.set()

    async def wait(self) -> Fact:
        try:
            await self._done.wait()
        except BaseException:
            self.scope.cancel()
            raise
        assert self._fact is not None
        return self._fact
