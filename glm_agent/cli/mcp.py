"""``glm-agent mcp``: which servers are configured, whether they start, and calling one of their tools by hand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import leave, reporting, say
from glm_agent.cli.mcp_files import add
from glm_agent.cli.mcp_lock import lock
from glm_agent.cli.mcp_login import login
from glm_agent.cli.mcp_serve import serve
from glm_agent.cli.mcp_servers import Sources, play, play_beside, read, show
from glm_agent.cli.mcp_survey import Row, known_rows, survey

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.messages import ToolResult
    from glm_agent.registry.asking import Asker

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]

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
    as_json: Json = False,
) -> None:
    """The servers of a configuration: state, protocol, tools and the tokens that these cost in every request.

    Nothing is started without --live: tools and tokens are then those of the lock file, or of the last time.

    Example: glm-agent mcp list .mcp.json --live
    """
    with reporting():
        configs = read(sources)
        running = [config for config in configs if not config.is_disabled]
        rows = play(lambda: survey(running), running) if live else known_rows(running)
    known = [(config, rows.get(config.name, _unknown(config))) for config in configs]
    if as_json:
        formats.write_line({"servers": [row.as_json(config) for config, row in known]})
    else:
        for config, row in known:
            formats.write(f"{config.name:<20} {row}  {phrases.clean(config.target)}\n")
            _say_error(row)
    leave(int(any(row.error for row in rows.values())))


@mcp.command()
def check(sources: Sources = None, *, as_json: Json = False) -> None:
    """Start every server, show its tools as GLM sees them and what was mended about them, and stop it again.

    Leaves with 1 when one does not start. With --json the descriptions and parameters are those that GLM gets.

    Example: glm-agent mcp check "uvx mcp-server-time"
    """
    with reporting():
        configs = [config for config in read(sources) if not config.is_disabled]
        rows = play(lambda: survey(configs), configs)
    if as_json:
        formats.write_line({"servers": [rows[config.name].as_json(config) for config in configs]})
    else:
        for config in configs:
            _show_checked(config.name, rows[config.name])
    leave(int(any(row.error for row in rows.values())))


def _unknown(config: ServerConfig) -> Row:
    return Row(state="disabled" if config.is_disabled else "not started")


def _say_error(row: Row) -> None:
    if row.error:
        say(f"error: {row.error}")


def _show_checked(name: str, row: Row) -> None:
    """The server, its tools, and below each of these what was mended."""
    if row.tools is None:
        formats.write(f"{name}: {row.state}\n")
        _say_error(row)
        return
    took = f"started in {phrases.duration(row.seconds)}" if row.seconds is not None else ""
    parts = (phrases.count(len(row.tools), "tool"), f"{row.tokens:,} tokens in every request", row.protocol, took)
    formats.write(f"{name}: {', '.join(filter(None, parts))}\n")
    for tool in row.tools:
        shown = phrases.short(tool.spec.description)
        formats.write(f"  {tool.spec.name:<32} {tool.spec.effect:<11} {tool.tokens:>6,} tokens  {shown}\n")
        for said in tool.mended:
            formats.write(f"    mended: {phrases.clean(said)}\n")


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
        result = play_beside(lambda foreground: _call(configs, tool, arguments, foreground), configs)
    formats.write(result.content if result.content.endswith("\n") else f"{result.content}\n")
    leave(int(result.is_error))


async def _call(configs: Sequence[ServerConfig], tool: str, arguments: str, foreground: Foreground) -> ToolResult:
    from glm_agent.mcp.callbacks import Callbacks
    from glm_agent.mcp.servers import MCPServers
    from glm_agent.messages import ToolCall
    from glm_agent.registry import ToolContext, ToolRegistry

    # Only the server whose tool it is has to start, where the name says which.
    named = [config for config in configs if tool.startswith(f"{config.tool_prefix}__")]
    callbacks = Callbacks(elicit=_person(foreground))
    async with MCPServers(named or configs, on_event=show, callbacks=callbacks) as servers:
        call = ToolCall(id="call_0", name=tool, arguments=arguments)
        return await ToolRegistry(await servers.tools()).call(call, ToolContext(call=call, emit=show))


def _person(foreground: Foreground) -> Asker:
    """Whoever sits at the terminal; else nobody."""
    from glm_agent.cli.approvals import is_interactive
    from glm_agent.cli.questions import asker
    from glm_agent.mcp.elicitation import decline

    if not is_interactive():
        return decline
    from rich.console import Console

    return asker(foreground, lambda: nullcontext(Console(stderr=True, highlight=False, soft_wrap=True)))
