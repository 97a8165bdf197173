"""Calls that run while the response that asks for them is still coming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from anyio import TaskHandle, get_cancelled_exc_class
from anyio.abc import TaskGroup

from glm_agent.messages import Fact, ToolCall

Keep: TypeAlias = Callable[[Fact], Awaitable[None]]
"""Puts a fact on record and into the turn."""


class EarlyCalls:
    """Calls of a coming response that already run; each ends as its result or is thrown away."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._running: dict[str, EarlyCall] = {}

    def start(self, call: ToolCall, answer: Callable[[], Awaitable[Fact]]) -> None:
        early = self._running[call.id] = EarlyCall(call)
        early.task = self._tasks.create_task(early.run(answer))

    def take(self, call: ToolCall) -> EarlyCall | None:
        """The running call, if it is the very same: name and arguments too."""
        early = self._running.pop(call.id, None)
        if early is not None and early.call != call:
            early.task.cancel()
            return None
        return early

    def discard(self) -> None:
        for early in self._running.values():
            early.task.cancel()
        self._running.clear()


class EarlyCall:
    """One call that runs before its response is there, and what came of it."""

    task: TaskHandle[None]

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self._keep: Keep | None = None
        self._fact: Fact | None = None
        self._error: BaseException | None = None

    def is_running(self) -> bool:
        """Whether its answer is still to come."""
        return self._fact is None

    async def run(self, answer: Callable[[], Awaitable[Fact]]) -> None:
        """Answer the call; keep the answer at once where the response has come meanwhile."""
        try:
            fact = await answer()
            if self._keep is None:
                self._fact = fact
            else:
                await self._keep(fact)
        except get_cancelled_exc_class():
            raise
        except BaseException as error:
            self._error = error
            if self._keep is None or not isinstance(error, Exception):
                raise  # nobody waits for this call yet, or not for this: end the turn at once

    def adopt(self, keep: Keep) -> None:
        """The response is there and asks for this call: its answer may be kept."""
        self._keep = keep

    async def finish(self) -> None:
        """Wait until the answer is kept; raises what went wrong on the way."""
        await self.task.wait()
        if self._error is not None:
            raise self._error
        if self._fact is not None and self._keep is not None:
            await self._keep(self._fact)


async def finish(calls: Iterable[EarlyCall]) -> None:
    """Wait until the answers of all are kept; each is as soon as it is there."""
    for call in sorted(calls, key=EarlyCall.is_running):  # those that wait keep theirs themselves
        await call.finish()
