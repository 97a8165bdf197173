"""One server as its users see it: started when it is needed, started again when it has died.

    ServerConnection(config)   tools()  call(name, arguments)  aclose()

States: idle -> starting -> ready -> idle | failed. After a failure the next use starts the server again, at
once the first time, then after growing waits, during which uses fail fast with the last error. A call that
takes too long is cancelled and never ends the server.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import anyio.lowlevel

from glm_agent.errors import MCPServerError
from glm_agent.mcp.callbacks import Callbacks, OnTask, Progress, log_notice
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Definition, Listed
from glm_agent.mcp.failure import Lost, Refused, ServerDied, SessionLost, UnknownTask, sentence, shown
from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.lock import Locked, changes
from glm_agent.mcp.owner import Owner, detach
from glm_agent.messages import Event, JsonObject, Notice

if TYPE_CHECKING:
    from mcp.types import CallToolResult, Tool

    from glm_agent.mcp.link import Link
    from glm_agent.mcp.skills import Skill

_T = TypeVar("_T")
_Tool = TypeVar("_Tool", bound=Listed)

_CHANGES = {
    "changed": "its tool {name!r} is not what was accepted: it is kept back.",
    "new": "its tool {name!r} is not in the lock file: it is not offered.",
    "gone": "its tool {name!r}, which was accepted, is gone.",
}
_ACCEPT = "To look at it and accept it: glm-agent mcp lock"

State = Literal["idle", "starting", "ready", "failed", "needs authorization"]

MAX_WAIT_SECONDS = 60.0
_TASK_WAITS = (0.0, 0.5, 2.0, 8.0, 30.0)
"""Seconds before each time of asking after a task whose connection was lost."""
_LAST_WORDS_SECONDS = 5.0
_SHORT_LIFE_SECONDS = 10.0


class ToolTimeout(Exception):
    """The server did not answer a call in time; the call was cancelled, the server still runs."""


def _skill_file(link: Link, *, skill: Skill, uri: str) -> Awaitable[bytes]:
    return link.offers.skill_file(skill, uri)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


class ServerConnection:
    """A server, for any number of callers on any event loop; each loop has an opening of its own."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        on_event: Callable[[Event], None] = log_notice,
        callbacks: Callbacks | None = None,
        locked: Locked | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.callbacks = callbacks or Callbacks()
        self.locked = locked
        """What the server's tools were when they were accepted; None accepts what it offers."""
        self.quarantined: dict[str, str] = {}
        """Tools that are not as they were accepted, and what is said to whoever calls them."""
        self._judged: tuple[Tool, ...] | None = None
        self.state: State = "idle"
        self._on_event = on_event
        self._clock = clock
        self._owners: dict[anyio.lowlevel.EventLoopToken, Owner] = {}
        self._is_legacy = False
        self._failures = 0
        self._ready_at = 0.0
        self._not_before = 0.0
        self._last_error: MCPServerError | None = None

    async def start(self) -> None:
        """Start the server, if it is not running. Raises ``MCPServerError``."""
        await self._ready()

    def start_soon(self) -> None:
        """Start the server in a task of its own; what goes wrong is a notice, and what a call then raises."""

        token = anyio.lowlevel.current_token()
        if token in self._owners:
            return
        try:
            owner = self._open(token)
        except MCPServerError as error:
            self._say_absent(error)
            return

        async def verify() -> None:
            # Of this opening alone: asking for the tools would start a server anew that was closed meanwhile.
            await owner.ready.wait()
            if owner.link is not None:
                self._judge(owner.link.listed)
            elif owner.error is not None:
                self._say_absent(owner.error)

        detach(verify, name=f"mcp {self.config.name} lock")

    def _say_absent(self, error: MCPServerError) -> None:
        text = f"it is not there yet: {error}"
        self._on_event(Notice(text=text, level="warning", source=f"mcp:{self.config.name}"))

    async def tools(self) -> tuple[Tool, ...]:
        """What the server offers and the configuration allows. Starts it; raises ``MCPServerError``."""
        tools = await self._asked(lambda link: link.tools(), "it did not list its tools in time")
        self._judge(tools)
        known = tools if self.locked is None else tuple(tool for tool in tools if tool.name in self.locked.tools)
        return self._allowed(known)

    @property
    def protocol_version(self) -> str:
        """The protocol that was agreed on; empty while the server does not run on this event loop."""
        owner = self._owners.get(anyio.lowlevel.current_token())
        return owner.link.client.protocol_version if owner is not None and owner.link is not None else ""

    def locked_tools(self) -> tuple[Definition, ...] | None:
        """The tools that were accepted, known without starting the server; None where nothing was."""
        return None if self.locked is None else self._allowed(tuple(self.locked.tools.values()))

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
            owner, link = await self._ready()
            try:
                with link.peer.patience.bounded(seconds):
                    if self.locked is not None:
                        await link.refreshed()
                        self._refuse_changed(link, name)
                    answer = await link.call(
                        name, arguments, progress=progress, meta=meta or {}, wants_task=on_task is not None
                    )
                self._failures = 0
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
                await self._ended(owner)
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
        owner, link = await self._ready()
        lost = ""
        for wait in _TASK_WAITS:
            await anyio.sleep(wait)
            owner, link = await self._ready()
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
                await self._ended(owner)
        raise self._died(owner, Lost(lost, may_have_run=True)) from None

    async def _task_of_call(
        self, task: TaskHandle, *, timeout_seconds: float | None, progress: Progress | None
    ) -> CallToolResult:
        try:
            return await self.task_result(task, timeout_seconds=timeout_seconds, progress=progress)
        except UnknownTask as error:
            # It was there a moment ago: the server has been started anew meanwhile, and forgot it.
            raise ServerDied(self._sentence(str(error)), server=self.config.name, may_have_run=True) from None

    async def resources(self) -> list[JsonObject]:
        """The server's resources and templates, in the protocol's words. Raises as ``tools`` does."""
        return await self._asked(lambda link: link.offers.resources(), "it did not list its resources in time")

    async def prompts(self) -> list[JsonObject]:
        """The server's prompts, in the protocol's words. Raises as ``tools`` does."""
        return await self._asked(lambda link: link.offers.prompts(), "it did not list its prompts in time")

    async def read_resource(self, uri: str) -> CallToolResult:
        """One resource, as the content of a result. Raises as ``tools`` does."""
        return await self._asked(lambda link: link.offers.read_resource(uri), "it did not give the resource in time")

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> CallToolResult:
        """One prompt's messages, as the content of a result. Raises as ``tools`` does."""
        return await self._asked(
            lambda link: link.offers.get_prompt(name, arguments), "it did not give the prompt in time"
        )

    async def skills(self) -> tuple[Skill, ...]:
        """The skills that the server offers; nothing of them is read. Raises as ``tools`` does."""
        return await self._asked(lambda link: link.offers.skills(), "it did not list its skills in time")

    async def load_skill(self, skill: Skill) -> dict[str, bytes]:
        """The files of a skill by their addresses, SKILL.md first; what is not as listed is refused.

        Raises as ``tools`` does.
        """
        uris = dict.fromkeys((skill.uri, *(file.uri for file in skill.files)))
        found: dict[str, bytes] = {}
        for uri in uris:
            late = f"it did not give the file {uri!r} in time"
            found[uri] = await self._asked(partial(_skill_file, skill=skill, uri=uri), late)
        return found

    async def aclose(self) -> None:
        """Stop the server; the next use starts it again. Any task may close, in any order."""
        owner = self._owners.get(anyio.lowlevel.current_token())
        if owner is not None:
            await owner.stop()
        self._last_error, self._failures, self._not_before = None, 0, 0.0

    def _judge(self, tools: tuple[Tool, ...]) -> None:
        """Keep back what is not as it was accepted, and say so once."""
        if self.locked is None or tools is self._judged:
            return
        self._judged = tools
        before, self.quarantined = self.quarantined, {}
        for change in changes(self.locked, tools):
            said = _CHANGES[change.kind].format(name=change.name)
            if change.kind != "new":
                self.quarantined[change.name] = f"{said}\n{change.diff}".strip()
            if before.get(change.name) != self.quarantined.get(change.name) or change.name not in before:
                diff = f"\n{change.diff}" if change.diff else ""
                self._warn(f"{said} {_ACCEPT}{diff}", limit=4000)

    def _refuse_changed(self, link: Link, name: str) -> None:
        """Raises ``Refused`` for a tool that is in quarantine."""
        self._judge(link.listed)
        if self.locked is not None and (name in self.quarantined or name not in self.locked.tools):
            raise Refused(f"{self.quarantined.get(name, _CHANGES['new'].format(name=name)).splitlines()[0]} {_ACCEPT}")

    def _allowed(self, tools: tuple[_Tool, ...]) -> tuple[_Tool, ...]:
        """The tools that pass the configuration's globs."""
        allow, deny = self.config.allow or ("*",), self.config.deny
        return tuple(tool for tool in tools if _matches(tool.name, allow) and not _matches(tool.name, deny))

    async def _asked(self, ask: Callable[[Link], Awaitable[_T]], late: str) -> _T:
        """What the server answers to something that only reads; asked once more where it was lost meanwhile."""
        for is_last in (False, True):
            owner, link = await self._ready()
            try:
                with anyio.fail_after(self.config.startup_timeout_seconds):
                    return await ask(link)
            except TimeoutError:
                raise self._error(late) from None
            except Refused as error:
                raise self._error(str(error)) from None
            except (Lost, SessionLost) as error:
                await self._ended(owner)
                if is_last:
                    raise self._error(str(error)) from None
        raise AssertionError("the last round returns or raises")

    # -- the opening behind it ------------------------------------------------------------------------

    async def _ready(self) -> tuple[Owner, Link]:
        """The opening of this event loop, when it can be used."""
        token = anyio.lowlevel.current_token()
        owner = self._owners.get(token)
        if owner is not None and (owner.is_stopping or (owner.link is not None and owner.link.over.is_set())):
            await owner.done.wait()
            owner = self._owners.get(token)
        if owner is None:
            owner = self._open(token)
        await owner.ready.wait()
        if owner.link is None:
            raise self._again(owner.error) if owner.error else self._error("it was closed while it started")
        return owner, owner.link

    def _open(self, token: anyio.lowlevel.EventLoopToken) -> Owner:
        wait = self._not_before - self._clock()
        if wait > 0 and self._last_error is not None:
            raise self._again(self._last_error, f" It is not started again for {wait:.0f} s.")
        owner = Owner(
            config=self.config,
            note=self._warn,
            on_change=lambda owner: self._changed(token, owner),
            is_legacy=self._is_legacy,
            callbacks=self.callbacks,
        )
        self._owners[token] = owner
        self.state = "starting"
        owner.start()
        return owner

    def _changed(self, token: anyio.lowlevel.EventLoopToken, owner: Owner) -> None:
        """Keep the books when an opening has become ready or has ended."""
        if not owner.done.is_set():
            self.state = "ready"
            self._ready_at = self._clock()
            self._is_legacy = owner.link is not None and not owner.link.is_modern
            return
        if self._owners.get(token) is owner:
            del self._owners[token]
        self.state = "idle" if owner.error is None else "needs authorization" if owner.is_unauthorized else "failed"
        if owner.error is not None:
            self._count(owner, owner.error)

    def _count(self, owner: Owner, error: MCPServerError) -> None:
        """One failure more; the first is free, each further one in a row doubles the wait."""
        if owner.link is not None and self._clock() - self._ready_at > _SHORT_LIFE_SECONDS:
            self._failures = 0
        self._failures += 1
        wait = 0.0 if self._failures == 1 else min(2.0 ** (self._failures - 2), MAX_WAIT_SECONDS)
        self._not_before = self._clock() + wait
        self._last_error = error
        if owner.link is not None:
            self._on_event(Notice(text=str(error), level="warning", source=f"mcp:{self.config.name}"))

    async def _ended(self, owner: Owner) -> None:
        """Wait until a lost connection is cleared away, so that its exit code and last words are known."""
        if owner.link is not None and owner.link.over.is_set():
            with anyio.move_on_after(_LAST_WORDS_SECONDS):
                await owner.done.wait()

    def _after_timeout(self, owner: Owner) -> None:
        """A process that has ended while a descendant holds its pipes would let every call run out of time."""
        if owner.process is not None and owner.process.process.returncode is not None and owner.link is not None:
            owner.link.over.set()

    def _died(self, owner: Owner, error: Lost) -> ServerDied:
        said = str(owner.error) if owner.error else self._sentence(str(error))
        return ServerDied(said, server=self.config.name, may_have_run=error.may_have_run)

    def _again(self, error: MCPServerError, more: str = "") -> MCPServerError:
        """The same error as a new one: one object raised in many tasks would collect their tracebacks."""
        return MCPServerError(f"{error}{more}", server=self.config.name)

    def _error(self, what: str) -> MCPServerError:
        return MCPServerError(self._sentence(what), server=self.config.name)

    def _sentence(self, what: str) -> str:
        return sentence(self.config, shown(self.config, what))

    def _warn(self, said: str, *, limit: int = 500) -> None:
        text = sentence(self.config, shown(self.config, said, limit=limit))
        self._on_event(Notice(text=text, level="warning", source=f"mcp:{self.config.name}"))
