"""Telling JSON values apart, in a way that type checkers understand too."""

from __future__ import annotations

from typing import Any, TypeGuard

JsonObject = dict[str, Any]


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a JSON array."""
    return isinstance(value, list)


def object_in(value: JsonObject, key: str) -> JsonObject:
    """The object under a key; an empty one where there is none."""
    inner = value.get(key)
    return inner if is_object(inner) else {}


def array_in(value: JsonObject, key: str) -> list[Any]:
    """The array under a key; an empty one where there is none."""
    inner = value.get(key)
    return inner if is_array(inner) else []
