"""What the ``mcp`` commands share: the servers that were named, and a loop to talk to them on."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from glm_agent.cli import phrases
from glm_agent.cli.exits import fail, leave, say

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.mcp.config import ServerConfig
    from glm_agent.messages import Event

_T = TypeVar("_T")

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SOURCE]...", help="A .mcp.json, a command or an address. Else ./.mcp.json."),
]


def read(sources: Sequence[str] | None) -> tuple[ServerConfig, ...]:
    """The servers that were named, or those of the file that is here."""
    from glm_agent.mcp.sources import read_servers

    if not sources and not os.path.exists(".mcp.json"):
        fail("there is no '.mcp.json' here: name a configuration file, a command or an address")
    configs, warnings = read_servers(sources or [".mcp.json"])
    for warning in warnings:
        say(f"warning: {warning}")
    return configs


def play(run: Callable[[], Awaitable[_T]], configs: Sequence[ServerConfig]) -> _T:
    """Run on a loop under the eyes of the main thread, so that Ctrl-C ends it in an orderly way."""
    return play_beside(lambda _: run(), configs)


def play_beside(run: Callable[[Foreground], Awaitable[_T]], configs: Sequence[ServerConfig]) -> _T:
    """``play`` for what has something to ask the person."""
    from glm_agent.cli.foreground import Foreground, Interrupted

    def running() -> list[str]:
        return [f"MCP server '{config.name}'" for config in configs]

    try:
        with Foreground(running=running) as foreground:
            return foreground.play(lambda: run(foreground))
    except Interrupted as interrupted:
        leave(interrupted.exit_code, running=running)


def show(event: Event) -> None:
    """Notices and progress, on standard error."""
    from glm_agent.messages import Notice, ToolProgress

    match event:
        case Notice(level="info", source=source, text=text):
            say(phrases.clean(f"{source.removeprefix('mcp:')}: {text}"))
        case Notice(text=text) | ToolProgress(text=text):
            say(phrases.clean(text))
        case _:
            pass
