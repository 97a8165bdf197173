"""Records into the engine's table of steps: those of one moment in one statement, where the run is still ours.

The engine's own way to record a step asks first what is there, and runs the step's function in
between: two transactions of nine trips to the server. Here nothing is asked, since a record is never
made by replaying it, and one statement does the rest. It writes the rows that the engine would write.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from dbos import DBOSPortableJSONSerializer
from dbos._context import get_local_dbos_context  # pyright: ignore[reportPrivateUsage]
from dbos._sys_db import db_retry  # pyright: ignore[reportPrivateUsage]

from glm_agent.durable.database import APPLICATION, Database
from glm_agent.errors import JournalError

_SERIALIZATION: Final = DBOSPortableJSONSerializer().name()

# A row that is there already is ours where it says the same: the answer to the first try was lost with the connection.
_KEEP: Final = """INSERT INTO {steps} AS kept (workflow_uuid, function_id, function_name, output, serialization,
    started_at_epoch_ms, completed_at_epoch_ms, application_name, retention_timestamp)
    SELECT own.workflow_uuid, new.column1, new.column2, new.column3, :serialization, :now, :now, :application, :now
    FROM (SELECT workflow_uuid FROM {runs} WHERE workflow_uuid = :run AND owner_xid = :owner {locked}) AS own
    CROSS JOIN (VALUES {rows}) AS new WHERE true
    ON CONFLICT (workflow_uuid, function_id) DO UPDATE SET output = excluded.output
    WHERE kept.output = excluded.output AND kept.completed_at_epoch_ms = excluded.completed_at_epoch_ms"""


class Step(NamedTuple):
    """A record as its row has it."""

    place: int
    kind: str
    outcome: str
    """JSON."""


class TakenAway(JournalError):
    """The run belongs to another process by now, or was cancelled: what came here is not kept."""


class Owned(NamedTuple):
    """A run, and the token by which the engine knows who has it."""

    run: str
    owner: str


def own_run() -> Owned:
    """That of the workflow in whose context this is called."""
    context = get_local_dbos_context()
    assert context is not None
    assert context.owner_xid is not None
    return Owned(context.workflow_id, context.owner_xid)


def keep(database: Database, owned: Owned, steps: Sequence[Step]) -> None:
    """Keep them all or none; on record when this returns. It waits for a database that is away.

    Raises ``TakenAway``, and ``JournalError`` where the database cannot be used.
    """
    values = {
        **owned._asdict(),
        "serialization": _SERIALIZATION,
        "application": APPLICATION,
        "now": int(time.time() * 1000),
        **{f"v{number}": value for number, value in enumerate(chain.from_iterable(steps))},
    }
    with database.explained():
        kept = _execute(database, _statement(len(steps), is_file=database.address.path is not None), values)
    if kept < len(steps):
        session = owned.run.rpartition("/")[0]
        raise TakenAway(f"session '{session}' goes on in another process, or was cancelled: what came here is not kept")


@db_retry()
def _execute(database: Database, statement: sa.TextClause, values: dict[str, Any]) -> int:
    with database.at_once.begin() as connection:
        return connection.execute(statement, values).rowcount


@cache
def _statement(count: int, *, is_file: bool) -> sa.TextClause:
    rows = ", ".join(f"(:v{3 * row}, :v{3 * row + 1}, :v{3 * row + 2})" for row in range(count))
    schema = "" if is_file else "dbos."
    # Held until the row is written, so that nobody else is given the run in between. SQLite has one writer at a time.
    locked = "" if is_file else "FOR NO KEY UPDATE"
    return sa.text(
        _KEEP.format(steps=f"{schema}operation_outputs", runs=f"{schema}workflow_status", locked=locked, rows=rows)
    )
