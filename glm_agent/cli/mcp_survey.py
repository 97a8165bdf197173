"""What ``mcp list`` and ``mcp check`` know of a server: state, protocol, tools, what these cost, what was mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glm_agent.cli import phrases

if TYPE_CHECKING:
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.mcp.servers import MCPServers, Served
    from glm_agent.messages import Event, ToolSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One tool, as GLM sees it."""

    spec: ToolSpec
    tokens: int
    """What it costs in every request, estimated."""
    mended: tuple[str, ...] = ()
    """How it differs from what its server says."""

    def as_json(self) -> dict[str, Any]:
        spec = self.spec
        return {
            "name": spec.name,
            "effect": spec.effect,
            "tokens": self.tokens,
            "description": spec.description,
            "parameters": spec.parameters,
            "mended": list(self.mended),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One server."""

    state: str
    protocol: str = ""
    tools: tuple[Seen, ...] | None = None
    """None where they are not known."""
    seconds: float | None = None
    """How long it took to start and to list its tools."""
    notices: tuple[str, ...] = ()
    """What was said about it on the way, such as what had to be left out."""
    error: str = ""

    @property
    def tokens(self) -> int:
        return sum(tool.tokens for tool in self.tools or ())

    def __str__(self) -> str:
        known = "" if self.tools is None else f"{phrases.count(len(self.tools), 'tool')}, {self.tokens:,} tokens"
        return f"{self.state:<19} {self.protocol:<10} {known:<24}"

    def as_json(self, config: ServerConfig) -> dict[str, Any]:
        """The row with what is known of the server before it is started, but for its secrets."""
        tools = None if self.tools is None else [tool.as_json() for tool in self.tools]
        known = {"server": config.name, "transport": config.transport, "target": config.target, "state": self.state}
        found = {"protocol": self.protocol or None, "tokens": None if tools is None else self.tokens}
        return {
            **known,
            **found,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "tools": tools,
            "notices": list(self.notices),
            "error": self.error or None,
        }


@dataclass(slots=True)
class _Heard:
    """What a server says of itself while it is asked; shown, and kept."""

    show: Callable[[Event], None]
    said: list[str] = field(default_factory=list[str])

    def __call__(self, event: Event) -> None:
        from glm_agent.messages import Notice

        self.show(event)
        if isinstance(event, Notice) and event.level != "info":
            self.said.append(phrases.clean(event.text))


def known_rows(configs: Sequence[ServerConfig]) -> dict[str, Row]:
    """The servers that are known without starting them: from their lock files, or from the last time."""
    from glm_agent.mcp.remembered import of_user
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.mcp.tools import offer

    rows: dict[str, Row] = {}
    for connection in MCPServers(configs, memory=of_user()).connections:
        tools = connection.promised_tools()
        if tools is not None:
            state = "remembered" if connection.locked_tools() is None else "locked"
            rows[connection.config.name] = Row(state=state, tools=_seen(offer(connection, tools)))
    return rows


async def survey(configs: Sequence[ServerConfig]) -> dict[str, Row]:
    """Every server, started and asked, side by side."""
    import anyio

    rows: dict[str, Row] = {}
    async with anyio.create_task_group() as tasks:
        for config in configs:
            tasks.start_soon(_ask, config, rows)
    return rows


async def _ask(config: ServerConfig, rows: dict[str, Row]) -> None:
    from dataclasses import replace

    from glm_agent.cli.mcp_servers import show
    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.remembered import of_user
    from glm_agent.mcp.servers import MCPServers

    heard = _Heard(show)
    begun = time.monotonic()
    async with MCPServers([replace(config, is_optional=False)], on_event=heard, memory=of_user()) as servers:
        (connection,) = servers.connections
        try:
            rows[config.name] = await _listed(servers, begun, heard)
        except MCPServerError as error:
            rows[config.name] = Row(state=connection.state, notices=tuple(heard.said), error=str(error))


async def _listed(servers: MCPServers, begun: float, heard: _Heard) -> Row:
    """The tools that the server has now, whatever is known of it from before."""
    (connection,) = servers.connections
    await connection.tools()
    return Row(
        state=connection.state,
        protocol=connection.protocol_version,
        seconds=time.monotonic() - begun,
        tools=_seen(await servers.tools()),
        notices=tuple(heard.said),
    )


def _seen(tools: Sequence[Served]) -> tuple[Seen, ...]:
    from glm_agent.mcp.mended import mended
    from glm_agent.mcp.tools import MCPTool
    from glm_agent.plugins.lint import tokens_of

    return tuple(
        Seen(
            spec=tool.spec,
            tokens=tokens_of(tool.spec),
            mended=mended(tool.listed, tool.spec) if isinstance(tool, MCPTool) else (),
        )
        for tool in tools
    )
