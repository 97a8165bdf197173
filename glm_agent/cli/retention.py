"""How long sessions are kept: ages such as ``30d``, and the setting that a run ends with."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from glm_agent.cli import phrases
from glm_agent.cli.exits import say
from glm_agent.errors import AgentError, ConfigurationError

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions

RETENTION: Final = "GLM_AGENT_RETENTION"
"""How long sessions are kept, such as ``90d``; without it, until somebody deletes them."""

_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([hdwmy]?)", re.IGNORECASE)
_DAYS: Final = {"h": 1 / 24, "": 1, "d": 1, "w": 7, "m": 30, "y": 365}


def prune_by_setting(journal: Sessions) -> None:
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
