"""SQLite databases of the workspace.

The plugin offers what reads; ``sqlite:sqlite_execute``, which changes, has to be named by itself.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from pydantic import Field

from glm_agent import ToolContext, tool
from glm_agent_tools.queries import Cell, Question, Rows, ask, rows_of

__all__ = ["sqlite_query", "sqlite_schema"]

Values = Annotated[list[Cell] | None, Field(max_length=1000)]


class Executed(TypedDict):
    """What a statement changed, and the rows it returned."""

    changed_rows: int
    rows: Rows


@tool(read_only=True, untrusted=True, timeout_seconds=90)
async def sqlite_schema(context: ToolContext, path: str) -> Rows:
    """The tables, views and indexes of an SQLite database, with the SQL that made them.

    Args:
        path: The database file, relative to the workspace.
    """
    sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1 DESC, 2"
    return rows_of(await ask(Question(sql=sql, database=path, limit=500), context), offset=0)


@tool(read_only=True, untrusted=True, timeout_seconds=90)
async def sqlite_query(
    context: ToolContext,
    path: str,
    sql: str,
    *,
    parameters: Values = None,
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=1000)] = 100,
) -> Rows:
    """Read from an SQLite database with one SELECT statement. Nothing can be changed.

    Args:
        path: The database file, relative to the workspace.
        sql: The statement, with ? for each value.
        parameters: The values, in order.
        offset: How many rows to skip.
        limit: How many rows to return at most.
    """
    question = Question(sql=sql, parameters=parameters or [], database=path, offset=offset, limit=limit)
    return rows_of(await ask(question, context), offset=offset)


@tool(destructive=True, untrusted=True, timeout_seconds=90)
async def sqlite_execute(
    context: ToolContext, path: str, sql: str, parameters: Values = None, create: bool = False
) -> Executed:
    """Change an SQLite database with one statement: INSERT, UPDATE, DELETE, CREATE and the like.

    Args:
        path: The database file, relative to the workspace.
        sql: The statement, with ? for each value.
        parameters: The values, in order.
        create: Make the database where there is none.
    """
    question = Question(sql=sql, parameters=parameters or [], database=path, may_change=True, may_create=create)
    answer = await ask(question, context)
    return Executed(changed_rows=answer["changed"], rows=rows_of(answer, offset=0))
