"""The main thread: it takes signals and talks to the person, while turns run on an event loop in another thread.

So a signal and a question are served whatever the loop is doing, also when a tool blocks it. Knows
nothing of agents.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, ExitStack
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar, cast

import anyio
from anyio.from_thread import start_blocking_portal

from glm_agent.cli.exits import GRACE_SECONDS, leave_now

_T = TypeVar("_T")

_CLOSING_SECONDS: Final = 10.0
"""How long servers may take to close once no tool runs any more."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM came; what ran was cancelled in an orderly way."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


class Foreground:
    """A context manager around everything that runs turns; enter it in the main thread."""

    def __init__(
        self, *, running: Callable[[], Sequence[str]] = tuple, last_words: Callable[[], None] = lambda: None
    ) -> None:
        self._running, self._last_words = running, last_words
        self._inbox = SimpleQueue[Callable[[], None] | None]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None
        self._stack = ExitStack()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, _raise)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._handlers:
            signal.signal(number, self._leave)
        self._stack.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def keep_open(self, resource: AbstractAsyncContextManager[_T]) -> _T:
        """Enter a context manager on the loop; it is left when the foreground is."""
        return self._stack.enter_context(self._portal.wrap_async_context_manager(resource))

    def play(self, run: Callable[[], Awaitable[_T]]) -> _T:
        """Run on the loop and wait. Raises ``Interrupted`` when a signal came, once everything is closed."""
        outcome = self._portal.start_task_soon(self._scoped, run)
        outcome.add_done_callback(lambda _: self._inbox.put(None))
        try:
            while (question := self._inbox.get()) is not None:
                question()
        except Interrupted as interrupted:
            self._cancel(outcome, interrupted.exit_code)
            raise
        return outcome.result()

    async def ask(self, question: Callable[[], _T]) -> _T:
        """Have the main thread answer; called on the loop."""
        answered = anyio.Event()
        answers: list[_T] = []

        def answer() -> None:
            try:
                answers.append(question())
            finally:
                self._portal.start_task_soon(answered.set)

        self._inbox.put(answer)
        await answered.wait()
        if not answers:  # the question was interrupted: so is this task, at its next checkpoint
            await anyio.sleep_forever()
        return answers[0]

    async def _scoped(self, run: Callable[[], Awaitable[_T]]) -> _T:
        self._loop = asyncio.get_running_loop()
        with anyio.CancelScope() as self._scope:
            return await run()
        return cast("_T", None)  # cancelled: nobody looks

    def _cancel(self, outcome: Future[Any], code: int) -> None:
        """Cancel and wait until it has ended; a second signal, or a tool that does not end, ends the wait."""
        for number in self._handlers:
            signal.signal(number, self._leave)
        if self._loop is not None and self._scope is not None:
            # Not through the portal, which would wait for the loop: a tool may be blocking it.
            self._loop.call_soon_threadsafe(self._scope.cancel)
        wait([outcome], timeout=GRACE_SECONDS)
        if not outcome.done() and not self._running():
            wait([outcome], timeout=_CLOSING_SECONDS)
        if not outcome.done():
            self._last_words()
            leave_now(code, running=self._running)
        while self._inbox.get() is not None:
            pass
        for number in self._handlers:
            signal.signal(number, _raise)

    def _leave(self, number: int, _frame: FrameType | None) -> NoReturn:
        self._last_words()
        leave_now(128 + number, running=self._running)


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
