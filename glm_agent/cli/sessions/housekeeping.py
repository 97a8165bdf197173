"""Making room: ``glm-agent sessions delete`` and ``prune``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import reporting, say
from glm_agent.cli.retention import RETENTION, days
from glm_agent.cli.sessions.arguments import Id
from glm_agent.errors import ConfigurationError


def delete(session: Id, database: Database = None) -> None:
    """Delete a session for good, with its long results.

    Example: glm-agent sessions delete 20261122-213108-5f3a9c
    """
    with reporting(), sessions_at(database) as journal:
        journal.delete(session)
    say(f"deleted '{session}'")


def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help=f"12h, 30d, 8w, 6m or 1y without a record. Else ${RETENTION}.")
    ] = None,
    keep: Annotated[int, typer.Option(min=0, help="So many of the latest stay, however old.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would go.")] = False,
    database: Database = None,
) -> None:
    """Delete sessions that nobody wrote to for so long, but none that is open. Their ids are written to stdout.

    Example: glm-agent sessions prune --older-than 30d --keep 20 --dry-run
    """
    with reporting(), sessions_at(database) as journal:
        given = older_than or os.environ.get(RETENTION)
        if not given:
            raise ConfigurationError(f"how old may sessions be? give --older-than 30d, or set {RETENTION}=30d")
        source = "--older-than" if older_than else RETENTION
        gone = journal.prune(older_than_days=days(given, source=source), keep=keep, is_dry=dry_run)
    for session in gone:
        formats.write(f"{session}\n")
    said = phrases.count(len(gone), "session")
    say(f"would delete {said}" if dry_run else f"deleted {said}")
