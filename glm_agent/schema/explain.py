"""What is wrong with a call's arguments, in words that let the model send better ones. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from pydantic_core import ErrorDetails, to_json

from glm_agent.messages import JsonObject
from glm_agent.schema.example import Places, example
from glm_agent.schema.shapes import is_array, is_object

MAX_CHARACTERS = 1_500
_MAX_PROBLEMS = 5
_MAX_GOT = 80
_MAX_EXAMPLE = 500
_Place: TypeAlias = tuple[int | str, ...]
_CONSTRAINT = "Input should be "
_CHECKS = {
    "too_short": "at least {min_length} items, not {actual_length}",
    "too_long": "at most {max_length} items, not {actual_length}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "int_from_float": "integer, a whole number",
    "union_tag_invalid": "{discriminator} to be one of {expected_tags}",
    "union_tag_not_found": "an object that says which kind it is in {discriminator}",
    "finite_number": "a finite number",
}
"""pydantic's words for what it checks, where its own sentence would not read well after "wanted"."""


def explain(wrong: Sequence[ErrorDetails], tree: Any, schema: JsonObject) -> tuple[str, list[_Place]]:
    """Each problem as path, what came, what is wanted, in at most 1,000 characters; and where they are."""
    problems: dict[_Place, list[ErrorDetails]] = {}
    for detail in wrong:
        problems.setdefault(_place(detail, tree), []).append(detail)
    lines = [_line(place, details, schema) for place, details in list(problems.items())[:_MAX_PROBLEMS]]
    if len(problems) > len(lines):
        lines.append(f"and {len(problems) - len(lines)} more")
    return "\n".join(line[:400] for line in lines)[:1_000], list(problems)


def with_example(text: str, schema: JsonObject, *, fits: Callable[[str], bool], also: Places = ()) -> str:
    """The text and, where a short one can be made, arguments that fit: with the places in ``also``, if that can be.

    ``fits`` tells whether arguments would be taken: a tool may want what its schema does not say.
    """
    for places in (also, ()) if also else ((),):
        shown = json.dumps(example(schema, also=places), ensure_ascii=False)
        if len(shown) <= _MAX_EXAMPLE and fits(shown):
            return f"{text}\nValid arguments look like this: {shown}"[:MAX_CHARACTERS]
    return text[:MAX_CHARACTERS]


def located(tree: Any, place: Sequence[int | str]) -> list[int | str]:
    """The keys that lead to a place in the tree, without the tags that pydantic puts between them for unions."""
    path: list[int | str] = []
    for key in place:
        if (is_object(tree) and key in tree) or (is_array(tree) and isinstance(key, int) and 0 <= key < len(tree)):
            tree = cast("Any", tree)[key]
        else:
            continue
        path.append(key)
    return path


def _place(detail: ErrorDetails, tree: Any) -> _Place:
    place = located(tree, detail["loc"])
    return (*place, detail["loc"][-1]) if detail["type"] == "missing" else tuple(place)


def _line(place: _Place, details: list[ErrorDetails], schema: JsonObject) -> str:
    first = details[0]
    node = _schema_at(schema, place)
    path = "arguments" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    if first["type"] == "missing":
        return f"{path}: missing, wanted {_wanted(node) or 'a value'}."
    if first["type"] == "extra_forbidden":
        return f"{path}: no such name; {_names(_schema_at(schema, place[:-1]))}."
    if first["type"].startswith("json_"):
        return f"{path}: {first['msg']}."
    return f"{path}: got {got(first['input'])}, wanted {_reasons(details, node)}."


def got(value: Any) -> str:
    """A value as JSON, cut, and the name of its type."""
    try:
        text = to_json(value, inf_nan_mode="constants", serialize_unknown=True).decode()
    except ValueError:
        text = repr(value)
    if len(text) > _MAX_GOT:
        text = f"{text[:_MAX_GOT]}…"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return f"{text} ({kinds[type(value)]})" if type(value) in kinds else text


def _reasons(details: list[ErrorDetails], node: JsonObject) -> str:
    """What the schema says where only the type is wrong, else what the check says."""
    if all(detail["type"].endswith(("_type", "_parsing")) for detail in details) and (wanted := _wanted(node)):
        return wanted
    return " or ".join(dict.fromkeys(map(_reason, details)))


def _reason(detail: ErrorDetails) -> str:
    """What a check wants, after the word "wanted"."""
    said = _CHECKS.get(detail["type"])
    if said is None:
        return detail["msg"].removeprefix(_CONSTRAINT).removeprefix("Value error, ")
    return said.format(**detail.get("ctx", {}))


def _wanted(node: JsonObject) -> str:
    if "enum" in node:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in node["enum"][:20])
    if "const" in node:
        return json.dumps(node["const"], ensure_ascii=False)
    if "anyOf" in node:
        return " or ".join(filter(None, (_wanted(branch) for branch in node["anyOf"])))
    kind = node.get("type", "")
    names = " or ".join(cast("list[str]", kind)) if isinstance(kind, list) else str(kind)
    if "format" in node and names:
        return f"{names} in the format {node['format']!r}"
    items = _wanted(node["items"]) if names == "array" and isinstance(node.get("items"), dict) else ""
    return f"{names} of {items}" if items else names


def _names(parent: JsonObject) -> str:
    names = ", ".join(parent.get("properties", {}))
    return f"valid names: {names}" if names else "there are none"


def _schema_at(schema: JsonObject, place: _Place) -> JsonObject:
    """The sub-schema at a place; empty where the schema does not say."""
    for key in place:
        schema = _child(schema, key)
    return schema


def _item(node: JsonObject, place: int) -> Any:
    first = node.get("prefixItems", ())
    return first[place] if place < len(first) else node.get("items")


def _child(node: JsonObject, key: int | str) -> JsonObject:
    own = _item(node, key) if isinstance(key, int) else node.get("properties", {}).get(key)
    if own is None and isinstance(key, str):
        own = node.get("additionalProperties")
    if is_object(own):
        return own
    for branch in node.get("anyOf", ()):
        if found := _child(branch, key):
            return found
    return {}
