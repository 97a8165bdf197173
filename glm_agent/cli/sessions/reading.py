"""What is stored, and what was said: ``glm-agent sessions list`` and ``show``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import reporting, say
from glm_agent.cli.sessions.arguments import Id

if TYPE_CHECKING:
    from glm_agent.journal import SessionSummary


def list_sessions(
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    database: Database = None,
) -> None:
    """The sessions of this folder's journal, the latest first.

    Example: glm-agent sessions list
    """
    with reporting(), sessions_at(database) as journal:
        found = journal.sessions()
    for summary in found:
        if json:
            formats.write_line(_object(summary))
        else:
            formats.write(f"{_line(summary)}\n")
    if not found:
        say(f"no sessions in '{journal.place}'")


def show(session: Id, database: Database = None) -> None:
    """What was said and done in a session. Answers of the model begin with the number of their step.

    Example: glm-agent sessions show 20261122-213108-5f3a9c
    """
    with reporting(), sessions_at(database) as journal:
        facts = journal.facts(session)
    step = 0
    for fact in facts:
        is_step = fact.kind == "model_response"
        step += is_step
        if text := phrases.fact(fact):
            formats.write(f"{f'[{step}] ' if is_step else ''}{phrases.clean(text)}\n")


def _line(summary: SessionSummary) -> str:
    at = datetime.fromtimestamp(summary.updated).strftime("%Y-%m-%d %H:%M")
    how = summary.stop_reason or "unfinished"
    turns = phrases.count(summary.turns, "turn")
    return f"{summary.id}  {at}  {how:<15} {turns:>8}  {phrases.clean(summary.title)}"


def _object(summary: SessionSummary) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(summary)
