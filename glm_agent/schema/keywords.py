"""One rule for each keyword of JSON Schema that GLM is shown: its clean value, or ``DROP`` where it has none.

A rule may only widen what the keyword allows, and raises nothing of its own, whatever it is given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias, cast

from glm_agent.messages import JsonObject
from glm_agent.schema.shapes import is_array, is_object

_MAX_DESCRIPTION = 8_000
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")

DROP: Final = object()
"""In place of a value: it is left out."""


class Walk(Protocol):
    """The pass over a document that meets the keywords, with bounds on what comes out."""

    def schema(self, value: Any, depth: int) -> JsonObject:
        """The clean form of a schema inside the keyword."""
        ...

    def json(self, value: Any, depth: int) -> object:
        """A value that is no schema, bounded; else ``DROP``."""
        ...

    def spend(self, characters: int) -> None:
        """Count what will be shown."""
        ...


Rule: TypeAlias = Callable[[Walk, Any, int], object]


def _type(_walk: Walk, value: Any, _depth: int) -> object:
    given: list[Any] = value if is_array(value) else [value]
    names = list(dict.fromkeys(given)) if _is_names(value) else []
    if not names or any(name not in _TYPES for name in names):
        return DROP
    return names if len(names) > 1 else names[0]


def _is_names(value: Any) -> bool:
    return isinstance(value, str) or (is_array(value) and all(isinstance(item, str) for item in value))


def _properties(walk: Walk, value: Any, depth: int) -> object:
    if not is_object(value):
        return DROP
    # The names of JSON objects are strings; of what Python hands over perhaps not.
    entries = {str(key): entry for key, entry in value.items()}
    walk.spend(sum(len(key) + 4 for key in entries))
    # ``false`` forbids the property: it is left out, whoever sends it is told by the tool.
    return {key: walk.schema(entry, depth + 1) for key, entry in entries.items() if entry is not False}


def _patterns(walk: Walk, value: Any, depth: int) -> object:
    kept = _properties(walk, value, depth)
    return {key: entry for key, entry in kept.items() if _is_regex(key)} if is_object(kept) else DROP


def _schema(walk: Walk, value: Any, depth: int) -> object:
    return (walk.schema(value, depth + 1) or DROP) if is_object(value) else DROP


def _schema_or_bool(walk: Walk, value: Any, depth: int) -> object:
    return value if isinstance(value, bool) else _schema(walk, value, depth)


def _branches(walk: Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return DROP
    return [walk.schema(entry, depth + 1) for entry in value if entry is not False] or DROP


def _tuple(walk: Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return DROP
    return [walk.schema(entry, depth + 1) for entry in value] or DROP


def _required(walk: Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return DROP
    names = (name for name in value if isinstance(name, str))
    return walk.json(list(dict.fromkeys(names)), depth) or DROP


def _number(_walk: Walk, value: Any, _depth: int) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and is_finite(cast("float", value)) else DROP


def is_finite(number: float) -> bool:
    """Whether JSON can hold it."""
    # Longer integers are not writable as JSON: Python refuses to make their text.
    return number.bit_length() < 2_000 if isinstance(number, int) else math.isfinite(number)


def _positive(walk: Walk, value: Any, depth: int) -> object:
    number = _number(walk, value, depth)
    return number if number is not DROP and cast("float", number) > 0 else DROP


def _count(walk: Walk, value: Any, depth: int) -> object:
    number = _number(walk, value, depth)
    if number is DROP or cast("float", number) < 0 or cast("float", number) != int(cast("float", number)):
        return DROP
    return int(cast("float", number))


def _text(walk: Walk, value: Any, depth: int) -> object:
    return walk.json(value[:_MAX_DESCRIPTION], depth) if isinstance(value, str) else DROP


def _pattern(walk: Walk, value: Any, depth: int) -> object:
    return walk.json(value, depth) if isinstance(value, str) and _is_regex(value) else DROP


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _flag(_walk: Walk, value: Any, _depth: int) -> object:
    return value if isinstance(value, bool) else DROP


def _values(walk: Walk, value: Any, depth: int) -> object:
    return (walk.json(value, depth) or DROP) if is_array(value) else DROP


def _default(walk: Walk, value: Any, depth: int) -> object:
    return DROP if value is None else walk.json(value, depth)


def _anything(walk: Walk, value: Any, depth: int) -> object:
    return walk.json(value, depth)


RULES: Mapping[str, Rule] = {
    "type": _type,
    "description": _text,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _schema_or_bool,
    "patternProperties": _patterns,
    "propertyNames": _schema,
    "minProperties": _count,
    "maxProperties": _count,
    "items": _schema,
    "prefixItems": _tuple,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": _flag,
    "enum": _values,
    "const": _anything,
    "minLength": _count,
    "maxLength": _count,
    "pattern": _pattern,
    "format": _text,
    "contentEncoding": _text,
    "contentMediaType": _text,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _number,
    "exclusiveMaximum": _number,
    "multipleOf": _positive,
    "anyOf": _branches,
    "oneOf": _branches,
    "allOf": _branches,
    "default": _default,
    "examples": _values,
    "deprecated": _flag,
    "readOnly": _flag,
    "writeOnly": _flag,
}
"""Not in here, hence dropped: ``not``, ``if``, ``contains``, ``unevaluated…`` and ``dependent…``, which turn
narrower when a schema inside them is widened; ``title``, ``$schema`` and words of other dialects."""
