"""All commands, under one name. Each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from glm_agent.cli.batch import batch
from glm_agent.cli.chat import chat
from glm_agent.cli.doctor import doctor
from glm_agent.cli.mcp import mcp
from glm_agent.cli.run import run
from glm_agent.cli.runs import runs
from glm_agent.cli.schedule import schedule
from glm_agent.cli.sessions import sessions
from glm_agent.cli.simulate import simulate
from glm_agent.cli.tools import tools
from glm_agent.cli.viewing import view
from glm_agent.cli.worker import worker

app = typer.Typer(
    name="glm-agent",
    help="""An agent for GLM models: it calls Python functions and MCP servers until the work is done.

    [bold]Try it without a key[/bold]: the simulator obeys lines in the prompt.

      glm-agent run 'call list_files {}' --tools files --model simulate:directive

    [bold]With a key[/bold]: export ZAI_API_KEY=…, and leave out --model.
    """,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(chat)
app.command()(batch)
app.add_typer(tools, name="tools")
app.add_typer(mcp, name="mcp")
app.add_typer(sessions, name="sessions")
app.command()(worker)
app.add_typer(runs, name="runs")
app.add_typer(schedule, name="schedule")
app.command()(view)
app.command()(simulate)
app.command()(doctor)


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
