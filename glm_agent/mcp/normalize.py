"""What servers send -> what the SDK accepts. Pure: JSON values in, JSON values out.

The SDK checks every message against the letter of the protocol, and one malformed tool then costs all tools
of its server, one odd content block the whole result. Here a fault costs the thing that has it. Whether a
repaired message passes is asked of the ``is_valid`` that the caller gives, so this module knows no models. Tools are
repaired in ``normal_tools``, results of calls in ``normal_results``.
"""

from __future__ import annotations

import json
import re
from typing import cast

from glm_agent.mcp.bounds import MAX_NESTED, cut, measure
from glm_agent.mcp.framing import KEPT, MAX_MESSAGE, TooLong
from glm_agent.mcp.normal_results import is_plain, repair_call
from glm_agent.mcp.normal_tools import IsValid, repair_listing
from glm_agent.mcp.sanitize import without_surrogates
from glm_agent.messages import JsonObject

_CACHED = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
"""What says, since 2026-07-28, for how long and for whom it holds."""

_LONGEST_MS = 2**53

TASK = "glm-agent/task"
"""Where in ``_meta`` of a result the task of protocol 2025-11-25 is carried, which the SDK has no model for."""


def repair_result(method: str, result: JsonObject, *, is_modern: bool, is_valid: IsValid) -> list[str]:
    """Repair the result of a request in place; returns a sentence for each thing that was lost.

    ``is_modern`` is protocol 2026-07-28 and later, where every result says what type it has.
    """
    if is_modern:
        result["resultType"] = result.get("resultType") or "complete"
        if method in _CACHED:
            _repair_caching(result)
    match method:
        case "tools/call" if is_plain(result):
            return []
        case "tools/call" if not is_modern and "content" not in result and isinstance(result.get("task"), dict):
            result |= {"_meta": {TASK: result.pop("task")}, "content": []}
        case "tools/list":
            return repair_listing(result, is_valid)
        case "tools/call" if result.get("resultType") not in ("input_required", "task"):
            return repair_call(result, is_valid)
        case "initialize":
            _repair_initialize(result)
        case _:
            pass
    return []


def repair_messages(data: object) -> list[JsonObject]:
    """What was meant by a line that is JSON but no JSON-RPC message: a batch, a bare error text, a null result."""
    items = cast("list[object]", data) if isinstance(data, list) else [data]
    messages = [_shallow(cast(JsonObject, item)) for item in items if isinstance(item, dict)]
    return [_repair_message(without_surrogates(message)) for message in messages]


def _shallow(message: JsonObject) -> JsonObject:
    """The message as deep as the SDK's models take it."""
    _, levels = measure(message, at_most=MAX_MESSAGE)
    return message if levels <= MAX_NESTED else cast(JsonObject, cut(message, depth=MAX_NESTED))


def reason(error: Exception) -> str:
    """Why a text cannot be read as JSON, in a few words."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    # What else Python cannot read of JSON is a number of thousands of digits.
    return error.msg if isinstance(error, json.JSONDecodeError) else "it has a number that is too long"


def answered_by(text: bytes) -> str | int | None:
    """The id of the request that a broken message answers; None where it cannot be seen, or is no message."""
    ends = TooLong(head=text[:KEPT], tail=text[-KEPT:], size=len(text))
    return answered_id(ends) if b'"jsonrpc"' in ends.head + ends.tail else None


def answered_id(line: TooLong) -> str | int | None:
    """The id of the request that an over-long message answers; None when it cannot be seen."""
    at_start = re.match(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+|"[^"\\]*")\s*,', line.head)
    at_end = re.search(rb',\s*"id"\s*:\s*(\d+|"[^"\\]*")\s*\}\s*$', line.tail)
    found = at_start or at_end
    return cast("str | int", json.loads(found[1])) if found else None


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
