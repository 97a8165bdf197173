"""The main thread: it takes signals and talks to the person, while turns run on an event loop in another thread.

So a signal and a question are served whatever the loop is doing, also when a tool blocks it. Knows
nothing of agents.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar, cast

import anyio
from anyio.from_thread import start_blocking_portal

from glm_agent.cli.exits import GRACE_SECONDS, leave_now

_T = TypeVar("_T")

_STDIN: Final = 0
_CLOSING_SECONDS: Final = 10.0
"""How long servers may take to close, beyond the grace: one that is busy is asked twice before it is killed."""
_TURN_SECONDS: Final = 0.5
"""A loop that does nothing for so long is blocked by a tool."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM came; what ran was cancelled in an orderly way."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


class Withdrawn(Exception):
    """Nobody waits for the answer to this question any more: it came from elsewhere, or the time is over."""


class Foreground:
    """A context manager around everything that runs turns; enter it in the main thread.

    ``loop`` is what anyio is told about the event loop.
    """

    def __init__(
        self,
        *,
        running: Callable[[], Sequence[str]] = tuple,
        last_words: Callable[[], None] = lambda: None,
        loop: Mapping[str, Any] | None = None,
    ) -> None:
        self._running, self._last_words = running, last_words
        self._loop_options = dict(loop or {})
        self._typed = b""
        self._questions = deque[Callable[[], None]]()
        self._asking: Callable[[], None] | None = None
        self._withdrawn: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None
        self._stack = ExitStack()
        self._is_leaving = self._is_cancelled = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # A signal may reach another thread and leave this one asleep on a lock; a socket wakes it for certain.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(self._ringer.fileno()))
        self._portal = self._stack.enter_context(start_blocking_portal(backend_options=self._loop_options))
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_leaving = True
        self._stack.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._bell.close()
        self._ringer.close()

    def keep_open(self, resource: AbstractAsyncContextManager[_T]) -> _T:
        """Enter a context manager on the loop; it is left when the foreground is."""
        return self._stack.enter_context(self._portal.wrap_async_context_manager(resource))

    def play(self, run: Callable[[], Awaitable[_T]]) -> _T:
        """Run on the loop and wait. Raises ``Interrupted`` when a signal came, once everything is closed."""
        self._is_cancelled = False
        outcome = self._portal.start_task_soon(self._scoped, run)
        outcome.add_done_callback(lambda _: self._ring())
        try:
            while not outcome.done():
                while self._questions:
                    self._asking = self._questions.popleft()
                    self._asking()
                self._asking = None
                self._sleep(None)
        except Interrupted as interrupted:
            self._cancel(outcome, interrupted.exit_code)
            raise
        return outcome.result()

    def read_line(self) -> str:
        """A line from stdin, for the main thread.

        Raises ``EOFError`` at its end, ``Interrupted`` at a signal, ``Withdrawn`` where it is no longer waited for.
        """
        # Not ``input``: a signal that reaches another thread would leave it waiting.
        while b"\n" not in self._typed:
            if self._asking is not None and self._asking is self._withdrawn:
                self._typed = b""
                _drop_input()
                raise Withdrawn
            ready, _, _ = select.select([_STDIN, self._bell.fileno()], [], [])
            if self._bell.fileno() in ready:
                self._bell.recv(4096)
            if _STDIN in ready:
                piece = os.read(_STDIN, 4096)
                if not piece and not self._typed:
                    raise EOFError
                self._typed += piece or b"\n"
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(errors="replace")

    async def ask(self, question: Callable[[], _T]) -> _T:
        """Have the main thread answer; called on the loop. Cancelled, the question is withdrawn."""
        answered = anyio.Event()
        answers: list[_T] = []

        def answer() -> None:
            with suppress(Withdrawn):
                try:
                    answers.append(question())
                finally:
                    self._portal.start_task_soon(answered.set)

        self._questions.append(answer)
        self._ring()
        try:
            await answered.wait()
        except anyio.get_cancelled_exc_class():
            if self._withdraw(answer):
                with anyio.move_on_after(_TURN_SECONDS, shield=True):
                    await answered.wait()  # so that what follows is shown below the question
            raise
        if not answers:  # the question was interrupted: so is this task, at its next checkpoint
            await anyio.sleep_forever()
        return answers[0]

    def _withdraw(self, answer: Callable[[], None]) -> bool:
        """Take a question back; whether it was being asked."""
        with suppress(ValueError):
            self._questions.remove(answer)
            return False
        self._withdrawn = answer
        self._ring()
        return True

    async def _scoped(self, run: Callable[[], Awaitable[_T]]) -> _T:
        self._loop = asyncio.get_running_loop()
        with anyio.CancelScope() as self._scope:
            if self._is_cancelled:  # before there was a scope to cancel
                self._scope.cancel()
            return await run()
        return cast("_T", None)  # cancelled: nobody looks

    def _cancel(self, outcome: Future[Any], code: int) -> None:
        """Cancel and wait until it has ended; a second signal, or a tool that does not end, ends the wait."""
        self._is_cancelled = True
        if self._loop is not None and self._scope is not None:
            # Not through the portal, which would wait for the loop: a tool may be blocking it.
            self._loop.call_soon_threadsafe(self._scope.cancel)
        self._await(outcome, GRACE_SECONDS)
        if self._is_turning():
            self._await(outcome, _CLOSING_SECONDS)
        if not outcome.done():
            self._last_words()
            leave_now(code, running=self._running)
        self._questions.clear()
        self._is_leaving = False

    def _is_turning(self) -> bool:
        """Whether the loop is not blocked: then it is servers that need their time to end."""
        turned = threading.Event()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(turned.set)
        return turned.wait(_TURN_SECONDS)

    def _await(self, outcome: Future[Any], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not outcome.done() and (left := end - time.monotonic()) > 0:
            self._sleep(left)

    def _sleep(self, seconds: float | None) -> None:
        """Until the bell rings: a signal, a question, or the end."""
        if select.select([self._bell], [], [], seconds)[0]:
            self._bell.recv(4096)

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._ringer.send(b"!")

    def _on_signal(self, number: int, _frame: FrameType | None) -> NoReturn:
        """The first signal interrupts; one that comes before it is dealt with, or at the end, leaves at once."""
        if self._is_leaving:
            self._last_words()
            leave_now(128 + number, running=self._running)
        self._is_leaving = True
        raise Interrupted(number)


def _drop_input() -> None:
    """Half an answer to a question that was taken back must not answer the next one."""
    if os.isatty(_STDIN):
        import termios

        termios.tcflush(_STDIN, termios.TCIFLUSH)
