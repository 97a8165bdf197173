"""The text of a call to an MCP tool -> its arguments. Pure.

The server checks its arguments itself; here only what loses nothing is mended, because GLM does it often and a
server refuses it: an object or a number written as text, ``null`` for what may be left out. Of two values of one
name none is chosen for a tool that may change something, as with our own tools.
"""

from __future__ import annotations

import json
from typing import Any, cast

from glm_agent.errors import ToolError
from glm_agent.messages import JsonObject
from glm_agent.schema.exact import Ambiguous, once

_MEANT: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def read_arguments(text: str, schema: JsonObject, *, can_repair: bool = True) -> JsonObject:
    """The arguments. Empty text and ``null`` mean none.

    ``can_repair`` takes the last of two values of one name; give it for tools that only read.

    Raises:
        ToolError: With what to send instead.
    """
    reader = _LENIENT if can_repair else _EXACT
    try:
        value = _load(text, reader)
        # The whole object, once more wrapped as a string.
        value = _load(value, reader) if isinstance(value, str) else value
    except Ambiguous as error:
        raise ToolError(f"{error}. Nothing was run. Send the call again with each name once.") from None
    except (ValueError, RecursionError) as error:
        raise ToolError(
            f"the arguments are not valid JSON: {error}. Nothing was run. Send the call again with one JSON object."
        ) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolError("the arguments are no JSON object. Nothing was run. Send the call again with one.")
    return _mended(cast(JsonObject, value), schema)


def _load(text: str, reader: json.JSONDecoder) -> Any:
    return reader.decode(text.strip().removeprefix("\ufeff") or "{}")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


_LENIENT = json.JSONDecoder(parse_constant=_refuse)
_EXACT = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=once)


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
        value = _LENIENT.decode(text)
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
