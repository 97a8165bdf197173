"""``glm-agent sessions``: what is stored, one file per family of commands.

reading        list, show
transfer       export
housekeeping   delete
"""

from __future__ import annotations

import typer

from glm_agent.cli.sessions.housekeeping import delete
from glm_agent.cli.sessions.reading import list_sessions, show
from glm_agent.cli.sessions.transfer import export

sessions = typer.Typer(help="Stored conversations: list, show, export, delete.", no_args_is_help=True)
sessions.command("list")(list_sessions)
sessions.command()(show)
sessions.command()(export)
sessions.command()(delete)
