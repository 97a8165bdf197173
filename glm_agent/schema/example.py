"""A short value that fits a JSON Schema, to show the model what is meant. Pure."""

from __future__ import annotations

import math
from typing import Any

from glm_agent.messages import JsonObject

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


def example(schema: JsonObject, *, depth: int = 0) -> Any:
    """One value that fits; of an object, the required properties."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if branches := schema.get("anyOf") or schema.get("allOf"):
        return example(branches[0], depth=depth + 1)
    kind = schema.get("type")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, depth)


def _of_type(kind: Any, schema: JsonObject, depth: int) -> Any:
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
            return _array(schema, depth)
        case "object":
            return _object(schema, depth)
        case _:
            return _text(schema)


def _text(schema: JsonObject) -> str:
    text = _TEXTS.get(schema.get("format", ""), "text")
    return text.ljust(min(schema.get("minLength", 0), 100), "x")[: schema.get("maxLength")]


def _number(schema: JsonObject) -> Any:
    step = schema.get("multipleOf", 1)
    lowest = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    highest = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if lowest is not None:
        return math.ceil(lowest / step) * step
    return step if highest is None or highest >= step else highest // step * step


def _array(schema: JsonObject, depth: int) -> list[Any]:
    if "prefixItems" in schema:
        return [example(item, depth=depth + 1) for item in schema["prefixItems"]]
    size = min(schema.get("minItems", 1), 5) if depth < _MAX_DEPTH else 0
    return [example(schema.get("items", {}), depth=depth + 1) for _ in range(size)]


def _object(schema: JsonObject, depth: int) -> dict[str, Any]:
    if depth >= _MAX_DEPTH:
        return {}
    properties = schema.get("properties", {})
    return {name: example(properties.get(name, {}), depth=depth + 1) for name in schema.get("required", ())}
