"""A text that a regular expression matches, for examples. Pure.

Walks Python's own parse of the pattern. What that cannot tell (look-around, back references) has no example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

_MAX_REPEATS = 64
_CANDIDATES = "a1A_ -.x0bB2/:@é"
"""What is tried where a set says only what may not stand there."""
_NAMED = ("LITERAL", "RANGE")
_CATEGORIES = {"DIGIT": r"\d", "NOT_DIGIT": r"\D", "WORD": r"\w", "NOT_WORD": r"\W", "SPACE": r"\s", "NOT_SPACE": r"\S"}


def matching(pattern: str) -> str | None:
    """The simplest text that the pattern finds; None where none can be made."""
    try:
        made: str = _join(import_module("re._parser").parse(pattern))
        return made if re.search(pattern, made) else None
    except (ImportError, re.error, ValueError, RecursionError, OverflowError):
        return None


def _join(items: Iterable[tuple[Any, Any]]) -> str:
    return "".join(_one(str(kind), value) for kind, value in items)


def _one(kind: str, value: Any) -> str:
    match kind:
        case "LITERAL":
            return chr(int(value))
        case "NOT_LITERAL":
            return _first(lambda each: ord(each) != value)
        case "ANY":
            return "x"
        case "IN":
            return _first(lambda each: _is_in(value, each), extra=_members(value))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, _, items = value
            if least > _MAX_REPEATS:
                raise ValueError("too long for an example")
            return _join(items) * int(least)
        case "SUBPATTERN":
            return _join(value[3])
        case "ATOMIC_GROUP":
            return _join(value)
        case "BRANCH":
            return _join(value[1][0])
        case "AT":
            return ""
        case _:
            raise ValueError(f"no example for {kind}")


def _members(items: Any) -> str:
    """The characters a set names, the first of each range."""
    named = ((str(kind), value) for kind, value in items)
    return "".join(chr(value if kind == "LITERAL" else value[0]) for kind, value in named if kind in _NAMED)


def _first(fits: Callable[[str], bool], *, extra: str = "") -> str:
    for each in extra + _CANDIDATES:
        if fits(each):
            return each
    raise ValueError("no character fits")


def _is_in(items: Any, character: str) -> bool:
    is_negated = str(items[0][0]) == "NEGATE"
    return any(_fits(str(kind), value, character) for kind, value in items) != is_negated


def _fits(kind: str, value: Any, character: str) -> bool:
    match kind:
        case "LITERAL":
            return ord(character) == int(value)
        case "RANGE":
            return bool(value[0] <= ord(character) <= value[1])
        case "CATEGORY":
            return re.match(_CATEGORIES[str(value).removeprefix("CATEGORY_")], character) is not None
        case _:
            return False
