"""A short value that fits a JSON Schema, to show the model what is meant. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from glm_agent.messages import JsonObject
from glm_agent.schema.pattern import matching
from glm_agent.schema.shapes import is_object

Places: TypeAlias = Sequence[Sequence[int | str]]
"""Paths into a value: names of properties and indexes of items."""

_MAX_DEPTH = 8
_TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "duration": "PT1H",
    "email": "name@example.com",
    "uri": "https://example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "path": "file.txt",
}


def example(schema: JsonObject, *, depth: int = 0, also: Places = ()) -> Any:
    """One value that fits, as far as a schema tells; of an object, the required properties and those in ``also``.

    ``also`` are places that the example should show, such as those where something was wrong.
    """
    for key in ("const", "default"):
        if key in schema and not any(also) and schema[key] not in ([], {}):
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if branches := schema.get("anyOf") or schema.get("allOf"):
        return example(_branch(branches, also), depth=depth + 1, also=also)
    kind = schema.get("type")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, depth, also)


def _branch(branches: list[JsonObject], also: Places) -> JsonObject:
    """The branch that has the wanted properties, else the first."""
    names = {place[0] for place in also if place}
    return next((branch for branch in branches if names & branch.get("properties", {}).keys()), branches[0])


def _below(also: Places, *keys: int | str) -> Places:
    return [place[1:] for place in also if place and place[0] in keys]


def _of_type(kind: Any, schema: JsonObject, depth: int, also: Places) -> Any:
    match kind:
        case "integer":
            return math.ceil(_number(schema))
        case "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return _array(schema, depth, also)
        case "object":
            return _object(schema, depth, also)
        case _:
            return _text(schema)


def _text(schema: JsonObject) -> str:
    text = _TEXTS.get(schema.get("format", ""), "text")
    if "pattern" in schema and (made := matching(schema["pattern"])) is not None:
        return made
    return text.ljust(min(schema.get("minLength", 0), 100), "x")[: schema.get("maxLength")]


def _number(schema: JsonObject) -> Any:
    step = schema.get("multipleOf", 1)
    lowest = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    highest = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if lowest is not None:
        return math.ceil(lowest / step) * step
    return step if highest is None or highest >= step else highest // step * step


def _array(schema: JsonObject, depth: int, also: Places) -> list[Any]:
    if "prefixItems" in schema:
        items = enumerate(schema["prefixItems"])
        return [example(item, depth=depth + 1, also=_below(also, place)) for place, item in items]
    size = min(schema.get("minItems", 1), 5) if depth < _MAX_DEPTH else 0
    below = [place[1:] for place in also if place and isinstance(place[0], int)]
    return [example(schema.get("items", {}), depth=depth + 1, also=below) for _ in range(size)]


def _object(schema: JsonObject, depth: int, also: Places) -> dict[str, Any]:
    if depth >= _MAX_DEPTH:
        return {}
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    others = others if is_object(others) else {}
    named = [str(place[0]) for place in also if place and (place[0] in properties or others)]
    return {
        name: example(properties.get(name) or others, depth=depth + 1, also=_below(also, name))
        for name in dict.fromkeys([*schema.get("required", ()), *named])
    }
