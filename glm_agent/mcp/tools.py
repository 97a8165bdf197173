"""A tool of a server as a tool of the registry.

What a server says about its tools is not believed unless its configuration says that it is trusted: its tools
count as ``write``, and its results as text of strangers. A call that died half-way is run again only where that
cannot do harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glm_agent.errors import MCPServerError
from glm_agent.mcp import names, sanitize
from glm_agent.mcp.arguments import read_arguments
from glm_agent.mcp.content import read_content
from glm_agent.mcp.definition import Listed
from glm_agent.mcp.failure import Refused, ServerDied, shown
from glm_agent.mcp.server import ServerConnection, ToolTimeout
from glm_agent.messages import Effect, ToolCall, ToolResult, ToolSpec
from glm_agent.registry import Tool, ToolContext
from glm_agent.schema import glm_schema

if TYPE_CHECKING:
    from mcp.types import CallToolResult

IDEMPOTENCY_KEY = "glm-agent/idempotencyKey"
"""Where in a call's ``_meta`` the key stands that is the same for every attempt of the call."""


class MCPTool(Tool):
    """One tool of one server."""

    # The connection bounds a call itself, and the first one may wait for the server to start.
    timeout_seconds: float | None = None

    def __init__(self, server: ServerConnection, listed: Listed, *, name: str) -> None:
        self.server = server
        self.listed = listed
        """The definition as the server gave it, its own name included."""
        self._spec = _spec(server, listed, name)

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run it on the server. A failure of the server is a result that says what is known."""
        arguments = read_arguments(call.arguments, self._spec.parameters, can_repair=self._spec.effect == "read")
        try:
            result = await self._attempts(arguments, context)
        except ToolTimeout as error:
            return self._failed(call, f"{error}; the call was cancelled. {self._outcome(True)}")
        except Refused as error:
            return self._failed(call, f"the server refused the call: {shown(self.server.config, str(error))}")
        except ServerDied as error:
            return self._failed(call, f"{error}\n{self._outcome(error.may_have_run)}")
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
        try:
            return await self._attempt(arguments, context)
        except ServerDied as error:
            if error.may_have_run and self.spec.effect == "write":
                raise
            return await self._attempt(arguments, context)

    async def _attempt(self, arguments: dict[str, object], context: ToolContext) -> CallToolResult:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            context.progress(sanitize.description(message or ""), done=progress, total=total)

        key = context.idempotency_key
        meta = {IDEMPOTENCY_KEY: key} if key else {}
        return await self.server.call(self.listed.name, arguments, progress=progress, meta=meta)

    def _failed(self, call: ToolCall, said: str) -> ToolResult:
        return ToolResult(
            call_id=call.id, name=call.name, content=said, is_error=True, is_untrusted=self.spec.is_untrusted
        )

    def _outcome(self, may_have_run: bool) -> str:
        """What is known of a call that gave no result."""
        if not may_have_run:
            return "The call was not run. The server is started again by the next call."
        if self.spec.effect == "write":
            return "Whether the call took effect is unknown: check that before you repeat it."
        return "The call may be repeated."


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
