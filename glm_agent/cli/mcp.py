"""``glm-agent mcp``: which servers are configured, whether they start, and calling one of their tools by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import leave, reporting, say
from glm_agent.cli.mcp_files import add, lock
from glm_agent.cli.mcp_login import login
from glm_agent.cli.mcp_serve import serve
from glm_agent.cli.mcp_servers import Sources, play, read, show
from glm_agent.cli.mcp_survey import Row, locked_rows, survey

if TYPE_CHECKING:
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.messages import ToolResult

mcp = typer.Typer(help="MCP servers: list, check, call, add, lock, login, serve.", no_args_is_help=True)
mcp.command()(add)
mcp.command()(lock)
mcp.command()(login)
mcp.command()(serve)


@mcp.command("list")
def list_servers(
    sources: Sources = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="Start them, and ask them.")] = False,
) -> None:
    """The servers of a configuration: state, protocol, tools and the tokens that these cost in every request.

    Nothing is started without --live: tools and tokens are then those of the lock file.

    Example: glm-agent mcp list .mcp.json --live
    """
    with reporting():
        configs = read(sources)
        running = [config for config in configs if not config.is_disabled]
        rows = play(lambda: survey(running), running) if live else locked_rows(running)
    for config in configs:
        row = rows.get(config.name, Row(state="disabled" if config.is_disabled else "not started"))
        formats.write(f"{config.name:<20} {row}  {phrases.clean(config.target)}\n")
        if row.error:
            say(f"error: {row.error}")
    leave(int(any(row.error for row in rows.values())))


@mcp.command()
def check(sources: Sources = None) -> None:
    """Start every server, show its tools, and stop it again; leaves with 1 when one does not start.

    Example: glm-agent mcp check "uvx mcp-server-time"
    """
    with reporting():
        configs = [config for config in read(sources) if not config.is_disabled]
        outcomes = play(lambda: _check(configs), configs)
    for config, outcome in zip(configs, outcomes, strict=True):
        if isinstance(outcome, str):
            formats.write(f"{config.name}: failed\n")
            say(f"error: {outcome}")
        else:
            formats.write(f"{config.name}: {phrases.count(len(outcome), 'tool')}\n")
            for name, effect, description in outcome:
                formats.write(f"  {name:<32} {effect:<11} {phrases.short(description)}\n")
    leave(int(any(isinstance(outcome, str) for outcome in outcomes)))


@mcp.command()
def call(
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="As `mcp check` shows it: server__tool.")],
    arguments: Annotated[
        str, typer.Argument(metavar="[JSON]", help='Arguments, such as \'{"timezone": "UTC"}\'.')
    ] = "{}",
    *,
    mcp_config: Annotated[
        list[str] | None, typer.Option("--mcp-config", help="A .mcp.json, a command or an address. Else ./.mcp.json.")
    ] = None,
) -> None:
    """Call a tool of a server once, as the model would, and print its result.

    Example: glm-agent mcp call time__get_current_time '{"timezone": "UTC"}' --mcp-config "uvx mcp-server-time"
    """
    with reporting():
        configs = read(mcp_config)
        result = play(lambda: _call(configs, tool, arguments), configs)
    formats.write(result.content if result.content.endswith("\n") else f"{result.content}\n")
    leave(int(result.is_error))


async def _check(configs: Sequence[ServerConfig]) -> list[str | list[tuple[str, str, str]]]:
    """Of each server its tools, or what is wrong with it."""
    import anyio

    found: dict[str, str | list[tuple[str, str, str]]] = {}
    async with anyio.create_task_group() as tasks:
        for config in configs:
            tasks.start_soon(_check_one, config, found)
    return [found[config.name] for config in configs]


async def _check_one(config: ServerConfig, found: dict[str, str | list[tuple[str, str, str]]]) -> None:
    from dataclasses import replace

    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.servers import MCPServers

    try:
        async with MCPServers([replace(config, is_optional=False)], on_event=show) as servers:
            await servers.start()  # also where a lock file says what its tools are
            specs = [tool.spec for tool in await servers.tools()]
            found[config.name] = [(spec.name, spec.effect, spec.description) for spec in specs]
    except MCPServerError as error:
        found[config.name] = str(error)


async def _call(configs: Sequence[ServerConfig], tool: str, arguments: str) -> ToolResult:
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.messages import ToolCall
    from glm_agent.registry import ToolContext, ToolRegistry

    # Only the server whose tool it is has to start, where the name says which.
    named = [config for config in configs if tool.startswith(f"{config.tool_prefix}__")]
    async with MCPServers(named or configs, on_event=show) as servers:
        call = ToolCall(id="call_0", name=tool, arguments=arguments)
        return await ToolRegistry(await servers.tools()).call(call, ToolContext(call=call, emit=show))
