"""The task that owns one connection: it opens it, keeps it, and closes it, whoever asked for it.

Scopes of anyio must be left in the task that entered them, in the reverse order. A caller may be cancelled, may
be one of many, may close servers in any order: so none of them holds a connection. The task is detached from its
callers and lives until it is told to stop, the server leaves, or the event loop ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from glm_agent.errors import MCPServerError
from glm_agent.mcp.callbacks import Callbacks, Note
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Lost, Refused, SessionLost, Unauthorized, first, missing_program, sentence, shown
from glm_agent.mcp.launch import launched, with_port
from glm_agent.mcp.process import ServerProcess, run_server

if TYPE_CHECKING:
    from glm_agent.mcp.link import Link

LOGIN_SECONDS = 300.0
"""How much longer a start may take where a person may have to log in."""

CLOSE_SECONDS = 10.0
"""How long a connection may take to close before it is cut."""

_detached = set[asyncio.Task[None]]()
"""asyncio keeps no strong reference to a task."""


@dataclass(slots=True)
class Owner:
    """One opening of a server, from its start to its end."""

    config: ServerConfig
    note: Note
    on_change: Callable[[Owner], None]
    """Called when it has become ready, when its tools have changed, and when it has ended."""
    is_legacy: bool = False
    """Whether it is known to speak no newer protocol; it is asked after all where it turns the older one away."""
    callbacks: Callbacks = field(default_factory=Callbacks)
    is_beside: bool = False
    """Whether it was opened while nobody waited for it."""
    link: Link | None = None
    error: MCPServerError | None = None
    """Why it could not be opened, or why it ended by itself."""
    is_unauthorized: bool = False
    """Whether it could not be opened because nobody has logged in."""
    is_stopping: bool = False
    ready: anyio.Event = field(default_factory=anyio.Event)
    """Set when ``link`` or ``error`` is known."""
    done: anyio.Event = field(default_factory=anyio.Event)
    """Set when nothing of the server is left."""
    process: ServerProcess | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def start(self) -> None:
        """Begin in a task of its own."""
        detach(self._run, name=f"mcp {self.config.name}")

    def end(self) -> None:
        """Begin to close; ``done`` says when it is over."""
        self.is_stopping = True
        if self.link is None:
            self._scope.cancel()
        else:
            self.link.over.set()

    async def stop(self) -> None:
        """Close, at last by force."""
        self.end()
        with anyio.move_on_after(CLOSE_SECONDS):
            await self.done.wait()
        self._scope.cancel()
        await self.done.wait()

    async def _run(self) -> None:
        try:
            await self._own()
        except Exception as error:
            self.is_unauthorized = isinstance(first(error), Unauthorized)
            self.error = self.error or self._describe(error)
        finally:
            if self.error is None and not self.is_stopping:
                self.error = self._describe(Lost("it left", may_have_run=False))
            self.ready.set()
            self.done.set()
            self.on_change(self)

    async def _own(self) -> None:
        seconds = self.config.startup_timeout_seconds + (LOGIN_SECONDS if self.callbacks.login else 0)
        self._scope.deadline = anyio.current_time() + seconds
        with self._scope:
            try:
                await self._keep_open(is_legacy=self.is_legacy)
            except Exception as error:
                # What was remembered of its protocol may be out of date: a newer server refuses the old one.
                if not self.is_legacy or self.link is not None or type(first(error)) is not Refused:
                    raise
                await self._keep_open(is_legacy=False)
        if self._scope.cancelled_caught and not self.is_stopping:
            self.error = self._describe(Refused(f"it did not answer within {seconds:g} s of its start"))

    async def _keep_open(self, *, is_legacy: bool) -> None:
        """One connection, from its beginning to its end."""
        async with self._connected(is_legacy=is_legacy) as link:
            await link.refreshed()  # within the time for the start: ready means that its tools are known
            self._scope.deadline = math.inf
            self.link = link
            self.ready.set()
            self.on_change(self)
            link.on_tools = partial(self.on_change, self)
            if not self.is_stopping:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(link.follow)
                    await link.over.wait()
                    tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _connected(self, *, is_legacy: bool) -> AsyncGenerator[Link]:
        async with AsyncExitStack() as stack:
            config = with_port(self.config)
            if config.command:
                # Started before the SDK is imported, so that the two seconds run side by side.
                self.process = await stack.enter_async_context(run_server(config))
            connect = await anyio.to_thread.run_sync(_import_connect, abandon_on_cancel=True)
            pipes = self.process
            if pipes is not None and config.transport != "stdio":
                await stack.enter_async_context(launched(config, pipes))
                pipes = None
            opened = connect(
                config,
                process=pipes,
                note=self.note,
                callbacks=self.callbacks,
                is_legacy=is_legacy,
            )
            yield await stack.enter_async_context(opened)

    def _describe(self, error: BaseException) -> MCPServerError:
        words = tuple(self.process.words) if self.process else ()
        code = self.process.exit_code if self.process else None
        reason = _reason(self.config, first(error), was_ready=self.link is not None)
        return MCPServerError(
            sentence(self.config, shown(self.config, reason), returncode=code, words=words), server=self.config.name
        )


def _reason(config: ServerConfig, error: BaseException, *, was_ready: bool) -> str:
    match error:
        case OSError() if config.command:
            return missing_program(config, error)
        case Refused():
            return str(error)
        case Lost() | SessionLost() if config.command:
            return "the connection was lost" if was_ready else "it ended before it was ready"
        case _:
            return str(error) or type(error).__name__


def _import_connect() -> Callable[..., AbstractAsyncContextManager[Link]]:
    from glm_agent.mcp.connect import connect

    return connect


def detach(run: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Run it in a task that belongs to the event loop, not to the caller."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        trio.lowlevel.spawn_system_task(run, name=name)
        return
    task = loop.create_task(_awaited(run), name=name, context=contextvars.Context())
    _detached.add(task)
    task.add_done_callback(_detached.discard)


async def _awaited(run: Callable[[], Awaitable[None]]) -> None:
    await run()
