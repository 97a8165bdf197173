"""Where a key stands in a configuration file, for messages; and JSON with comments made plain JSON. Pure.

The parsers of JSON and TOML do not say where a key was; an error that names no line costs the reader a
search. A key that cannot be found has line 0: positions are a courtesy, never a reason to fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

Positions = dict[tuple[str, ...], int]
"""Line (from 1) of each key, by its path from the root."""

_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|[{}\[\]:,]', re.DOTALL)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")


def plain_json(text: str) -> str:
    """The text without comments and trailing commas, every other character where it was."""
    blanked = _TOKEN.sub(lambda match: _blank(match[0]) if match[0].startswith("/") else match[0], text)
    parts = re.split(r'("(?:\\.|[^"\\\n])*")', blanked)
    return "".join(_without_trailing_commas(parts))


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """A key that one object has twice: the parsers take the last one without a word."""

    path: tuple[str, ...]
    first_line: int
    line: int
    """Where it stands again."""


def json_positions(text: str) -> Positions:
    """The line of each object key."""
    found: Positions = {}
    for path, _, line in _json_keys(text):
        found.setdefault(path, line)
    return found


def json_repeats(text: str) -> list[Repeat]:
    """The keys that stand twice in one object."""
    seen: dict[tuple[int, str], int] = {}
    found: list[Repeat] = []
    for path, number, line in _json_keys(text):
        if (key := (number, path[-1])) in seen:
            found.append(Repeat(path=path, first_line=seen[key], line=line))
        seen.setdefault(key, line)
    return found


def toml_positions(text: str) -> Positions:
    """The line of each table header and of each key at the start of a line."""
    found: Positions = {}
    for path, line in _toml_keys(text):
        for depth in range(1, len(path) + 1):
            found.setdefault(path[:depth], line)
    return found


def toml_repeat(text: str, *, line: int) -> Repeat | None:
    """What stands on this line, if it is there before; None where that cannot be seen."""
    path = next((path for path, at in _toml_keys(text) if at == line), ())
    first = next((at for found, at in _toml_keys(text) if found == path), line)
    return Repeat(path=path, first_line=first, line=line) if path and first < line else None


def _json_keys(text: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each object key: its path, the number of its object, its line."""
    numbers = count()
    path: list[str] = []
    opened: list[tuple[str, int]] = []
    key = ""
    for token, line in _tokens(text):
        if token in "{[":
            opened.append((token, next(numbers)))
            path.append(key)
            key = ""
        elif token in "}]" and opened:
            opened.pop()
            key = path.pop()
        elif token.startswith('"') and opened and opened[-1][0] == "{":
            key = _unescaped(token)
            yield (*path[1:], key), opened[-1][1], line


def _toml_keys(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]", line):
            table = _dotted(header[1])
            yield table, number
        elif key := re.match(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line):
            yield (*table, *_dotted(key[1])), number


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        # A string that no colon follows is a value; only keys are looked for.
        if not match[0].startswith(("/", '"')) or re.match(r"\s*:", text[match.end() : match.end() + 200]):
            yield match[0], line


def _unescaped(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token[1:-1]


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"""\s*("[^"]*"|'[^']*'|[^.]+)""", text))


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _without_trailing_commas(parts: list[str]) -> Iterator[str]:
    """Commas before a closing bracket become blanks; every second part is a string literal and stays."""
    for at, part in enumerate(parts):
        yield part if at % 2 else _TRAILING_COMMA.sub(" ", part)
