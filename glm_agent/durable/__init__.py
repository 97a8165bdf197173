"""Sessions in a database: the same turn on a durable engine (DBOS), in one process or in many workers.

    address    the URL of a database, and how it is shown
    database   connections, tables of ours, errors
    liveness   which processes are alive
    workflows  what the engine knows to run
    drain      how a process ends without losing anything
    engine     the engine of this process, one, and its event loop
    rows       runs of sessions and their records, as the database has them
    keeping    records into the engine's table, in one statement
    session    DatabaseSession: one session open for writing, which is what the driver calls Steps
    shared     long results of a session, for the other machines
    taken      a run that a worker has, and what it knows of the session
    opening    who has a session open, and the run that its next records belong to
    summaries  what a session's runs say of it
    sessions   DatabaseSessions: open, list, read, export, import, fork, delete
    queue      TurnQueue: turns that wait for workers
    gate       how many requests of a key run at once, over all workers of a PostgreSQL database
    file_gate  the same for the processes on an SQLite file
    schedule   Schedules: turns that are put into a queue by the clock
    worker     Worker: takes turns, runs them, takes over those of workers that died

Needs the extra ``durable``. Importing this imports no database and no engine; its functions do.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from glm_agent.durable.address import Address, is_address
from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.durable.file_gate import FileGate
    from glm_agent.durable.gate import GateServer
    from glm_agent.durable.queue import TurnQueue
    from glm_agent.durable.schedule import Schedules
    from glm_agent.durable.sessions import DatabaseSessions
    from glm_agent.durable.worker import Do, Worker

__all__ = ["Address", "gate_in", "is_address", "queue_in", "schedules_in", "sessions_in", "worker_on"]


def sessions_in(url: str) -> DatabaseSessions:
    """The sessions in a database; ``ConfigurationError`` for an address that is none, or without the extra."""
    Address.parse(url)
    with _explained():
        from glm_agent.durable.sessions import DatabaseSessions
    return DatabaseSessions(url)


def queue_in(url: str) -> TurnQueue:
    """The turns in a database that wait for workers, or that workers had. Raises as ``sessions_in``."""
    Address.parse(url)
    with _explained():
        from glm_agent.durable.queue import TurnQueue
    return TurnQueue(url)


def gate_in(url: str, *, bound: int | None = None) -> GateServer | FileGate:
    """The gate of the keys that the workers of a database share.

    ``bound`` is the most requests in flight for each key and model, where that is known.
    """
    path = Address.parse(url).path
    with _explained():
        from glm_agent.durable.file_gate import FileGate
        from glm_agent.durable.gate import GateServer
    return GateServer(url, bound=bound) if path is None else FileGate(path, bound=bound)


def schedules_in(url: str) -> Schedules:
    """What is put into the queues of a database by the clock. Raises as ``sessions_in``."""
    Address.parse(url)
    with _explained():
        from glm_agent.durable.schedule import Schedules
    return Schedules(url)


def worker_on(url: str, do: Do, **settings: Any) -> Worker:
    """A worker on a database, see ``durable.worker.Worker`` for the settings. Raises as ``sessions_in``."""
    Address.parse(url)
    with _explained():
        from glm_agent.durable.worker import Worker

        import_module("glm_agent.durable.schedule")  # so that the engine knows how to run what is scheduled
    return Worker(url, do, **settings)


@contextmanager
def _explained() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("dbos", "sqlalchemy", "psycopg"):
            raise
        raise ConfigurationError(
            "sessions in a database need more packages: pip install 'glm-agent[durable]'"
        ) from error
