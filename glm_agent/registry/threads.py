"""Blocking functions in threads that never hold anything: not a cancellation, not Ctrl-C, not the end of the process.

``anyio.to_thread`` is not enough: on asyncio its workers are joined when the interpreter exits, so one hung
tool would keep a finished process alive. These are daemons. Knows nothing of tools.
"""

from __future__ import annotations

import contextvars
import queue
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import anyio
import anyio.from_thread
from anyio.lowlevel import EventLoopToken, RunVar, current_token

_T = TypeVar("_T")

_AT_ONCE = 64
"""Threads per event loop that wait for something; blocking tools wait, they hardly compute."""
_IDLE_SECONDS = 10.0

_limiter: RunVar[anyio.CapacityLimiter] = RunVar("glm_agent.threads")
_idle: list[_Worker] = []
_lock = threading.Lock()
_working_for = threading.local()
"""The event loop whose job a thread runs now."""


class Threads:
    """Runs functions in threads for one owner, and knows which of them were given up and still run."""

    def __init__(self) -> None:
        self._abandoned: list[_Job] = []

    @property
    def hung(self) -> int:
        """How many given-up functions still run."""
        self._abandoned = [job for job in self._abandoned if not job.is_done]
        return len(self._abandoned)

    async def run(self, function: Callable[[], _T]) -> _T:
        """Its value or its exception. When cancelled, the thread is left alone and what it makes is dropped."""
        async with _this_loops_limiter():
            job = _Job(function)
            _start(job)
            try:
                await job.finished.wait()
            except BaseException:
                job.is_abandoned = True
                self._abandoned.append(job)
                raise
            return cast("_T", job.result())


def in_event_loop(function: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run it in the event loop that this thread works for, and wait; only for functions that ``Threads`` runs."""
    token = getattr(_working_for, "token", None)
    if token is None:
        raise RuntimeError("this is not a tool's thread: in an async function, await the form without _sync")
    return anyio.from_thread.run(function, token=token)


def _this_loops_limiter() -> anyio.CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_AT_ONCE)
        _limiter.set(limiter)
        return limiter


class _Job:
    """One function on its way through a thread and back."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self._token: EventLoopToken = current_token()
        self._value: Any = None
        self._error: BaseException | None = None
        self.finished = anyio.Event()
        self.is_abandoned = False
        self.is_done = False

    def run(self) -> None:
        _working_for.token = self._token
        try:
            self._context.run(_forget_event_loop)
            self._value = self._context.run(self._function)
        except (KeyboardInterrupt, GeneratorExit) as error:
            # Ctrl-C reaches the main thread alone: this one is the function's own, and must not end the process.
            self._error = RuntimeError(f"the function raised {type(error).__name__}")
        except BaseException as error:
            self._error = error
        _working_for.token = None
        self.is_done = True
        if not self.is_abandoned:
            self._wake()

    def _wake(self) -> None:
        try:
            anyio.from_thread.run_sync(self.finished.set, token=self._token)
        except RuntimeError:
            # The event loop has ended meanwhile: nobody waits any more.
            self.is_abandoned = True

    def result(self) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


def _forget_event_loop() -> None:
    """A thread has no event loop yet, whatever the copied context says: a tool may start its own."""
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        sniffio.current_async_library_cvar.set(None)


def _start(job: _Job) -> None:
    with _lock:
        worker = _idle.pop() if _idle else None
        while worker is not None and not worker.is_alive():  # a forked process has the list, not the threads
            worker = _idle.pop() if _idle else None
    if worker is None:
        worker = _Worker()
        worker.start()
    worker.jobs.put(job)


class _Worker(threading.Thread):
    """Takes one job after the other; ends when there was none for a while."""

    def __init__(self) -> None:
        super().__init__(name="glm_agent tool", daemon=True)
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    def run(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            del job
            with _lock:
                _idle.append(self)

    def _next(self) -> _Job | None:
        try:
            return self.jobs.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            with _lock:
                if self in _idle:
                    _idle.remove(self)
                    return None
        # It was taken from the list just now: its job is on the way.
        return self.jobs.get()
