"""The simulated service's rules about ``tools`` and ``tool_choice``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from glm_agent.simulate.json_values import is_array, is_object
from glm_agent.simulate.service_rules import Asked, Rule

MOST_FUNCTIONS = 128
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TYPES = ("function", "web_search", "retrieval", "mcp")
FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict"})
"""``strict`` is in no schema; recorded as accepted (z.ai, 2026-03)."""
SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})

ENGINES = (
    "search_std",
    "search_pro",
    "search_pro_sogou",
    "search_pro_quark",
    "search_pro_jina",
    "search-prime",
    "search_prime",
)


def _shape(asked: Asked) -> Iterator[str]:
    for at, tool in enumerate(_tools(asked)):
        if not is_object(tool):
            yield f"tools[{at}] is illegal: it must be an object"
        elif tool.get("type") not in TYPES:
            yield f"tools[{at}].type is illegal: it must be one of {', '.join(TYPES)}"
        elif not isinstance(tool.get(tool["type"]), dict):
            yield f"tools[{at}].{tool['type']} was not received"
        else:
            yield from (f"Unknown parameter 'tools[{at}].{key}'" for key in tool if key not in ("type", tool["type"]))


def _number(asked: Asked) -> Iterator[str]:
    if len(_functions(asked)) > MOST_FUNCTIONS:
        yield f"The parameter 'tools' is illegal: at most {MOST_FUNCTIONS} functions"


def _names(asked: Asked) -> Iterator[str]:
    for at, function in _functions(asked):
        name = function.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"tools[{at}].function.name is illegal: {name!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$"


def _fields(asked: Asked) -> Iterator[str]:
    for at, function in _functions(asked):
        if not isinstance(function.get("description"), str):
            yield f"tools[{at}].function.description was not received"
        if not isinstance(function.get("parameters"), dict):
            yield f"tools[{at}].function.parameters was not received: it must be a JSON Schema object"
        yield from (f"Unknown parameter 'tools[{at}].function.{key}'" for key in function if key not in FUNCTION_KEYS)


def _schemas(asked: Asked) -> Iterator[str]:
    for at, function in _functions(asked):
        schema = function["parameters"]
        if schema.get("type", "object") != "object":
            yield f"tools[{at}].function.parameters is illegal: its root must be of type object"
        yield from (f"tools[{at}].function.parameters{sentence}" for sentence in broken_schema(schema))


def broken_schema(schema: Any, *, at: str = "") -> Iterator[str]:
    """What a JSON Schema has that makes the service refuse it."""
    if isinstance(schema, bool):
        return
    if not is_object(schema):
        yield f"{at} is illegal: a schema must be an object"
        return
    kinds = schema.get("type")
    for kind in kinds if is_array(kinds) else [kinds] if "type" in schema else []:
        if not isinstance(kind, str) or kind not in SCHEMA_TYPES:
            yield f"{at}.type is illegal: {kind!r}"
    if not isinstance(schema.get("required", []), list):
        yield f"{at}.required is illegal: it must be an array"
    if not isinstance(schema.get("enum", []), list):
        yield f"{at}.enum is illegal: it must be an array"
    yield from _inner(schema, at)


def _inner(schema: dict[str, Any], at: str) -> Iterator[str]:
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        named = schema.get(key, {})
        if not is_object(named):
            yield f"{at}.{key} is illegal: it must be an object"
            continue
        for name, inner in named.items():
            yield from broken_schema(inner, at=f"{at}.{key}.{name}")
    for key in ("items", "additionalProperties", "not"):
        if key in schema and not (key == "items" and is_array(schema[key])):
            yield from broken_schema(schema[key], at=f"{at}.{key}")
    for key in ("anyOf", "oneOf", "allOf"):
        several = schema.get(key, [])
        if not is_array(several):
            yield f"{at}.{key} is illegal: it must be an array"
            continue
        for number, inner in enumerate(several):
            yield from broken_schema(inner, at=f"{at}.{key}[{number}]")


def _hosted(asked: Asked) -> Iterator[str]:
    for at, tool in enumerate(_tools(asked)):
        kind = tool["type"]
        options = tool[kind]
        if kind == "web_search" and options.get("search_engine", "search_std") not in ENGINES:
            yield f"tools[{at}].web_search.search_engine is illegal: {options['search_engine']!r}"
        if kind == "retrieval" and not options.get("knowledge_id"):
            yield f"tools[{at}].retrieval.knowledge_id was not received"
        if kind == "mcp" and not options.get("server_label"):
            yield f"tools[{at}].mcp.server_label was not received"


def _choice(asked: Asked) -> Iterator[str]:
    if asked.body.get("tool_choice") not in (None, "auto"):
        yield "Tool choice must be auto"


def _tools(asked: Asked) -> list[Any]:
    return asked.body.get("tools") or []


def _functions(asked: Asked) -> list[tuple[int, dict[str, Any]]]:
    return [(at, tool["function"]) for at, tool in enumerate(_tools(asked)) if tool["type"] == "function"]


TOOL_RULES: tuple[Rule, ...] = (
    Rule("tools.shape", "tools are of a known type and hold its object", "OpenAPI", 400, "1214", _shape),
    Rule("tools.number", "at most 128 functions", "OpenAPI", 400, "1214", _number),
    Rule("tools.name", "names match ^[a-zA-Z0-9_-]{1,64}$", "OpenAPI", 400, "1214", _names),
    Rule("tools.fields", "description and parameters are there, nothing else", "OpenAPI", 400, "1210", _fields),
    Rule("tools.schema", "parameters are a JSON Schema of an object", "SkyrimNet#381", 400, "1210", _schemas),
    Rule("tools.hosted", "hosted tools have what they need", "OpenAPI", 400, "1214", _hosted),
    Rule("tool_choice", "tool_choice is auto", "hindsight#4246 (2026-09)", 400, "1210", _choice),
)
