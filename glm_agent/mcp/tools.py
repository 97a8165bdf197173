"""A tool of a server as a tool of the registry.

What a server says about its tools is not believed unless its configuration says that it is trusted: its tools
count as ``write``, and its results as text of strangers. A call that died half-way is run again only where that
cannot do harm.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from glm_agent.errors import MCPServerError
from glm_agent.mcp import handle, names, sanitize
from glm_agent.mcp.arguments import read_arguments
from glm_agent.mcp.callbacks import Progress
from glm_agent.mcp.content import read_content
from glm_agent.mcp.definition import Listed
from glm_agent.mcp.failure import LeftAlone, Refused, ServerDied, UnknownTask, Unreadable, shown
from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.server import ServerConnection, ToolTimeout
from glm_agent.messages import Effect, ToolCall, ToolResult, ToolSpec
from glm_agent.registry import Tool, ToolContext
from glm_agent.schema import glm_schema

if TYPE_CHECKING:
    from mcp.types import CallToolResult

IDEMPOTENCY_KEY = "glm-agent/idempotencyKey"
"""Where in a call's ``_meta`` the key stands that is the same for every attempt of the call."""


_NO_CHANNEL = "no back-channel"
_ASKS_AS_BEFORE = ' (It asks as the older protocols do: put "protocol": "2025-11-25" into its entry.)'
"""What the SDK's servers say that ask during a call in a protocol where they cannot, and what helps."""

_NOT_RUN = "The call was not run."

PROGRESS_SECONDS = 0.1
"""Between two events of a call's progress."""

_MAX_PROGRESS = 500


class MCPTool(Tool):
    """One tool of one server."""

    # The connection bounds a call itself, and the first one may wait for the server to start.
    timeout_seconds: float | None = None

    def __init__(self, server: ServerConnection, listed: Listed, *, name: str) -> None:
        self.server = server
        self.listed = listed
        """The definition as the server gave it, its own name included."""
        self._spec = _spec(server, listed, name)
        self._identity = f"{server.config.name} {server.config.target}"

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run it on the server. A failure of the server is a result that says what is known."""
        arguments = read_arguments(call.arguments, self._spec.parameters, can_repair=self._spec.effect == "read")
        return await self._told(call, lambda: self._attempts(arguments, context))

    async def reconcile(self, call: ToolCall, context: ToolContext) -> ToolResult | None:
        """What became of a call that the server went on with as a task; None where it did not, or forgot it."""
        if (task := self._kept_task(context)) is None:
            return None
        try:
            return await self._told(call, lambda: self._task_result(task, context))
        except UnknownTask:
            return None

    async def _told(self, call: ToolCall, ask: Callable[[], Awaitable[CallToolResult]]) -> ToolResult:
        """What the server answers, or what is known where it does not. Raises ``UnknownTask``."""
        try:
            result = await ask()
        except UnknownTask:
            raise
        except ToolTimeout as error:
            return self._failed(call, f"{error}; the call was cancelled. {self._outcome(True)}")
        except Unreadable as error:
            return self._failed(call, f"the call ran, but {shown(self.server.config, str(error))}.")
        except Refused as error:
            said = f"the server refused the call: {shown(self.server.config, str(error))}"
            return self._failed(call, f"{said}{_ASKS_AS_BEFORE}" if _NO_CHANNEL in str(error) else said)
        except ServerDied as error:
            return self._failed(call, f"{error}\n{self._outcome(error.may_have_run)}")
        except LeftAlone as error:
            return self._failed(call, f"{error}\n{_NOT_RUN}")
        except MCPServerError as error:
            return self._failed(call, f"{error}\n{self._outcome(False)}")
        text, parts = read_content(result)
        return ToolResult(
            call_id=call.id,
            name=call.name,
            content=text,
            attachments=parts,
            is_error=result.is_error,
            is_untrusted=self.spec.is_untrusted,
        )

    async def _attempts(self, arguments: dict[str, object], context: ToolContext) -> CallToolResult:
        """The call, and once more where the server died over it and running it again does no harm."""
        if (task := self._kept_task(context)) is not None:
            with suppress(UnknownTask):
                return await self._task_result(task, context)
        try:
            return await self._attempt(arguments, context)
        except ServerDied as error:
            if error.may_have_run and self.spec.effect == "write":
                raise
            return await self._attempt(arguments, context)

    async def _attempt(self, arguments: dict[str, object], context: ToolContext) -> CallToolResult:
        key = context.idempotency_key
        meta = {IDEMPOTENCY_KEY: key} if key else {}
        keep = partial(self._keep_task, context) if context.handles is not None else None
        progress = _progress(context)
        return await self.server.call(self.listed.name, arguments, progress=progress, meta=meta, on_task=keep)

    async def _task_result(self, task: TaskHandle, context: ToolContext) -> CallToolResult:
        return await self.server.task_result(task, progress=_progress(context))

    def _keep_task(self, context: ToolContext, task: TaskHandle) -> None:
        context.keep_handle(handle.to_json(task, server=self._identity))

    def _kept_task(self, context: ToolContext) -> TaskHandle | None:
        """The task that an earlier process, or an earlier attempt, left behind."""
        return handle.from_json(context.kept_handle(), server=self._identity) if context.handles is not None else None

    def _failed(self, call: ToolCall, said: str) -> ToolResult:
        return ToolResult(
            call_id=call.id, name=call.name, content=said, is_error=True, is_untrusted=self.spec.is_untrusted
        )

    def _outcome(self, may_have_run: bool) -> str:
        """What is known of a call that gave no result."""
        if not may_have_run:
            return f"{_NOT_RUN} The server is started again by the next call."
        if self.spec.effect == "write":
            return "Whether the call took effect is unknown: check that before you repeat it."
        return "The call may be repeated."


def _progress(context: ToolContext) -> Progress:
    """Shows how far a call is, ten times a second at most: a server may say it for every byte. The end is shown."""
    shown_at = -PROGRESS_SECONDS

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if now - shown_at >= PROGRESS_SECONDS or progress == total:
            shown_at = now
            context.progress(sanitize.description(message or "", limit=_MAX_PROGRESS), done=progress, total=total)

    return progress


def offer(
    server: ServerConnection, listed: Sequence[Listed], *, taken: frozenset[str] = frozenset()
) -> tuple[MCPTool, ...]:
    """The server's tools under names that fit the wire and that nobody else has."""
    used = set(taken)
    tools: list[MCPTool] = []
    for tool in listed:
        name = names.offered(server.config.tool_prefix, tool.name)
        if name in used:
            name = names.hashed(f"{server.config.name}__{tool.name}")
        if name not in used:
            used.add(name)
            tools.append(MCPTool(server, tool, name=name))
    return tuple(tools)


def _spec(server: ServerConnection, listed: Listed, name: str) -> ToolSpec:
    config, hints = server.config, listed.annotations
    title = listed.title or (hints.title if hints else None) or ""
    return ToolSpec(
        name=name,
        description=sanitize.description(listed.description or title) or listed.name,
        parameters=glm_schema(sanitize.schema(listed.input_schema)),
        effect=_effect(hints) if config.is_trusted else "write",
        is_untrusted=not config.is_trusted,
        source=f"mcp:{config.name}",
    )


def _effect(hints: Any) -> Effect:
    if hints is not None and hints.read_only_hint:
        return "read"
    return "idempotent" if hints is not None and hints.idempotent_hint else "write"
