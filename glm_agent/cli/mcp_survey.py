"""What ``mcp list`` shows of a server: state, protocol, tools, and what their definitions cost in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glm_agent.cli import phrases

if TYPE_CHECKING:
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.mcp.tools import MCPTool


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One server."""

    state: str
    protocol: str = ""
    tools: int | None = None
    tokens: int = 0
    error: str = ""

    def __str__(self) -> str:
        known = "" if self.tools is None else f"{phrases.count(self.tools, 'tool')}, {self.tokens:,} tokens"
        return f"{self.state:<19} {self.protocol:<10} {known:<24}"


def locked_rows(configs: Sequence[ServerConfig]) -> dict[str, Row]:
    """What the lock files say, of the servers that they know."""
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.mcp.tools import offer

    rows: dict[str, Row] = {}
    for connection in MCPServers(configs).connections:
        tools = connection.locked_tools()
        if tools is not None:
            rows[connection.config.name] = _row("locked", "", offer(connection, tools))
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
    from glm_agent.cli.mcp_servers import show
    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.mcp.tools import offer

    async with MCPServers([config], on_event=show) as servers:
        (connection,) = servers.connections
        try:
            tools = offer(connection, await connection.tools())
        except MCPServerError as error:
            rows[config.name] = Row(state=connection.state, error=str(error))
        else:
            rows[config.name] = _row(connection.state, connection.protocol_version, tools)


def _row(state: str, protocol: str, tools: Sequence[MCPTool]) -> Row:
    from glm_agent.plugins.lint import tokens_of

    return Row(state=state, protocol=protocol, tools=len(tools), tokens=sum(tokens_of(tool.spec) for tool in tools))
