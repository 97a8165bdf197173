"""What servers send -> what the SDK accepts. Pure: JSON values in, JSON values out.

The SDK checks every message against the letter of the protocol, and one malformed tool then costs all tools
of its server, one odd content block the whole result. Here a fault costs the thing that has it. Whether a
repaired message passes is asked of the ``is_valid`` that the caller gives, so this module knows no models.

``outputSchema`` is hidden: the SDK's check of results against it is fatal, cannot be turned off, and runs
patterns of the server's choosing on the event loop. Delete that when mcp lets a client choose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, cast

from glm_agent.mcp.framing import TooLong
from glm_agent.mcp.sanitize import without_surrogates
from glm_agent.messages import JsonObject

IsValid = Callable[[JsonObject], bool]
"""Whether the SDK would accept this as the result of the request it answers."""

_BLOCKS = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri",),
    "resource": (),
}
"""Content types and the strings that each cannot do without."""

_CACHED = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
"""What says, since 2026-07-28, for how long and for whom it holds."""

_PLAIN_KEYS = frozenset({"content", "isError", "resultType", "structuredContent", "_meta"})
_LONGEST_MS = 2**53
_TEXT_KEYS = frozenset({"type", "text"})

TASK = "glm-agent/task"
"""Where in ``_meta`` of a result the task of protocol 2025-11-25 is carried, which the SDK has no model for."""

MENDED = "glm-agent/mended"
"""Where in ``_meta`` of a tool stands what was mended about its definition."""

_RESULT_KEYS = frozenset({"tools", "nextCursor", "resultType", "_meta", "ttlMs", "cacheScope"})


def repair_result(method: str, result: JsonObject, *, is_modern: bool, is_valid: IsValid) -> list[str]:
    """Repair the result of a request in place; returns a sentence for each thing that was lost.

    ``is_modern`` is protocol 2026-07-28 and later, where every result says what type it has.
    """
    if is_modern:
        result["resultType"] = result.get("resultType") or "complete"
        if method in _CACHED:
            _repair_caching(result)
    match method:
        case "tools/call" if _is_plain(result):
            return []
        case "tools/call" if not is_modern and "content" not in result and isinstance(result.get("task"), dict):
            result |= {"_meta": {TASK: result.pop("task")}, "content": []}
        case "tools/list":
            return _repair_listing(result, is_valid)
        case "tools/call" if result.get("resultType") not in ("input_required", "task"):
            return _repair_call(result, is_valid)
        case "initialize":
            _repair_initialize(result)
        case _:
            pass
    return []


def repair_messages(data: object) -> list[JsonObject]:
    """What was meant by a line that is JSON but no JSON-RPC message: a batch, a bare error text, a null result."""
    items = cast("list[object]", data) if isinstance(data, list) else [data]
    messages = [cast(JsonObject, item) for item in items if isinstance(item, dict)]
    return [_repair_message(without_surrogates(message)) for message in messages]


def answered_id(line: TooLong) -> str | int | None:
    """The id of the request that an over-long message answers; None when it cannot be seen."""
    at_start = re.match(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+|"[^"\\]*")\s*,', line.head)
    at_end = re.search(rb',\s*"id"\s*:\s*(\d+|"[^"\\]*")\s*\}\s*$', line.tail)
    found = at_start or at_end
    return cast("str | int", json.loads(found[1])) if found else None


# -- tools/list ---------------------------------------------------------------------------------------


def _repair_listing(result: JsonObject, is_valid: IsValid) -> list[str]:
    notes: list[str] = []
    listed = result.get("tools")
    tools = cast("list[object]", listed) if isinstance(listed, list) else []
    result["tools"] = kept = [tool for tool in (_repair_tool(item, notes) for item in tools) if tool is not None]
    cursor = result.get("nextCursor")
    if not (isinstance(cursor, str) and cursor):
        # An empty cursor is an end for everybody but a reader that asks for "the page after nothing".
        result.pop("nextCursor", None)
    if not is_valid(result):
        _keep_valid(result, kept, is_valid, notes)
    return notes


def _repair_tool(item: object, notes: list[str]) -> JsonObject | None:
    if not isinstance(item, dict):
        notes.append(f"an entry of its tool list is no object: {_excerpt(item)}")
        return None
    tool = cast(JsonObject, item)
    name = tool.get("name")
    if not isinstance(name, str) or not name.strip():
        notes.append(f"a tool without a name was left out: {_excerpt(tool)}")
        return None
    tool.pop("outputSchema", None)
    schema, said = _object_schema(tool.get("inputSchema", tool.get("input_schema")))
    tool["inputSchema"] = schema
    if said:
        _mend(tool, f"its inputSchema {said}")
    return tool


def _mend(tool: JsonObject, said: str) -> None:
    """Say at the tool itself what was done to it, for whoever looks."""
    meta = tool.get("_meta")
    known = cast(JsonObject, meta) if isinstance(meta, dict) else {}
    before = known.get(MENDED)
    tool["_meta"] = {**known, MENDED: [*(cast("list[str]", before) if isinstance(before, list) else []), said]}


def _object_schema(schema: object) -> tuple[JsonObject, str]:
    """The schema with an object at its root: arguments are an object, whatever the server forgot to say.

    And what was wrong with it, in a few words; empty where nothing was.
    """
    if not isinstance(schema, dict):
        return {"type": "object"}, "is missing" if schema is None else "is no object"
    known = cast(JsonObject, schema)
    kind: object = known.get("type")
    if kind not in (None, "object") and not (isinstance(kind, list) and "object" in kind):
        return {"type": "object"}, f"is for {_excerpt(known.get('type'))}, not for an object"
    wrong = ["says no type"] if kind is None else []
    known["type"] = "object"
    for key, wanted in (("properties", dict), ("required", list)):
        if not isinstance(known.get(key, wanted()), wanted):
            del known[key]
            wrong.append(f"has odd {key!r}")
    return known, " and ".join(wrong)


def _keep_valid(result: JsonObject, tools: list[JsonObject], is_valid: IsValid, notes: list[str]) -> None:
    """Find what is refused: a field beside the tools, a field of a tool, or a tool."""
    for key in [key for key in result if key not in _RESULT_KEYS or key == "_meta"]:
        if not is_valid({**result, "tools": []}):
            del result[key]
    kept: list[JsonObject] = []
    for tool in tools:
        for candidate in (tool, _bare(tool)):
            if is_valid({**result, "tools": [candidate]}):
                if candidate is not tool:
                    _mend(candidate, "it had odd fields, which were left out")
                kept.append(candidate)
                break
        else:
            notes.append(f"the tool {tool['name']!r} is malformed and was left out")
    result["tools"] = kept


def _bare(tool: JsonObject) -> JsonObject:
    described = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
    return {"name": tool["name"], "inputSchema": tool["inputSchema"], **described}


# -- tools/call ---------------------------------------------------------------------------------------


def _is_plain(result: JsonObject) -> bool:
    """Whether the result is one of the usual ones, seen without the SDK's models: asking those costs more."""
    content = result.get("content")
    return (
        result.keys() <= _PLAIN_KEYS
        and isinstance(content, list)
        and all(_is_plain_text(block) for block in cast("list[object]", content))
        and isinstance(result.get("isError", False), bool)
        and result.get("resultType", "complete") == "complete"
        and isinstance(result.get("structuredContent", {}), dict)
        and isinstance(result.get("_meta", {}), dict)
    )


def _is_plain_text(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    known = cast(JsonObject, block)
    return known.keys() == _TEXT_KEYS and known["type"] == "text" and isinstance(known["text"], str)


def _repair_call(result: JsonObject, is_valid: IsValid) -> list[str]:
    result["content"] = [_repair_block(block) for block in _blocks(result.get("content"))]
    if not isinstance(result.get("isError", False), bool):
        result["isError"] = str(result["isError"]).lower() not in ("", "none", "0", "false")
    if is_valid(result):
        return []
    structured = result.pop("structuredContent", None)
    if structured is not None and not result["content"]:
        result["content"] = [_text(structured)]
    for key in [key for key in result if key not in ("content", "isError", "resultType")]:
        if not is_valid(result):
            del result[key]
    if not is_valid(result):
        result["content"] = [_valid_block(block, result, is_valid) for block in result["content"]]
    return []


def _valid_block(block: JsonObject, result: JsonObject, is_valid: IsValid) -> JsonObject:
    """The block, or what it cannot do without, or a text that shows it."""
    bare = {key: block[key] for key in ("type", "name", "resource", *_BLOCKS[block["type"]]) if key in block}
    for candidate in (block, bare):
        if is_valid({**result, "content": [candidate]}):
            return candidate
    return _text(block)


def _blocks(content: object) -> list[object]:
    if content is None:
        return []
    return cast("list[object]", content) if isinstance(content, list) else [content]


def _repair_block(item: object) -> JsonObject:
    """The block, or a text that shows what came instead of one."""
    if not isinstance(item, dict):
        return _text(item)
    block = cast(JsonObject, item)
    kind = block.get("type")
    if kind == "resource_link" and isinstance(block.get("uri"), str):
        block["name"] = str(block.get("name") or block["uri"])
    required = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if required is None or not all(isinstance(block.get(key), str) for key in required):
        return _text(block)
    return block


def _text(value: object) -> JsonObject:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return {"type": "text", "text": text}


# -- the rest -----------------------------------------------------------------------------------------


def _repair_initialize(result: JsonObject) -> None:
    if not isinstance(result.get("capabilities"), dict):
        result["capabilities"] = {}
    info = result.get("serverInfo")
    known: JsonObject = cast(JsonObject, info) if isinstance(info, dict) else {}
    result["serverInfo"] = {
        **known,
        "name": str(known.get("name") or "unnamed"),
        "version": str(known.get("version") or "unknown"),
    }
    if not isinstance(result.get("instructions", ""), str):
        del result["instructions"]


def _repair_caching(result: JsonObject) -> None:
    """Who does not say for how long a result holds is asked again each time."""
    ttl = result.get("ttlMs")
    if not isinstance(ttl, (int, float)) or isinstance(ttl, bool) or not 0 <= ttl < _LONGEST_MS:
        result["ttlMs"] = 0
    else:
        result["ttlMs"] = int(ttl)
    if result.get("cacheScope") not in ("public", "private"):
        result["cacheScope"] = "private"


def _repair_message(message: JsonObject) -> JsonObject:
    repaired: JsonObject = {**message, "jsonrpc": "2.0"}
    if (error := repaired.get("error")) is not None:
        repaired["error"] = _error(error)
        repaired.pop("result", None)
        return repaired
    repaired.pop("error", None)
    if "result" in repaired and not isinstance(repaired["result"], dict):
        result = repaired["result"]
        repaired["result"] = {} if result is None else {"content": result}
    return repaired


def _error(error: object) -> JsonObject:
    known: JsonObject = cast(JsonObject, error) if isinstance(error, dict) else {"message": error}
    code = known.get("code")
    message = known.get("message") or known
    return {
        "code": code if isinstance(code, int) else -32603,
        "message": message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, default=str),
        **({"data": known["data"]} if "data" in known else {}),
    }


def _excerpt(value: object) -> str:
    text: Any = json.dumps(value, ensure_ascii=False, default=str)
    return f"{text[:80]}…" if len(text) > 80 else str(text)
