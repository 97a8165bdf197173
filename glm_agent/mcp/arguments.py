"""The text of a call to an MCP tool -> its arguments. Pure.

The server checks its arguments itself; here only what loses nothing is mended, because GLM does it often and a
server refuses it: an object or a number written as text, ``null`` for what may be left out.
"""

from __future__ import annotations

import json
from typing import Any, cast

from glm_agent.errors import ToolError
from glm_agent.messages import JsonObject

_MEANT: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def read_arguments(text: str, schema: JsonObject) -> JsonObject:
    """The arguments. Empty text and ``null`` mean none. Raises ``ToolError`` with what to send instead."""
    try:
        value = _load(text)
        # The whole object, once more wrapped as a string.
        value = _load(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ToolError(
            f"the arguments are not valid JSON: {error}. Nothing was run. Send the call again with one JSON object."
        ) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolError("the arguments are no JSON object. Nothing was run. Send the call again with one.")
    return _mended(cast(JsonObject, value), schema)


def _load(text: str) -> Any:
    return json.loads(text.strip().removeprefix("\ufeff") or "{}", parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _mended(arguments: JsonObject, schema: JsonObject) -> JsonObject:
    properties = cast(JsonObject, schema.get("properties") or {})
    required = cast("list[str]", schema.get("required") or [])
    mended: JsonObject = {}
    for name, value in arguments.items():
        kinds = _kinds(properties.get(name))
        if value is None and kinds and "null" not in kinds and name not in required:
            continue
        mended[name] = _unwrapped(value, kinds) if isinstance(value, str) else value
    return mended


def _unwrapped(text: str, kinds: set[str]) -> Any:
    """What the text holds, if the schema wants that and no text."""
    if not kinds or "string" in kinds:
        return text
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        value = {"true": True, "false": False}.get(text.strip().lower())
    wanted = {kind for name in kinds for kind in _MEANT.get(name, ())}
    return value if type(value) in wanted else text


def _kinds(schema: object) -> set[str]:
    """The types a property may have; empty when it may have any, or that cannot be seen at a glance."""
    if not isinstance(schema, dict):
        return set()
    known = cast(JsonObject, schema)
    branches = known.get("anyOf") or known.get("oneOf")
    if isinstance(branches, list):
        each = [_kinds(branch) for branch in cast("list[object]", branches)]
        return set[str]().union(*each) if all(each) else set()
    kind = known.get("type")
    return {kind} if isinstance(kind, str) else {str(item) for item in cast("list[object]", kind or [])}
