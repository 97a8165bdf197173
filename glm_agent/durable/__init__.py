"""Sessions in a database: the same turn on a durable engine (DBOS), in one process or in many workers.

    address    the URL of a database, and how it is shown
    database   connections, tables of ours, errors
    liveness   which processes are alive
    workflows  what the engine knows to run
    drain      how a process ends without losing anything
    engine     the engine of this process, one, and its event loop
    rows       runs of sessions and their records, as the database has them
    session    DatabaseSession: one session open for writing, which is what the driver calls Steps
    sessions   DatabaseSessions: open, list, read, export, import, fork, delete

Needs the extra ``durable``. Importing this imports no database and no engine; ``sessions_in`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glm_agent.durable.address import Address, is_address
from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.durable.sessions import DatabaseSessions

__all__ = ["Address", "is_address", "sessions_in"]


def sessions_in(url: str) -> DatabaseSessions:
    """The sessions in a database; ``ConfigurationError`` for an address that is none, or without the extra."""
    Address.parse(url)
    try:
        from glm_agent.durable.sessions import DatabaseSessions
    except ModuleNotFoundError as error:
        if error.name not in ("dbos", "sqlalchemy", "psycopg"):
            raise
        raise ConfigurationError(
            "sessions in a database need more packages: pip install 'glm-agent[durable]'"
        ) from error
    return DatabaseSessions(url)
