"""``glm-agent tools``: which tools there are, what the model sees of one, and calling one by hand."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import fail, reporting, say

if TYPE_CHECKING:
    from glm_agent.messages import ToolResult
    from glm_agent.plugins import Loaded
    from glm_agent.registry import ToolRegistry

tools = typer.Typer(help="Python tools: list, show, call, check.", no_args_is_help=True)

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SOURCE]...", help="Entry point (files), ./file.py, ./folder, module:object. Else all."),
]
From = Annotated[
    list[str] | None, typer.Option("--tools", "-t", help="Where to look; repeatable. Else all that are installed.")
]
Name = Annotated[str, typer.Argument(metavar="TOOL", help="As `tools list` shows it.")]


@tools.command("list")
def list_tools(
    sources: Sources = None, json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False
) -> None:
    """The tools of these sources, or of all installed plugins, in one line each.

    Example: glm-agent tools list files ./my_tools.py
    """
    from dataclasses import asdict

    with reporting():
        loaded = _load(sources)
        registry = _registry(loaded)
    for spec in registry:
        line = f"{spec.name:<24} {spec.effect:<11} {phrases.short(spec.description)}\n"
        if json:
            formats.write_line(asdict(spec))
        else:
            formats.write(line)
    _leave_if_broken(loaded)


@tools.command()
def show(name: Name, source: From = None) -> None:
    """What the model sees of a tool, as JSON.

    Example: glm-agent tools show read_file --tools files
    """
    from dataclasses import asdict

    with reporting():
        specs = {spec.name: spec for spec in _registry(_load(source))}
    if name not in specs:
        fail(f"there is no tool '{name}'; there are {', '.join(specs) or 'none'}")
    formats.write(json_.dumps(asdict(specs[name]), indent=2, ensure_ascii=False) + "\n")


@tools.command()
def call(
    name: Name,
    arguments: Annotated[str, typer.Argument(metavar="[JSON]", help='Arguments, such as \'{"path": "x"}\'.')] = "{}",
    source: From = None,
) -> None:
    """Call a tool once, as the model would, and print its result.

    Example: glm-agent tools call read_file '{"path": "README.md"}' --tools files
    """
    from glm_agent.cli.exits import leave
    from glm_agent.cli.foreground import Foreground, Interrupted

    with reporting():
        loaded = _load(source)
        _registry(loaded)
        try:
            with Foreground(running=lambda: [f"tool '{name}'"]) as foreground:
                result = foreground.play(lambda: _call(loaded, name, arguments))
        except Interrupted as interrupted:
            leave(interrupted.exit_code, running=lambda: [f"tool '{name}'"])
    formats.write(result.content if result.content.endswith("\n") else f"{result.content}\n")
    leave(int(result.is_error), running=lambda: [f"tool '{name}'"])


@tools.command()
def check(sources: Sources = None) -> None:
    """Load the tools of these sources, or of all installed plugins, and name every one that is broken.

    Example: glm-agent tools check ./my_tools.py
    """
    with reporting():
        loaded = _load(sources)
        found = _registry(loaded)
    say(f"{phrases.count(len(found), 'tool')}, {len(loaded.broken)} broken")
    _leave_if_broken(loaded)


def _load(sources: Sequence[str] | None) -> Loaded:
    from glm_agent.plugins import available, load_tools

    return load_tools(sources or [plugin.name for plugin in available("tools")])


def _registry(loaded: Loaded) -> Sequence[Any]:
    """The specs of all tools; two of one name are an error."""
    import anyio

    registry = _new_registry(loaded)
    return anyio.run(registry.specs)


def _new_registry(loaded: Loaded) -> ToolRegistry:
    from glm_agent.registry import ToolRegistry

    return ToolRegistry(loaded.tools)


async def _call(loaded: Loaded, name: str, arguments: str) -> ToolResult:
    from glm_agent.messages import ToolCall, ToolProgress
    from glm_agent.registry import ToolContext

    call = ToolCall(id="call_0", name=name, arguments=arguments)
    context = ToolContext(call=call, emit=lambda event: say(event.text) if isinstance(event, ToolProgress) else None)
    return await _new_registry(loaded).call(call, context)


def _leave_if_broken(loaded: Loaded) -> None:
    for broken in loaded.broken:
        say(f"broken: {broken}")
    if loaded.broken:
        sys.exit(1)
