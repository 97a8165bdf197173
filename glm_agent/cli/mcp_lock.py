"""``glm-agent mcp lock``: what every server's tools are is shown, and accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import fail, leave, reporting, say
from glm_agent.cli.mcp_servers import Sources, play, read, show

if TYPE_CHECKING:
    from mcp.types import Tool

    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.config import ServerConfig

    _Listed = list[tuple[ServerConfig, tuple[Tool, ...]]]


def lock(
    sources: Sources = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; leave with 1 if something differs.")] = False,
) -> None:
    """Start every server, show how its tools differ from those in mcp.lock, and accept them as they are now.

    Leaves with 1 when a server does not start: the others are accepted, and what was accepted of it stays.

    Example: glm-agent mcp lock .mcp.json
    """
    with reporting():
        configs = [config for config in read(sources) if not config.is_disabled]
        listed, failed = play(lambda: _offered(configs), configs)
        differs = [_show_changes(config, tools) for config, tools in listed]
        for error in failed:
            say(f"error: {error}")
        if not check:
            _accept(listed)
    leave(int(bool(failed) or (check and any(differs))))


def _show_changes(config: ServerConfig, tools: Sequence[Tool]) -> bool:
    """Whether the server's tools are others than those that were accepted; said on standard output."""
    from glm_agent.mcp.lock import Locked, accepted, changes

    found = changes(accepted(Path(config.lock)).get(config.name, Locked()), tools)
    formats.write(f"{config.name}: {phrases.count(len(tools), 'tool')}{'' if found else ', as accepted'}\n")
    for change in found:
        formats.write(f"  {change.kind:<8} {phrases.clean(change.name)}\n")
        for line in change.diff.splitlines():
            formats.write(f"    {phrases.clean(line)}\n")
    return bool(found)


def _accept(listed: _Listed) -> None:
    from glm_agent.mcp.lock import write

    for path in dict.fromkeys(config.lock for config, _ in listed):
        try:
            write(Path(path), {config.name: tools for config, tools in listed if config.lock == path})
        except OSError as error:
            fail(f"the lock file {path!r} cannot be written: {error.strerror or error}")
        say(f"accepted in {path}")


async def _offered(configs: Sequence[ServerConfig]) -> tuple[_Listed, list[MCPServerError]]:
    """The tools of every server, whatever the lock file says, and why some have none."""
    import anyio

    from glm_agent.errors import MCPServerError
    from glm_agent.mcp.servers import MCPServers

    found: dict[str, tuple[Tool, ...]] = {}
    failed: list[MCPServerError] = []
    async with MCPServers(configs, on_event=show, use_locks=False) as servers:

        async def ask(connection: Any) -> None:
            try:
                found[connection.config.name] = await connection.tools()
            except MCPServerError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            for connection in servers.connections:
                tasks.start_soon(ask, connection)
    return [(config, found[config.name]) for config in configs if config.name in found], failed
