"""Making room: ``glm-agent sessions delete`` and ``prune``, and the retention setting."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import reporting, say
from glm_agent.cli.sessions.arguments import Id
from glm_agent.errors import AgentError, ConfigurationError

if TYPE_CHECKING:
    from glm_agent.journal import Journal

RETENTION: Final = "GLM_AGENT_RETENTION"
"""How long sessions are kept, such as ``90d``; without it, until somebody deletes them."""

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([hdwmy]?)", re.IGNORECASE)
_DAYS: Final = {"h": 1 / 24, "": 1, "d": 1, "w": 7, "m": 30, "y": 365}


def delete(session: Id) -> None:
    """Delete a session for good, with its long results.

    Example: glm-agent sessions delete 20261122-213108-5f3a9c
    """
    from glm_agent.journal import Journal

    with reporting(), Journal() as journal:
        journal.delete(session)
    say(f"deleted '{session}'")


def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help=f"12h, 30d, 8w, 6m or 1y without a record. Else ${RETENTION}.")
    ] = None,
    keep: Annotated[int, typer.Option(min=0, help="So many of the latest stay, however old.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would go.")] = False,
) -> None:
    """Delete sessions that nobody wrote to for so long, but none that is open. Their ids are written to stdout.

    Example: glm-agent sessions prune --older-than 30d --keep 20 --dry-run
    """
    from glm_agent.journal import Journal

    with reporting(), Journal() as journal:
        given = older_than or os.environ.get(RETENTION)
        if not given:
            raise ConfigurationError(f"how old may sessions be? give --older-than 30d, or set {RETENTION}=30d")
        source = "--older-than" if older_than else RETENTION
        gone = journal.prune(older_than_days=days(given, source=source), keep=keep, is_dry=dry_run)
    for session in gone:
        formats.write(f"{session}\n")
    said = phrases.count(len(gone), "session")
    say(f"would delete {said}" if dry_run else f"deleted {said}")


def prune_by_setting(journal: Journal) -> None:
    """After a run: delete what is older than the setting says, where there is one. Problems are said and no more."""
    if not (given := os.environ.get(RETENTION)):
        return
    try:
        gone = journal.prune(older_than_days=days(given, source=RETENTION))
    except AgentError as error:
        say(f"old sessions were not deleted: {error}")
        return
    if gone:
        say(f"deleted {phrases.count(len(gone), 'session')} older than {given} ({RETENTION})")


def days(text: str, *, source: str) -> float:
    """An age such as ``30d`` in days; ``source`` names it in errors."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"{source} '{text}' is no age: write 12h, 30d, 8w, 6m or 1y")
    return float(match[1]) * _DAYS[match[2].lower()]
