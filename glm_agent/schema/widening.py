"""Rules between the keywords of one JSON Schema: shorter where it says the same, wider where it might narrow. Pure.

Knows nothing of references, bounds and what a single keyword may hold.
"""

from __future__ import annotations

from typing import Any, cast

from glm_agent.messages import JsonObject
from glm_agent.schema.shapes import is_array, is_object

ANNOTATIONS = frozenset({"description", "default", "examples", "deprecated", "readOnly", "writeOnly"})
"""Keywords that say something and forbid nothing."""


def in_todays_spelling(node: JsonObject) -> JsonObject:
    """A tuple in the spelling of drafts up to 2019, in that of 2020."""
    if not isinstance(node.get("items"), list) or "prefixItems" in node:
        return node
    rest = {key: value for key, value in node.items() if key != "additionalItems"}
    return {**rest, "prefixItems": node["items"], "items": node.get("additionalItems")}


def keep_wide(node: JsonObject, clean: JsonObject) -> JsonObject:
    """Keep a dropped keyword from narrowing those that lean on it, and old spellings from being lost."""
    if "prefixItems" in node and "prefixItems" not in clean:
        clean.pop("items", None)
    if any(_lost_entries(node.get(key), clean.get(key)) for key in ("properties", "patternProperties")):
        clean.pop("additionalProperties", None)
    if "oneOf" in clean:
        branches = clean.pop("oneOf")
        clean.setdefault("anyOf", branches)
    return clean


def _lost_entries(before: Any, after: Any) -> bool:
    if before is None:
        return False
    if not is_object(before):
        return True
    wanted = sum(entry is not False for entry in before.values())
    return wanted > (len(after) if is_object(after) else 0)


def simplify(schema: JsonObject) -> JsonObject:
    """Unions that say nothing go, unions of one are what they hold, a union with null is a type with null."""
    for key in ("allOf", "anyOf"):
        if key in schema:
            schema = _simplify_branches(schema, key)
    return schema


def _simplify_branches(schema: JsonObject, key: str) -> JsonObject:
    branches = cast("list[JsonObject]", schema[key])
    rest = {name: value for name, value in schema.items() if name != key}
    says_nothing = [branch for branch in branches if ANNOTATIONS.issuperset(branch)]
    if key == "anyOf" and says_nothing:
        return rest
    branches = [branch for branch in branches if branch not in says_nothing]
    if not branches:
        return rest
    single = _nullable(branches) if key == "anyOf" and len(branches) == 2 else None
    if len(branches) == 1:
        single = branches[0]
    if single is not None and ANNOTATIONS.issuperset(rest):
        return {**single, **rest}
    return {**schema, key: branches}  # in its place: the same schema again gives the same text again


def _nullable(branches: list[JsonObject]) -> JsonObject | None:
    """``[X, null]`` as one schema, where X is simple enough."""
    others = [branch for branch in branches if branch.get("type") != "null"]
    if len(others) != 1:
        return None
    schema = dict(others[0])
    if "type" not in schema or not schema.keys().isdisjoint({"anyOf", "allOf", "const"}):
        return None
    kinds: list[str] = schema["type"] if is_array(schema["type"]) else [schema["type"]]
    schema["type"] = list(dict.fromkeys([*kinds, "null"]))
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema
