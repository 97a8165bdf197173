"""Tool calls that a host's parser missed: GLM's own markup, left in the text.

Three dialects are known:

    <tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>     GLM's template since 4.5
    <tool_call>{"name": "…", "arguments": {…}}</tool_call>
    <tool_call>name({"k": "v"})</tool_call>, name(k="v"), name{"k": "v"}

Only tools that the request offered are recognised, and only at the very end of the text: prose that
talks about the markup stays prose. All blocks are understood, or none is taken.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from glm_agent.messages import JsonObject, ToolSpec
from glm_agent.wire import jsontext
from glm_agent.wire.jsontext import an_array, an_object

_OPEN = "<tool_call>"
_BLOCK = re.compile(r"<tool_call>((?:(?!</?tool_call>).)*)(</tool_call>|\Z)", re.DOTALL)
_PAIR = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL)
_STRAY = re.compile(r"(?:\s|</?(?:tool_call|arg_value|arg_key)>)*")
_NAME = re.compile(r"\s*([a-zA-Z0-9_-]+)")


class Rescued(NamedTuple):
    """A call found in the text."""

    name: str
    arguments: str
    """JSON text of an object."""


def rescue(text: str, tools: Mapping[str, ToolSpec]) -> tuple[str, tuple[Rescued, ...]]:
    """The text without the markup at its end, and the calls that the markup meant; none: the text as it is."""
    blocks = _last_blocks(text)
    calls = [_parse(block[1], tools, is_closed=block[2] != "") for block in blocks]
    whole = tuple(call for call in calls if call is not None)
    if not calls or len(whole) < len(calls):
        return text, ()
    return text[: blocks[0].start()].rstrip(), whole


def split_name(name: str, arguments: str, tools: Mapping[str, ToolSpec]) -> tuple[str, str]:
    """Name and arguments of a call whose name swallowed markup; what is not certain stays as it is.

    Whole pairs are the arguments, for every tool. A stray mark beside the arguments may mean that some of
    them are lost: it is cut off for ``read`` tools only.

    Source: zai-org/GLM-5#84 (2026-06), fw-ai-external/python-sdk#119 (2026-07).
    """
    clean, opened, rest = name.removeprefix(_OPEN).partition("<")
    tool = tools.get(clean.strip())
    if tool is None or name in tools:
        return name, arguments
    marks = (opened + rest).removesuffix("</tool_call>")
    if marks.startswith("<arg_key>") and arguments.strip() in ("", "{}"):
        pairs = _pairs(marks, tool)
        return (name, arguments) if pairs is None else (tool.name, jsontext.dumps(pairs).decode())
    return (tool.name, arguments) if tool.effect == "read" and _STRAY.fullmatch(marks) else (name, arguments)


def _last_blocks(text: str) -> list[re.Match[str]]:
    """The run of blocks, with nothing but space between them, that reaches to the end of the text."""
    if _OPEN not in text:
        return []
    run: list[re.Match[str]] = []
    begin = len(text)
    for block in reversed(list(_BLOCK.finditer(text))):
        if text[block.end() : begin].strip():
            break
        run.insert(0, block)
        begin = block.start()
    return run


def _parse(body: str, tools: Mapping[str, ToolSpec], *, is_closed: bool) -> Rescued | None:
    named = _NAME.match(body)
    if body.lstrip().startswith("{"):
        return _from_object(body, tools)
    if named is None or named[1] not in tools:
        return None
    name, rest = named[1], body[named.end() :].strip()
    if not rest and not is_closed:
        return None
    arguments = _arguments(rest, tools[name])
    return None if arguments is None else Rescued(name, jsontext.dumps(arguments).decode())


def _from_object(body: str, tools: Mapping[str, ToolSpec]) -> Rescued | None:
    value = _object(body)
    if value is None or value.get("name") not in tools:
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _object(arguments or "{}")
    return Rescued(value["name"], jsontext.dumps(arguments).decode()) if isinstance(arguments, dict) else None


def _arguments(text: str, tool: ToolSpec) -> JsonObject | None:
    if not text:
        return {}
    if text.startswith("<arg_key>"):
        return _pairs(text, tool)
    if text.startswith("{"):
        return _object(text)
    if text.startswith("(") and text.endswith(")"):
        inner = text[1:-1].strip()
        return _object(inner) if inner.startswith("{") else _keywords(inner)
    return None


def _pairs(text: str, tool: ToolSpec) -> JsonObject | None:
    found: JsonObject = {}
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        key, at = pair[1].strip(), pair.end()
        found[key] = _value(pair[2], tool, key)
    return found


def _value(text: str, tool: ToolSpec, key: str) -> Any:
    """The template writes strings bare and everything else as JSON: the tool's schema tells which."""
    types = _types(an_object(tool.parameters.get("properties")).get(key))
    if "string" in types and not (text == "null" and "null" in types):
        return text
    try:
        return jsontext.loads(text)
    except ValueError:
        return text


def _types(schema: Any) -> set[str]:
    """The JSON types that a schema names, also in ``anyOf``; an enumeration of strings counts as one."""
    known = an_object(schema)
    named, words = known.get("type"), an_array(known.get("enum"))
    types = {named} if isinstance(named, str) else {str(name) for name in an_array(named)}
    if words and all(isinstance(word, str) for word in words):
        types.add("string")
    return types.union(*(_types(choice) for choice in an_array(known.get("anyOf"))))


def _keywords(text: str) -> JsonObject | None:
    """``k="v", n=1`` as Python would read it; literals only."""
    try:
        call = ast.parse(f"_({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or isinstance(call.func, ast.Call):
            return None
        found = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords if word.arg}
        return _object(jsontext.dumps(found).decode())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _object(text: str) -> JsonObject | None:
    try:
        value = jsontext.loads(text.strip())
    except ValueError:
        return None
    return cast("JsonObject", value) if isinstance(value, dict) else None
