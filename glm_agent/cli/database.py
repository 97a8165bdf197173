"""Where a command finds sessions: the option that names a database, and the store it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions

_PLACES = "sqlite:///runs.db or postgresql://user@host/database."


def _option(help: str) -> Any:
    return typer.Option("--database", metavar="URL", envvar="GLM_AGENT_DATABASE_URL", show_envvar=True, help=help)


Database = Annotated[str | None, _option(f"Sessions are here, not in the journal: {_PLACES}")]

WorkDatabase = Annotated[str | None, _option(_PLACES)]
"""Of what is only there where workers are."""


def address(database: str | None, *, of: str) -> str:
    """The database that was given; ``ConfigurationError`` where none was. ``of`` is what is in it."""
    if database is None:
        raise ConfigurationError(
            f"{of} a database: give --database postgresql://user@host/database, or set GLM_AGENT_DATABASE_URL"
        )
    return database


def sessions_at(database: str | None) -> Sessions:
    """The sessions in the database, else in the nearest journal. Raises ``ConfigurationError``."""
    from glm_agent.agent import stores

    return stores.sessions(database or None)  # an empty one is none
