"""Where a command finds sessions: the option that names a database, and the store it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="GLM_AGENT_DATABASE_URL",
        show_envvar=True,
        help="Sessions are here, not in the journal: sqlite:///runs.db or postgresql://user@host/database.",
    ),
]

WorkDatabase = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="GLM_AGENT_DATABASE_URL",
        show_envvar=True,
        help="sqlite:///runs.db or postgresql://user@host/database.",
    ),
]
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
