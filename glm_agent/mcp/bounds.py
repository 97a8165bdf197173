"""How deep and how large what a server sends may be. Pure: JSON values in, JSON values out."""

from __future__ import annotations

from typing import Any, cast

MAX_DEPTH = 64
"""Levels of a tool's schema; what lies deeper is left out."""

MAX_NESTED = 100
"""Levels of any message; the SDK's models take about 200."""

MAX_TOOL = 256 << 10
"""Characters of one tool's definition; the largest of 259 tools seen in use has about 20,000."""

MAX_BLOCKS = 10_000
"""Blocks of one result."""


def measure(value: Any, *, at_most: int) -> tuple[int, int]:
    """About how many characters the value has as JSON, and how many levels; looked at until there are too many."""
    size = deepest = 0
    left: list[tuple[Any, int]] = [(value, 1)]
    while left and size <= at_most:
        item, depth = left.pop()
        deepest = max(deepest, depth)
        if isinstance(item, dict):
            known = cast("dict[str, Any]", item)
            size += 2 + sum(len(key) + 4 for key in known)
            left += [(inner, depth + 1) for inner in known.values()]
        elif isinstance(item, list):
            size += 2
            left += [(inner, depth + 1) for inner in _items(item)]
        else:
            size += len(item) + 2 if isinstance(item, str) else 6
    return size, deepest


def _items(value: Any) -> list[Any]:
    return value  # type: ignore[no-any-return]


def cut(value: Any, *, depth: int) -> Any:
    """The value with an empty object or list in the place of what lies deeper."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {key: cut(item, depth=depth - 1) for key, item in items} if depth > 1 else {}
    if isinstance(value, list):
        return [cut(item, depth=depth - 1) for item in _items(value)] if depth > 1 else []
    return value
