"""Tables in files (CSV, TSV, JSON lines, also with .gz): their columns, and SQL on them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools.queries import Cell, Question, Rows, ask, rows_of


@tool(read_only=True, untrusted=True, timeout_seconds=90)
async def describe_table(context: ToolContext, path: str) -> Rows:
    """The columns of a table: how many values each has, how many different ones, the smallest, largest and average.

    Args:
        path: A .csv, .tsv or .jsonl file, also with .gz, relative to the workspace.
    """
    head = await ask(Question(sql="SELECT * FROM t", tables={"t": path}, limit=1), context)
    parts = [_figures(column) for column in head["columns"][:200]]
    return rows_of(await ask(Question(sql=" UNION ALL ".join(parts), tables={"t": path}, limit=200), context), offset=0)


@tool(read_only=True, untrusted=True, timeout_seconds=90)
async def query_table(
    context: ToolContext,
    files: Annotated[dict[str, str], Field(min_length=1, max_length=10)],
    sql: str,
    *,
    parameters: Annotated[list[Cell] | None, Field(max_length=1000)] = None,
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=1000)] = 100,
) -> Rows:
    """Filter, sort, join and sum up tables in files with one SELECT statement, in SQLite's language.

    Numbers are numbers; empty cells are NULL; what is nested in JSON lines is JSON text. The files do not change.

    Args:
        files: The tables (.csv, .tsv, .jsonl, also .gz) by the name the statement uses: {"sales": "data/sales.csv"}.
        sql: The statement, such as: SELECT region, sum(amount) FROM sales GROUP BY region ORDER BY 2 DESC.
        parameters: The values for each ? in it, in order.
        offset: How many rows to skip.
        limit: How many rows to return at most.
    """
    for name in files:
        if not re.fullmatch(r"[^\W\d]\w{0,62}", name) or name.lower().startswith("sqlite_"):
            raise ToolError(f"'{name[:60]}' is no name for a table: use letters, digits and '_'")
    question = Question(sql=sql, parameters=parameters or [], tables=files, offset=offset, limit=limit)
    return rows_of(await ask(question, context), offset=offset)


def _figures(column: str) -> str:
    name, text = '"' + column.replace('"', '""') + '"', "'" + column.replace("'", "''") + "'"
    average = f"avg(CASE WHEN typeof({name}) IN ('integer', 'real') THEN {name} END)"
    return (
        f"SELECT {text} AS column, count(*) AS rows, count({name}) AS filled, count(DISTINCT {name}) AS different,"
        f" min({name}) AS smallest, max({name}) AS largest, {average} AS average FROM t"
    )
