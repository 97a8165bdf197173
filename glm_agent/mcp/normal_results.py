"""The result of a call as servers give it -> as the SDK accepts it. Pure: JSON values in, JSON values out.

One odd block costs that block: a text that shows it stands in its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from glm_agent.mcp.bounds import MAX_BLOCKS
from glm_agent.messages import JsonObject

_BLOCKS = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri",),
    "resource": (),
}
"""Content types and the strings that each cannot do without."""

_PLAIN_KEYS = frozenset({"content", "isError", "resultType", "structuredContent", "_meta"})
_TEXT_KEYS = frozenset({"type", "text"})


def is_plain(result: JsonObject) -> bool:
    """Whether the result is one of the usual ones, seen without the SDK's models: asking those costs more."""
    content = result.get("content")
    return (
        result.keys() <= _PLAIN_KEYS
        and isinstance(content, list)
        and len(cast("list[object]", content)) <= MAX_BLOCKS
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


def repair_call(result: JsonObject, is_valid: Callable[[JsonObject], bool]) -> list[str]:
    """Repair the result in place; nothing of it is lost without a text that says so."""
    blocks = _blocks(result.get("content"))
    result["content"] = [_repair_block(block) for block in blocks[:MAX_BLOCKS]]
    if len(blocks) > MAX_BLOCKS:
        result["content"].append(_text(f"[{len(blocks) - MAX_BLOCKS:,} more blocks were left out]"))
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


def _valid_block(block: JsonObject, result: JsonObject, is_valid: Callable[[JsonObject], bool]) -> JsonObject:
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
