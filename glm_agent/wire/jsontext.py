"""JSON as servers and models really write it: read with patience, written with care.

Knows nothing of GLM. The quick reader is pydantic's; what it refuses (a lone half of a surrogate
pair, bytes that are no UTF-8, raw control characters) goes a slow way that replaces instead of failing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from pydantic_core import PydanticSerializationError, from_json, to_json


def loads(text: bytes | str) -> Any:
    """The value of a JSON text; ``ValueError`` when it is none, however broken."""
    try:
        return from_json(text)
    except (ValueError, TypeError):  # TypeError: the text itself holds a lone surrogate
        return _loads_patiently(text)


def dumps(value: Any) -> bytes:
    """Compact JSON that every server can read: no NaN, no lone surrogates."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(scrub(value), inf_nan_mode="null")


def scrub(value: Any) -> Any:
    """The same value with U+FFFD in the place of every lone half of a surrogate pair."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {scrub(key): scrub(item) for key, item in an_object(value).items()}
        case list() | tuple():
            return [scrub(item) for item in cast("Sequence[Any]", value)]
        case _:
            return value


def an_object(value: Any) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one: servers put null and worse anywhere."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def an_array(value: Any) -> list[Any]:
    """The value where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def is_object(text: str) -> bool:
    """Whether the text is one complete, strict JSON object."""
    if not text.rstrip().endswith("}"):
        return False
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except (ValueError, TypeError):
        return False


def as_object(text: str) -> str:
    """The text itself where it is a JSON object, else what can be saved of it, else ``{}``."""
    if is_object(text):
        return text
    try:
        value = from_json(scrub(text), allow_partial=True)
    except ValueError:
        value = None
    return dumps(value).decode() if isinstance(value, dict) else "{}"


def _loads_patiently(text: bytes | str) -> Any:
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig", "replace")
    try:
        return scrub(json.loads(text, strict=False))
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
