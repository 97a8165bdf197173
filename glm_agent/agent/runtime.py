"""What an agent keeps open: on each event loop the model's connections and the MCP servers; in scripts a loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.lowlevel import RunVar

from glm_agent.agent.providers import Connection
from glm_agent.driver import Observer, tell
from glm_agent.driver.groups import unwrapped
from glm_agent.messages import Event, Notice
from glm_agent.registry.seams import Tool

if TYPE_CHECKING:
    from glm_agent.mcp.servers import MCPServers

_T = TypeVar("_T")

_CLOSE_SECONDS = 15.0
"""A server's own end is bounded at 10 s."""

_log = logging.getLogger("glm_agent")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Runtime:
    """The open things of one agent on one event loop."""

    def __init__(self, connection: Connection, servers: MCPServers | None) -> None:
        self.model, self._close_model, connect = connection
        self._connect: Callable[[], Coroutine[Any, Any, None]] | None = connect
        self.servers = servers
        self.users = 0
        self._watchers: list[Observer] = []
        if servers is not None:
            servers.watch(self._notify)
            servers.answer_with(self.model)

    async def served(self) -> Sequence[Tool]:
        """The servers' tools; while they start, the model's connection is opened."""
        if self.servers is None:
            return ()
        connect, self._connect = self._connect, None
        if connect is None:
            return await self.servers.tools()
        async with unwrapped(anyio.create_task_group()) as tasks:
            tasks.start_soon(connect)
            return await self.servers.tools()

    @contextmanager
    def watched(self, observers: Sequence[Observer]) -> Generator[None]:
        """Show these observers what the servers say of themselves, as long as the block lasts."""
        self._watchers += observers
        try:
            yield
        finally:
            for observer in observers:
                self._watchers.remove(observer)

    def _notify(self, event: Event) -> None:
        if self._watchers:
            # An observer that watches several turns is told once.
            tell(dict.fromkeys(self._watchers), event)
        elif isinstance(event, Notice):
            _log.log(_LEVELS[event.level], "%s: %s", event.source, event.text)

    async def aclose(self) -> None:
        """Close the servers and the connections, also while being cancelled, in bounded time."""
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            if self.servers is not None:
                await self.servers.aclose()
            await self._close_model()


class Runtimes:
    """One ``Runtime`` an event loop: opened by the first user, closed by the last to leave."""

    def __init__(self, new: Callable[[], Runtime]) -> None:
        self._new = new
        self._current: RunVar[Runtime | None] = RunVar("glm_agent.runtime", None)

    def enter(self) -> Runtime:
        """The loop's runtime; every ``enter`` needs a ``leave``."""
        runtime = self._current.get()
        if runtime is None:
            runtime = self._new()
            self._current.set(runtime)
        runtime.users += 1
        return runtime

    async def leave(self) -> None:
        runtime = self._current.get()
        assert runtime is not None
        runtime.users -= 1
        if runtime.users == 0:
            self._current.set(None)
            await runtime.aclose()

    async def __aenter__(self) -> Runtime:
        return self.enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()


class Blocking:
    """Runs coroutines for code that has no event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._context: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None
        self._place = (0, 0)
        """Process and thread of the loop: a forked process has the object, not the thread."""

    def open(self) -> None:
        """Keep one loop in a thread for all calls, until there was a ``close`` for every ``open``."""
        with self._lock:
            if self._context is None:
                self._context = start_blocking_portal(backend_options=fast_loop())
                self._portal = self._context.__enter__()
                self._place = (os.getpid(), self._portal.call(threading.get_ident))
            self._users += 1

    def close(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or self._context is None:
                return
            context, self._context, self._portal = self._context, None, None
        if self._place[0] == os.getpid():
            context.__exit__(None, None, None)

    def call(self, function: Callable[..., Awaitable[_T]], *args: Any, **keywords: Any) -> _T:
        """On the kept loop; else on a loop of this call alone, in a thread where this one has a loop running."""
        run, portal = partial(function, *args, **keywords), self._portal
        process, thread = self._place
        if portal is not None and process == os.getpid() and thread != threading.get_ident():
            return portal.call(run)
        return run_apart(run)


def run_apart(run: Callable[[], Awaitable[_T]], *, options: dict[str, Any] | None = None) -> _T:
    """On a loop of this call alone, in a thread where this one has a loop running; ``options`` are the loop's."""
    if not _is_loop_running():
        return anyio.run(run, backend_options=options)
    with start_blocking_portal(backend_options=options) as portal:
        return portal.call(run)


def fast_loop() -> dict[str, Any]:
    """What ``anyio`` is told about an event loop that lives: ``uvloop``, where the extra ``fast`` brought it.

    With hundreds of runs at once a tenth less CPU; a loop of one turn does not win back the import of it.
    """
    return {"use_uvloop": find_spec("uvloop") is not None}


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        return trio is not None and trio.lowlevel.in_trio_run()
    return True
