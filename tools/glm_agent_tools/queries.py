"""Asks ``query_process``: SQL on a database or on tables in files, confined and bounded."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypedDict, cast

from glm_agent import ToolContext, ToolError
from glm_agent_tools.sandbox import Command, run, sandbox_of, temporary_folder
from glm_agent_tools.workspace import workspace_of

Cell: TypeAlias = str | int | float | None

_PACKAGES: Final = tuple(str(Path(inspect.getfile(known)).parents[1]) for known in (ToolError, Command))
"""Where the process finds itself, also in an editable installation."""
_SECONDS: Final = 60.0
_MEMORY_BYTES: Final = 2**30


class Rows(TypedDict):
    """Rows of a result, each in the order of the columns."""

    columns: list[str]
    rows: list[list[Cell]]
    next_offset: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked."""

    sql: str
    parameters: list[Cell] = field(default_factory=list[Cell])
    database: str = ""
    """A file of the workspace; empty for a database that holds ``tables`` only."""
    tables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files to load, by the name of the table each becomes."""
    offset: int = 0
    limit: int = 100
    may_change: bool = False
    may_create: bool = False


async def ask(question: Question, context: ToolContext) -> dict[str, Any]:
    """The process's answer. Raises ``ToolError`` where there is none, or the query was wrong."""
    workspace = workspace_of(context)
    for path in (question.database, *question.tables.values()):
        workspace.locate(path)
    asked = Command(
        words=[sys.executable, "-P", "-m", "glm_agent_tools.query_process"],
        folder=workspace.root,
        workspace=workspace.root,
        timeout_seconds=_SECONDS,
        input=json.dumps({"root": str(workspace.root), **asdict(question)}),
        read=_PACKAGES,
        environment={"PYTHONPATH": os.pathsep.join(_PACKAGES)},
        memory_bytes=_MEMORY_BYTES,
    )
    with temporary_folder() as temporary:
        outcome = await run(asked, sandbox=sandbox_of(context), temporary=temporary)
    if outcome.stopped:
        raise ToolError(f"the query was {outcome.stopped}: make it simpler, or ask for less")
    if outcome.exit_code:
        raise ToolError(f"the query failed: {outcome.stderr.strip()[-300:] or 'it took too much memory or time'}")
    answer = cast("dict[str, Any]", json.loads(outcome.stdout))
    if "error" in answer:
        raise ToolError(f"the query failed: {answer['error']}")
    return answer


def rows_of(answer: dict[str, Any], *, offset: int) -> Rows:
    """The answer's rows, and where the next ones begin."""
    rows = answer["rows"]
    return Rows(columns=answer["columns"], rows=rows, next_offset=offset + len(rows) if answer["is_more"] else None)
