"""The simulated service's rules about ``messages``: roles, contents, calls and their results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from glm_agent.simulate.json_values import is_array, is_object
from glm_agent.simulate.service_rules import Asked, Rule

ROLES: dict[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "reasoning_content", "audio"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
"""Each role and the keys of its messages."""

_PARTS = {"image_url": "url", "video_url": "url", "file_url": "url", "input_audio": "data"}
_HOSTED = ("web_search", "retrieval", "mcp", "code_interpreter", "drawing_tool", "web_browser")
_MOST_PARTS = 50
_MOST_PICTURE_BYTES = 5 * 2**20


def _shape(asked: Asked) -> Iterator[str]:
    if not asked.messages:
        yield "The parameter 'messages' is illegal: it must not be empty"
    for at, message in enumerate(asked.messages):
        if not is_object(message):
            yield f"messages[{at}] is illegal: it must be an object"
        elif not isinstance(message.get("role"), str) or message["role"] not in ROLES:
            yield f"messages[{at}].role is illegal: it must be one of {', '.join(ROLES)}"


def _keys(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        known = ROLES[message["role"]]
        yield from (
            f"Unknown parameter 'messages[{at}].{key}'"
            for key, value in message.items()
            if key not in known and value is not None
        )


def _user(asked: Asked) -> Iterator[str]:
    if not any(message["role"] == "user" for message in asked.messages):
        yield "The parameter 'messages' is illegal: there must be a user message"


def _contents(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            yield f"messages[{at}].content is illegal: it must be a string"
        elif message["role"] in ("system", "tool") and content is None:
            yield f"messages[{at}].content was not received"
        elif message["role"] in ("system", "user") and not content:
            yield f"messages[{at}].content is illegal: it must not be empty"
        if not isinstance(message.get("reasoning_content") or "", str):
            yield f"messages[{at}].reasoning_content is illegal: it must be a string"


def _types(asked: Asked) -> Iterator[str]:
    """Only a user message to a model that sees may hold other parts than text."""
    for at, message in enumerate(asked.messages):
        known = asked.facts.parts if message["role"] == "user" else frozenset({"text"})
        for part in _parts(message):
            kind = part.get("type") if is_object(part) else None
            if not isinstance(kind, str) or kind not in known:
                yield f"messages[{at}].content.type is illegal: {kind!r} is none of {sorted(known)}"


def _part_fields(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        for part in _parts(message):
            kind = part["type"]
            if kind == "text":
                value = part.get("text")
            else:
                holder = part.get(kind)
                value = holder.get(_PARTS[kind]) if is_object(holder) else None
            if not isinstance(value, str):
                yield f"messages[{at}].content: a part of type '{kind}' lacks its value"
            elif not value:
                yield f"messages[{at}].content: a part of type '{kind}' is empty"
        if len(_parts(message)) > _MOST_PARTS + 1:
            yield f"messages[{at}].content has more than {_MOST_PARTS} parts"


def _pictures(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        urls = [part["image_url"]["url"] for part in _parts(message) if part["type"] == "image_url"]
        if len(urls) > asked.facts.most_pictures:
            yield f"messages[{at}].content has {len(urls)} images: at most {asked.facts.most_pictures}"
        for data in (url.rpartition(",")[2] for url in urls if not url.startswith(("http://", "https://"))):
            if asked.facts.only_links:
                yield f"messages[{at}].content: this model takes images as links only"
            elif len(data) * 3 // 4 - data[-2:].count("=") > _MOST_PICTURE_BYTES:
                yield f"messages[{at}].content: an image is larger than 5 MB"


def _links(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        for part in _parts(message):
            kind = part["type"]
            if kind in ("video_url", "file_url") and not part[kind]["url"].startswith(("http://", "https://")):
                yield f"messages[{at}].content: a part of type '{kind}' must be a link"


def _sounds(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        for part in _parts(message):
            if part["type"] == "input_audio" and part["input_audio"].get("format") not in ("wav", "mp3"):
                yield f"messages[{at}].content: input_audio.format must be 'wav' or 'mp3'"


def _exclusive(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        kinds = {part["type"] for part in _parts(message)}
        if "file_url" in kinds and kinds & {"image_url", "video_url"}:
            yield f"messages[{at}].content: files cannot stand beside images or videos"


def _assistant(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        if message["role"] == "assistant" and not (
            message.get("content") or message.get("tool_calls") or message.get("audio")
        ):
            yield f"messages[{at}]: content and tool_calls cannot both be empty"


def _calls(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        calls = message.get("tool_calls")
        if calls is not None and not is_array(calls):
            yield f"messages[{at}].tool_calls is illegal: it must be an array"
            return
        for number, call in enumerate(calls or ()):
            yield from (f"messages[{at}].tool_calls[{number}]{sentence}" for sentence in _call(call))


def _call(call: Any) -> Iterator[str]:
    if not is_object(call):
        yield " is illegal: it must be an object"
    elif call.get("type", "function") in _HOSTED:
        return
    elif call.get("type", "function") != "function":
        yield f".type is illegal: {call['type']!r} is none of function, {', '.join(_HOSTED)}"
    elif not isinstance(call.get("id"), str) or not call["id"]:
        yield ".id was not received"
    elif not is_object(call.get("function")) or not isinstance(call["function"].get("name"), str):
        yield ".function.name was not received"
    elif not isinstance(call["function"].get("arguments"), str):
        yield ".function.arguments is illegal: it must be a JSON string"


def _arguments(asked: Asked) -> Iterator[str]:
    for at, message in enumerate(asked.messages):
        for number, call in enumerate(_functions(message)):
            try:
                is_object = isinstance(json.loads(call["function"]["arguments"]), dict)
            except (ValueError, RecursionError):
                is_object = False
            if not is_object:
                yield f"messages[{at}].tool_calls[{number}].function.arguments is not a JSON object"


def _results(asked: Asked) -> Iterator[str]:
    """Every call has one result, and every result a call, before anybody else speaks."""
    opened: Counter[str] = Counter()
    for at, message in enumerate(asked.messages):
        if message["role"] == "tool":
            call_id = message.get("tool_call_id")
            if not isinstance(call_id, str) or not opened[call_id]:
                yield f"messages[{at}].tool_call_id is illegal: no open call has the id {call_id!r}"
                return
            opened[call_id] -= 1
            continue
        yield from _still_open(opened, at)
        opened = Counter(call["id"] for call in _functions(message))
    yield from _still_open(opened, len(asked.messages))


def _still_open(opened: Counter[str], at: int) -> Iterator[str]:
    yield from (f"messages[{at}]: the call {call_id!r} before it has no tool message" for call_id in +opened)


def _parts(message: dict[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if is_array(content) else []


def _functions(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [call for call in message.get("tool_calls") or () if call.get("type", "function") == "function"]


MESSAGE_RULES: tuple[Rule, ...] = (
    Rule("messages.shape", "a list of messages with known roles", "OpenAPI", 400, "1214", _shape),
    Rule("messages.user", "there is a user message", "OpenAPI", 400, "1214", _user),
    Rule("messages.keys", "no key that is in no schema", "OpenAPI; reports of 1210", 400, "1210", _keys),
    Rule("messages.content", "contents are there, and not empty", "OpenAPI; MetaGLM sdk#14", 400, "1214", _contents),
    Rule("parts.type", "pictures only from users, to models that see", "CodexPlusPlus#1760", 400, "1210", _types),
    Rule("parts.value", "each part has its value", "OpenAPI; codegraff#812", 400, "1210", _part_fields),
    Rule("parts.images", "images: number by model, 5 MB each", "OpenAPI", 400, "1210", _pictures),
    Rule("parts.links", "videos and files are links", "OpenAPI", 400, "1210", _links),
    Rule("parts.sound", "sounds are wav or mp3", "OpenAPI (glm-4-voice)", 400, "1210", _sounds),
    Rule("parts.exclusive", "files stand alone", "OpenAPI", 400, "1215", _exclusive),
    Rule("assistant.empty", "an assistant message says or calls something", "one-api#1153", 400, "1214", _assistant),
    Rule("calls.shape", "calls have id, name and arguments as a string", "OpenAPI", 400, "1214", _calls),
    Rule("calls.arguments", "arguments in the history are JSON", "crush#1237", 400, "1210", _arguments),
    Rule("calls.results", "one result for each call, directly after it", "OpenAPI", 400, "1210", _results),
)
