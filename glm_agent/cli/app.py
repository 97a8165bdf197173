"""All commands, under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from glm_agent.cli.commands import COMMANDS, Commands, new_app

app = new_app(
    name="glm-agent",
    cls=Commands,
    help="""An agent for GLM models: it calls Python functions and MCP servers until the work is done.

    [bold]Try it without a key[/bold]: the simulator obeys lines in the prompt.

      glm-agent run 'call list_files {}' --tools files --model simulate:directive

    [bold]With a key[/bold]: export ZAI_API_KEY=…, and leave out --model.
    """,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _line() -> None:
    """What stands in the place of a command until it is run."""


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(_line)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and leave.")] = False,
) -> None:
    if version:
        from glm_agent import __version__

        typer.echo(f"glm-agent {__version__}")
        raise typer.Exit


def run_app() -> None:
    """Run the command that this process was started with."""
    app(prog_name="glm-agent")
