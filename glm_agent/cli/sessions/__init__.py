"""``glm-agent sessions``: what is stored, one file per family of commands.

reading        list, show
searching      search
deciding       approve, deny, decide
replaying      replay
forking        fork
transfer       export, import, move
housekeeping   delete, prune
"""

from __future__ import annotations

import typer

from glm_agent.cli.sessions.deciding import approve, decide, deny
from glm_agent.cli.sessions.forking import fork
from glm_agent.cli.sessions.housekeeping import delete, prune
from glm_agent.cli.sessions.reading import list_sessions, show
from glm_agent.cli.sessions.replaying import replay
from glm_agent.cli.sessions.searching import search
from glm_agent.cli.sessions.transfer import export, import_session, move

sessions = typer.Typer(
    help="Stored conversations: read, search, decide on what waits, export, delete.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
sessions.command("list")(list_sessions)
sessions.command()(show)
sessions.command()(search)
sessions.command()(approve)
sessions.command()(deny)
sessions.command()(decide)
sessions.command()(replay)
sessions.command()(fork)
sessions.command()(export)
sessions.command("import")(import_session)
sessions.command()(move)
sessions.command()(delete)
sessions.command()(prune)
