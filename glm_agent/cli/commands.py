"""Which commands there are, each with its line for ``--help``; what a command needs is imported when it is run.

The lines are those of the commands themselves: reading them there would import every module for each command.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

_HERE: Final = "glm_agent.cli"

COMMANDS: Final = {
    "run": "Run a task to its end: the answer goes to stdout, everything else to stderr.",
    "chat": "Talk to the model; the session is kept. Ctrl-C stops a turn, /exit or Ctrl-D the chat.",
    "batch": "Run many tasks: a line of JSON each in, a line of JSON each out.",
    "worker": "Run the turns that wait in a database, together with any number of other workers.",
    "view": "Watch a run: a stored session, lines of `run --format jsonl`, or an exported session.",
    "simulate": "Serve simulated answers to any OpenAI-compatible client, until Ctrl-C.",
    "doctor": "Check this installation; it never shows a key and asks no network.",
    "tools": "Python tools: list, show, call, check, new, from-openapi.",
    "mcp": "MCP servers: list, check, call, add, lock, login, serve.",
    "sessions": "Stored conversations: read, search, decide on what waits, export, delete.",
    "runs": "Turns in a database: what waits, what runs where, what came of it.",
    "schedule": "Task files that workers run by the clock.",
}
"""Each is the function, or the group, of its own name in the module of that name."""

_ELSEWHERE: Final = {"view": "viewing"}
"""Modules of another name than their command."""


def new_app(**settings: Any) -> typer.Typer:
    """A Typer that looks like the others."""
    return typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, **settings)


def loaded(name: str) -> Any:
    """The command itself."""
    found = getattr(import_module(f"{_HERE}.{_ELSEWHERE.get(name, name)}"), name)
    holder = new_app()
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return typer.main.get_group(holder).commands[name]


class Commands(TyperGroup):
    """A group whose commands are only lines, until one is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Whose turn it is, imported now."""
        name, line, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name in COMMANDS else line, rest
