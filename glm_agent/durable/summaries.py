"""What a session's runs say of it: its summary, where it began, and how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, cast

from glm_agent.durable.database import Database
from glm_agent.durable.rows import Run, records_of
from glm_agent.journal import records
from glm_agent.journal.store import origin_of
from glm_agent.journal.summary import Origin, SessionSummary, Setup, summarise
from glm_agent.messages import JsonObject

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def summary_of(database: Database, runs: Sequence[Run]) -> SessionSummary:
    """As the last run left it, or made from the records where that one has not ended in order."""
    last = runs[-1]
    if (outcome := last.outcome) is not None and "summary" in outcome:
        return _summaries().validate_python(outcome["summary"])
    return summary_now(database, runs)


def summary_now(database: Database, runs: Sequence[Run]) -> SessionSummary:
    """Made from the records."""
    stored = records_of(database, runs)
    updated = stored[-1].at if stored else (runs[-1].status.updated_at or 0) / 1000
    facts = records.facts_of(stored)
    return summarise(runs[-1].session, origin=origin_of_run(runs[0]), facts=facts, updated=updated)


def origin_of_run(run: Run) -> Origin:
    """Where a session began, from its first run."""
    given = run.spec.get("origin")
    said = cast("JsonObject", given) if isinstance(given, dict) else {}
    return origin_of({"origin": {"created": (run.status.created_at or 0) / 1000, **said}})


def setup_of(runs: Sequence[Run]) -> Setup:
    """How a session is run, as the latest run that says so has it."""
    for run in reversed(runs):
        if found := run.spec.get("options"):
            return Setup(options=cast("JsonObject", found))
    return Setup()


def as_json(summary: SessionSummary) -> JsonObject:
    """As the outcome of a run keeps it."""
    return cast("JsonObject", _summaries().dump_python(summary, mode="json"))


@cache
def _summaries() -> TypeAdapter[SessionSummary]:
    from pydantic import TypeAdapter

    return TypeAdapter(SessionSummary)
