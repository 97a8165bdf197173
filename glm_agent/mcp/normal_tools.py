"""The answer to tools/list as servers give it -> as the SDK accepts it. Pure: JSON values in, JSON values out.

One odd tool costs that tool. ``outputSchema`` is hidden: the SDK's check of results against it is fatal, cannot be
turned off, and runs patterns of the server's choosing on the event loop. Delete that when mcp lets a client choose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from glm_agent.mcp.bounds import MAX_DEPTH, MAX_TOOL, cut, measure
from glm_agent.messages import JsonObject

IsValid = Callable[[JsonObject], bool]
"""Whether the SDK would accept this as the result of the request it answers."""

MENDED = "glm-agent/mended"
"""Where in ``_meta`` of a tool stands what was mended about its definition."""

_RESULT_KEYS = frozenset({"tools", "nextCursor", "resultType", "_meta", "ttlMs", "cacheScope"})
_LONGEST = 65_536
"""Characters of a description that are kept at all; what the model sees of it is less."""


def repair_listing(result: JsonObject, is_valid: IsValid) -> list[str]:
    """Repair the answer in place; returns a sentence for each tool that was left out."""
    notes: list[str] = []
    tools = _entries(result.get("tools"), notes)
    result["tools"] = kept = [tool for tool in (_repair_tool(item, notes) for item in tools) if tool is not None]
    cursor = result.get("nextCursor")
    if not (isinstance(cursor, str) and cursor):
        # An empty cursor is an end for everybody but a reader that asks for "the page after nothing".
        result.pop("nextCursor", None)
    if not is_valid(result):
        _keep_valid(result, kept, is_valid, notes)
    return notes


def _entries(listed: object, notes: list[str]) -> list[object]:
    """The entries of the list; an object is taken for one, since some give their tools by name."""
    if isinstance(listed, dict):
        notes.append("its tool list is an object, and was read as a list")
        tools = cast("dict[str, object]", listed).items()
        return [{"name": name, **cast(JsonObject, tool)} if isinstance(tool, dict) else tool for name, tool in tools]
    if not isinstance(listed, list):
        notes.append("its answer to tools/list has no list of tools")
        return []
    return cast("list[object]", listed)


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
    if (bounded := _bounded(tool, notes)) is None:
        return None
    tool = bounded
    schema, said = _object_schema(tool.get("inputSchema", tool.get("input_schema")))
    tool["inputSchema"] = schema
    if said:
        _mend(tool, f"its inputSchema {said}")
    return tool


def _bounded(tool: JsonObject, notes: list[str]) -> JsonObject | None:
    """The tool, cut where it is too long or too deep; None for one that is too large to be any use to a model."""
    described = tool.get("description")
    if isinstance(described, str) and len(described) > _LONGEST:
        tool["description"] = described[:_LONGEST]
        _mend(tool, f"its description had {len(described):,} characters")
    size, levels = measure(tool, at_most=MAX_TOOL)
    if size > MAX_TOOL:
        said = f"its definition has more than {MAX_TOOL >> 10} KiB"
        notes.append(f"the tool {_excerpt(tool['name'])} was left out: {said}")
        return None
    if levels > MAX_DEPTH:
        tool = _bare({**tool, "inputSchema": cut(tool.get("inputSchema"), depth=MAX_DEPTH)})
        _mend(tool, f"what lies deeper than {MAX_DEPTH} levels was left out of its inputSchema")
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


def _excerpt(value: object) -> str:
    text: Any = json.dumps(value, ensure_ascii=False, default=str)
    return f"{text[:80]}…" if len(text) > 80 else str(text)
