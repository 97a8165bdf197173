"""``glm-agent tools``: which tools there are, what the model sees of one, calling one by hand, making new ones."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.openapi import from_openapi

if TYPE_CHECKING:
    from glm_agent.messages import ToolResult
    from glm_agent.plugins import Loaded
    from glm_agent.registry import ToolRegistry

tools = typer.Typer(help="Python tools: list, show, call, check, new, from-openapi.", no_args_is_help=True)

tools.command("from-openapi")(from_openapi)

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

    The columns: name, what a call does, tokens it costs in every request, where it comes from, what it is for.

    Example: glm-agent tools list files ./my_tools.py
    """
    from dataclasses import asdict

    from glm_agent.plugins.lint import tokens_of

    with reporting():
        found = _load_each(sources)
        _registry(_joined(found))
    total = 0
    for source, loaded in found:
        for tool in _new_registry(loaded):
            spec, tokens = tool.spec, tokens_of(tool.spec)
            total += tokens
            if json:
                formats.write_line({**asdict(spec), "from": source, "tokens": tokens})
            else:
                columns = f"{spec.name:<24} {spec.effect:<11} {tokens:>5}  {phrases.short(source, limit=40):<20}"
                formats.write(f"{columns} {phrases.short(spec.description, limit=70)}\n")
    if not json:
        say(f"{total:,} tokens in every request that offers them all")
    _leave_if_broken(_joined(found))


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
def check(
    sources: Sources = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
) -> None:
    """Load the tools of these sources, or of all installed plugins, and say what is wrong with them.

    Names what is broken, what the model cannot know from name, description and parameters, what costs many
    tokens, and tools that do not say what they change. Fails for what is broken and for errors.

    Example: glm-agent tools check ./my_tools.py
    """
    from glm_agent.plugins.lint import lint

    with reporting():
        loaded = _load(sources)
        found = [finding for tool in _new_registry(loaded) for finding in lint(tool)]
        count = len(_registry(loaded))
    for finding in found:
        formats.write(f"{finding}\n")
    errors = sum(finding.level == "error" for finding in found)
    warnings = len(found) - errors
    parts = (phrases.count(count, "tool"), f"{len(loaded.broken)} broken")
    say(", ".join((*parts, phrases.count(errors, "error"), phrases.count(warnings, "warning"))))
    _leave_if_broken(loaded)
    if errors or (strict and warnings):
        sys.exit(1)


@tools.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package, such as acme-stock.")],
    folder: Annotated[str | None, typer.Option("--folder", help="Where to write it; else ./NAME.")] = None,
) -> None:
    """Write a new plugin package: a tool, its test, and what makes it installable.

    Example: glm-agent tools new acme-stock
    """
    from pathlib import Path

    from glm_agent.plugins.scaffold import write_package

    place = Path(folder or name)
    with reporting():
        for file in write_package(place, name):
            formats.write(f"{file}\n")
    say(f"next: cd {place} && pip install -e '.[test]' && pytest")


def _load_each(sources: Sequence[str] | None) -> list[tuple[str, Loaded]]:
    """Each source with its tools; a tool that two of them give counts for the first."""
    from dataclasses import replace

    from glm_agent.plugins import available

    packages = {plugin.name: plugin.package for plugin in available("tools")}
    found: list[tuple[str, Loaded]] = []
    seen = set[int]()
    for source in sources or packages:
        loaded = _load([source])
        own = tuple(tool for tool in loaded.tools if id(tool) not in seen)
        seen.update(map(id, own))
        package = packages.get(source.partition(":")[0])
        found.append((f"{source} ({package})" if package else source, replace(loaded, tools=own)))
    return found


def _joined(found: Sequence[tuple[str, Loaded]]) -> Loaded:
    from glm_agent.plugins import Loaded

    return Loaded(
        tools=tuple(tool for _, loaded in found for tool in loaded.tools),
        broken=tuple(broken for _, loaded in found for broken in loaded.broken),
    )


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
    from glm_agent.driver import InlineSteps, NestingTools
    from glm_agent.messages import ToolCall, ToolProgress, ToolResult
    from glm_agent.registry import ToolContext

    call = ToolCall(id="call_0", name=name, arguments=arguments)
    context = ToolContext(call=call, emit=lambda event: say(event.text) if isinstance(event, ToolProgress) else None)
    result = await NestingTools(_new_registry(loaded), steps=InlineSteps()).call(call, context)
    assert isinstance(result, ToolResult)  # no permissions and no budget here, which answer with other things
    return result


def _leave_if_broken(loaded: Loaded) -> None:
    for broken in loaded.broken:
        say(f"broken: {broken}")
    if loaded.broken:
        sys.exit(1)
