"""One server as its users see it: started when it is needed, started again when it has died.

    ServerConnection(config)   tools()  call(name, arguments)  aclose()

States: idle -> starting -> ready -> closed | failed | needs authorization, each a notice. After a failure the next use
starts the server again (``restarts`` says when); until then uses fail fast with the last error. A call that takes too
long is cancelled and never ends the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from glm_agent.errors import MCPServerError
from glm_agent.mcp.callbacks import Callbacks, OnTask, Progress, log_notice
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Definition, Listed
from glm_agent.mcp.failure import Lost, Refused, ServerDied, SessionLost, UnknownTask
from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.lock import Locked, changes
from glm_agent.mcp.openings import Openings, State
from glm_agent.mcp.owner import Owner
from glm_agent.mcp.quarantine import Quarantine
from glm_agent.mcp.reads import Reads
from glm_agent.mcp.remembered import Memory
from glm_agent.mcp.restarts import Restarts
from glm_agent.messages import Event

if TYPE_CHECKING:
    from mcp.types import CallToolResult, Tool

    from glm_agent.mcp.link import Link

_T = TypeVar("_T")
_Tool = TypeVar("_Tool", bound=Listed)

_SHOWN_CHANGES = 20

_TASK_WAITS = (0.0, 0.5, 2.0, 8.0, 30.0)
"""Seconds before each time of asking after a task whose connection was lost."""


class ToolTimeout(Exception):
    """The server did not answer a call in time; the call was cancelled, the server still runs."""


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


class ServerConnection(Reads):
    """A server, for any number of callers on any event loop; each loop has an opening of its own."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        on_event: Callable[[Event], None] = log_notice,
        callbacks: Callbacks | None = None,
        locked: Locked | None = None,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.monotonic,
        restarts: Restarts | None = None,
    ) -> None:
        """``memory`` keeps what the server was like, for the next process; None keeps nothing."""
        restarts = restarts if restarts is not None else Restarts()
        super().__init__(config, Openings(config, on_event, callbacks or Callbacks(), memory, clock, restarts))
        self._memory = memory
        self._quarantine = Quarantine(locked, partial(self.openings.warn, limit=4000)) if locked is not None else None
        self._promised: tuple[Definition, ...] = ()
        """What was offered before the server could be asked."""
        self._is_compared = True
        """Whether it was told how the server differs from that."""
        self.openings.on_listed = self._compare

    @property
    def state(self) -> State:
        """Where the server is on its way."""
        return self.openings.state

    @property
    def callbacks(self) -> Callbacks:
        """What the server may ask of us, from its next start on."""
        return self.openings.callbacks

    @callbacks.setter
    def callbacks(self, callbacks: Callbacks) -> None:
        self.openings.callbacks = callbacks

    async def start(self) -> None:
        """Start the server, if it is not running, and compare it with the lock file. Raises ``MCPServerError``."""
        await self.openings.ready()

    def start_soon(self) -> None:
        """Start the server in a task of its own; what goes wrong is a notice, and what a call then raises."""
        if self.openings.current is not None:
            return
        try:
            self.openings.open(is_beside=True)
        except MCPServerError as error:
            self.openings.say_absent(error)

    def _compare(self, link: Link) -> None:
        """Say how the server differs from what was accepted, or from what it was said to have, each time it lists."""
        if self._quarantine is not None:
            self._quarantine.judge(link.listed)
        elif not self._is_compared:
            self._is_compared = True
            found = changes(Locked(tools={tool.name: tool for tool in self._promised}), link.listed)
            said = ", ".join(f"{change.name!r} is {change.kind}" for change in found[:_SHOWN_CHANGES])
            if found:
                self.openings.warn(f"its tools are not what they were: {said}. The next turn has them as they are now")

    async def tools(self) -> tuple[Tool, ...]:
        """What the server offers and the configuration allows. Starts it; raises ``MCPServerError``."""
        tools = await self.asked(lambda link: link.tools(), "it did not list its tools in time")
        if self._quarantine is not None:
            self._quarantine.judge(tools)
            tools = tuple(tool for tool in tools if tool.name in self._quarantine.locked.tools)
        return self._allowed(tools)

    def promised_tools(self) -> tuple[Definition, ...] | None:
        """The tools as far as they are known without waiting: those that were accepted, else those that the server
        had a while ago. None where the server has to be asked, or can be at once.
        """
        if self._quarantine is not None:
            self._promised = tuple(self._quarantine.locked.tools.values())
            return self._allowed(self._promised)
        if self._memory is None or self.openings.link is not None:
            return None
        remembered = self._memory.load(self.config).tools
        if remembered is None:
            return None
        self._promised, self._is_compared = remembered, False
        return self._allowed(self._promised)

    @property
    def protocol_version(self) -> str:
        """The protocol that was agreed on; empty while the server does not run on this event loop."""
        link = self.openings.link
        return link.client.protocol_version if link is not None else ""

    def locked_tools(self) -> tuple[Definition, ...] | None:
        """The tools that were accepted, known without starting the server; None where nothing was."""
        return None if self._quarantine is None else self._allowed(tuple(self._quarantine.locked.tools.values()))

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        timeout_seconds: float | None = None,
        progress: Progress | None = None,
        meta: Mapping[str, Any] | None = None,
        on_task: OnTask | None = None,
    ) -> CallToolResult:
        """Run one tool under the server's own name for it. Cancelling the caller cancels the call on the server.

        ``on_task`` is told when the server goes on with the call as a task, before that is waited for: with what it
        is told ``task_result`` finds the task again, also in another process.

        Raises:
            ToolTimeout: No answer in time.
            Refused: The server turned the call away.
            ServerDied: The server died, and whether it may have run the call.
            MCPServerError: The server cannot be started.
        """
        seconds = timeout_seconds or self.config.timeout_seconds
        for is_last in (False, True):
            owner, link = await self.openings.ready()
            try:
                with link.peer.patience.bounded(seconds):
                    await self._check(link, name)
                    answer = await link.call(
                        name, arguments, progress=progress, meta=meta or {}, wants_task=on_task is not None
                    )
                self.openings.restarts.succeeded()
                if not isinstance(answer, TaskHandle):
                    return answer
                if on_task is not None:
                    on_task(answer)
                return await self._task_of_call(answer, timeout_seconds=timeout_seconds, progress=progress)
            except TimeoutError:
                self._after_timeout(owner)
                raise ToolTimeout(f"no answer within {seconds:g} s") from None
            except SessionLost as error:
                # The server did not look at the request: nothing has run.
                await owner.stop()
                if is_last:
                    raise self._died(owner, Lost(str(error), may_have_run=False)) from None
            except Lost as error:
                await self.openings.ended(owner)
                if is_last or error.may_have_run or not owner.done.is_set():
                    raise self._died(owner, error) from None
        raise AssertionError("the last round returns or raises")

    async def task_result(
        self, task: TaskHandle, *, timeout_seconds: float | None = None, progress: Progress | None = None
    ) -> CallToolResult:
        """What became of a call that went on as a task; asked after again where the connection is lost meanwhile.

        Raises as ``call`` does; ``Refused`` also for a task that the server does not know.
        """
        seconds = timeout_seconds or self.config.task_timeout_seconds
        owner, link = await self.openings.ready()
        lost = ""
        for wait in _TASK_WAITS:
            await anyio.sleep(wait)
            owner, link = await self.openings.ready()
            try:
                with link.peer.patience.bounded(seconds):
                    return await link.task_result(task, progress=progress)
            except TimeoutError:
                raise ToolTimeout(f"the task has not ended within {seconds:g} s") from None
            except SessionLost as error:
                lost = str(error)
                await owner.stop()
            except Lost as error:
                lost = str(error)
                await self.openings.ended(owner)
        raise self._died(owner, Lost(lost, may_have_run=True)) from None

    async def _task_of_call(
        self, task: TaskHandle, *, timeout_seconds: float | None, progress: Progress | None
    ) -> CallToolResult:
        try:
            return await self.task_result(task, timeout_seconds=timeout_seconds, progress=progress)
        except UnknownTask as error:
            # It was there a moment ago: the server has been started anew meanwhile, and forgot it.
            raise ServerDied(self.sentence(str(error)), server=self.config.name, may_have_run=True) from None

    async def aclose(self) -> None:
        """Stop the server; the next use starts it again. Any task may close, in any order."""
        self._promised = ()
        await self.openings.aclose()

    async def _check(self, link: Link, name: str) -> None:
        """Raises ``Refused`` for a tool that is kept back, or that the server was said to have and has not."""
        if self._quarantine is not None:
            await link.refreshed()
            self._quarantine.check(name, link.listed)
        elif _has(self._promised, name) and not _has(link.listed, name):
            has = ", ".join(repr(tool.name) for tool in link.listed[:_SHOWN_CHANGES])
            raise Refused(f"its tool {name!r} is gone. It has {has or 'none'}")

    def _allowed(self, tools: tuple[_Tool, ...]) -> tuple[_Tool, ...]:
        """The tools that pass the configuration's globs."""
        allow, deny = self.config.allow or ("*",), self.config.deny
        return tuple(tool for tool in tools if _matches(tool.name, allow) and not _matches(tool.name, deny))

    def _after_timeout(self, owner: Owner) -> None:
        """A process that has ended while a descendant holds its pipes would let every call run out of time."""
        if owner.process is not None and owner.process.process.returncode is not None and owner.link is not None:
            owner.link.over.set()

    def _died(self, owner: Owner, error: Lost) -> ServerDied:
        said = str(owner.error) if owner.error else self.sentence(str(error))
        return ServerDied(said, server=self.config.name, may_have_run=error.may_have_run)


def _has(tools: Iterable[Listed], name: str) -> bool:
    """Looked for as far as it stands, at every call: no set is made of hundreds of names."""
    return any(tool.name == name for tool in tools)
