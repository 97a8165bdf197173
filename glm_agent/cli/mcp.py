"""``glm-agent mcp``: which servers are configured, whether they start, and calling one of their tools by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import fail, leave, reporting, say

if TYPE_CHECKING:
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.messages import Event, ToolResult

_T = TypeVar("_T")

mcp = typer.Typer(help="MCP servers: list, check, call.", no_args_is_help=True)

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SOURCE]...", help="A .mcp.json, a command or an address. Else ./.mcp.json."),
]


@mcp.command("list")
def list_servers(sources: Sources = None) -> None:
    """The servers of a configuration, without starting them.

    Example: glm-agent mcp list .mcp.json
    """
    with reporting():
        configs = _read(sources)
    for config in configs:
        state = "disabled" if config.is_disabled else config.transport
        formats.write(f"{config.name:<20} {state:<9} {phrases.clean(config.target)}\n")


@mcp.command()
def check(sources: Sources = None) -> None:
    """Start every server, show its tools, and stop it again; leaves with 1 when one does not start.

    Example: glm-agent mcp check "uvx mcp-server-time"
    """
    with reporting():
        configs = [config for config in _read(sources) if not config.is_disabled]
        outcomes = _play(lambda: _check(configs), configs)
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
        configs = _read(mcp_config)
        result = _play(lambda: _call(configs, tool, arguments), configs)
    formats.write(result.content if result.content.endswith("\n") else f"{result.content}\n")
    leave(int(result.is_error))


def _read(sources: Sequence[str] | None) -> tuple[ServerConfig, ...]:
    from glm_agent.mcp.sources import read_servers

    if not sources and not Path(".mcp.json").exists():
        fail("there is no '.mcp.json' here: name a configuration file, a command or an address")
    configs, warnings = read_servers(sources or [".mcp.json"])
    for warning in warnings:
        say(f"warning: {warning}")
    return configs


def _play(run: Callable[[], Awaitable[_T]], configs: Sequence[ServerConfig]) -> _T:
    """Run on a loop under the eyes of the main thread, so that Ctrl-C ends it in an orderly way."""
    from glm_agent.cli.foreground import Foreground, Interrupted

    def running() -> list[str]:
        return [f"MCP server '{config.name}'" for config in configs]

    try:
        with Foreground(running=running) as foreground:
            return foreground.play(run)
    except Interrupted as interrupted:
        leave(interrupted.exit_code, running=running)


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
        async with MCPServers([replace(config, is_optional=False)], on_event=_show) as servers:
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
    async with MCPServers(named or configs, on_event=_show) as servers:
        call = ToolCall(id="call_0", name=tool, arguments=arguments)
        return await ToolRegistry(await servers.tools()).call(call, ToolContext(call=call, emit=_show))


def _show(event: Event) -> None:
    from glm_agent.messages import Notice, ToolProgress

    if isinstance(event, Notice | ToolProgress):
        say(phrases.clean(event.text))
