"""Queries, in a process of their own: ``python -m glm_agent_tools.query_process``, confined by ``sandbox``.

Reads one JSON object on stdin (``Question`` in ``queries``) and writes one. A database file may be made to break
whoever opens it, and a query may run for ever: neither reaches further than this process.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote

from glm_agent import ToolError
from glm_agent_tools.table_files import opened
from glm_agent_tools.workspace import Workspace

_MAX_ANSWER: Final = 50_000
_MAX_CELL: Final = 4_000
_BATCH: Final = 10_000

_READING: Final = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_ELSEWHERE: Final = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
_PRAGMAS: Final = {
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("collation_list", "compile_options", "user_version", "schema_version", "page_count", "page_size", "encoding"),
}


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    sys.stdout.write(json.dumps(answer(question), ensure_ascii=False))


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Rows, or what was wrong as ``{"error": …}``."""
    try:
        return _answer(question)
    except (ToolError, sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        return {"error": _said(error)}


def _said(error: Exception) -> str:
    if str(error) in ("not authorized", "authorization denied"):
        return "the statement does what is not allowed here: changing where only reading is, or another database"
    return str(error)


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    workspace = Workspace(question["root"])
    with closing(_connect(workspace, question)) as database:
        for name, path in question["tables"].items():
            _load(database, name, workspace, path)
        database.set_authorizer(_change if question["may_change"] else _look)
        if question["may_change"]:
            cursor = database.execute(question["sql"], question["parameters"])
            answer = _rows(cursor, question)
            database.commit()
            return answer | {"changed": max(cursor.rowcount, 0)}
        return _rows(database.execute(question["sql"], question["parameters"]), question)


def _connect(workspace: Workspace, question: dict[str, Any]) -> sqlite3.Connection:
    if not question["database"]:
        # An empty name is a database of its own, kept in a temporary file where it gets large.
        return sqlite3.connect("")
    if not question["may_create"]:
        with workspace.open(question["database"]):
            pass
    place = workspace.root.joinpath(*workspace.locate(question["database"]))
    mode = "rwc" if question["may_create"] else "rw" if question["may_change"] else "ro"
    return sqlite3.connect(f"file:{quote(str(place))}?mode={mode}", uri=True, timeout=5.0)


def _load(database: sqlite3.Connection, name: str, workspace: Workspace, path: str) -> None:
    with opened(workspace, path) as (columns, rows):
        database.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(_quoted(column) for column in columns)})")
        places = ", ".join("?" * len(columns))
        database.executemany(f"INSERT INTO {_quoted(name)} VALUES ({places})", rows)
        database.commit()


def _rows(cursor: sqlite3.Cursor, question: dict[str, Any]) -> dict[str, Any]:
    """The rows from the offset on that fit."""
    columns = [column[0] for column in cursor.description or ()]
    for _ in range(question["offset"]):
        if cursor.fetchone() is None:
            break
    rows, room = list[list[Any]](), _MAX_ANSWER
    for row in cursor if columns else ():
        shown = [_shown(value) for value in row]
        room -= len(json.dumps(shown, ensure_ascii=False).encode(errors="replace"))
        if len(rows) == question["limit"] or (room < 0 and rows):
            return {"columns": columns, "rows": rows, "is_more": True}
        rows.append(shown)
    return {"columns": columns, "rows": rows, "is_more": False}


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"[{len(value):,} bytes]"
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if isinstance(value, str) and len(value) > _MAX_CELL:
        return f"{value[:_MAX_CELL]}… [{len(value) - _MAX_CELL:,} characters more]"
    return value


def _look(action: int, first: str | None, second: str | None, database: str | None, view: str | None) -> int:
    """Whether a step of a statement only reads."""
    del database, view
    if action == sqlite3.SQLITE_PRAGMA:
        # The functions of the same names read what the pragmas do; with a value, some pragmas write.
        is_plain = second is None or (first or "").endswith(("_info", "_xinfo", "_list"))
        return sqlite3.SQLITE_OK if first in _PRAGMAS and is_plain else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second in ("load_extension", "fts3_tokenizer"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _change(action: int, first: str | None, second: str | None, database: str | None, view: str | None) -> int:
    """Whether a step of a statement stays in this database."""
    del first, database, view
    if action in _ELSEWHERE or (action == sqlite3.SQLITE_FUNCTION and second in ("load_extension", "fts3_tokenizer")):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


if __name__ == "__main__":
    main()
