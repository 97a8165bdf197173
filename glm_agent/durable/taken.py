"""A run that a worker has, and what it knows of the session: so that nobody asks the database a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glm_agent.durable.database import Database
from glm_agent.durable.rows import Log, log_of
from glm_agent.journal.summary import Origin
from glm_agent.messages import JsonObject


@dataclass(kw_only=True, slots=True)
class Taken:
    """A run that this worker has, and what it knows of the session."""

    session: str
    workflows: Sequence[str]
    """All runs of the session, in order; the last one is this."""
    origin: Origin
    log: Log | None
    """What was on record when the run was taken: nobody else writes it. None when that was used."""
    summary: JsonObject | None = None
    """Of the session as it was closed."""

    def logged(self, database: Database) -> Log:
        """What is on record."""
        log, self.log = self.log, None
        return log or log_of(database, self.session, self.workflows)
