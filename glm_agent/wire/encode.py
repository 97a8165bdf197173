"""A ``ModelRequest`` -> the bytes of the request's body.

The body is joined from bytes made once per message and per tool, and forgotten with them: a long history
costs next to nothing per request, and what was sent once is sent the same way ever after, so that
the provider's prompt cache holds. ``request_id``, new with every attempt, is the last field.

What servers refuse is mended or refused here. Source: docs.bigmodel.cn, 2026-07-11, and the issues named below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple
from weakref import ref

from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    ModelRequest,
    ModelResponse,
    Part,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
    VideoPart,
)
from glm_agent.wire.attachments import fault_of, fault_of_all
from glm_agent.wire.capabilities import Capabilities, Modality
from glm_agent.wire.dialects import DIALECTS, Dialect, canonical_name
from glm_agent.wire.jsontext import an_object, as_object, dumps
from glm_agent.wire.settings import settings_fields

TOOL_LIMIT = 128
"""Functions in one request."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_MODALITIES: dict[str, Modality] = {"image": "image", "video": "video", "file": "file", "audio": "audio"}

# Texts for places that must not be empty: a server answers 1210, 1213 or 1214 to such a history for ever after.
# Sources: pi#3365, one-api#1153, codegraff#812, MetaGLM sdk#14.
_NO_TEXT = "(no text)"
_SEE_ATTACHMENT = "(see the attachment)"
_NO_OUTPUT = "(no output)"
_GO_ON = "Go on."
_NO_ANSWER = "\n"  # What GLM up to 4.7 itself puts where it says nothing.


def encode_request(
    request: ModelRequest,
    *,
    model: str = "",
    capabilities: Capabilities | None = None,
    dialect: Dialect | None = None,
    stream: bool = True,
    request_id: str = "",
) -> bytes:
    """The body of ``POST …/chat/completions``.

    ``model`` is the id as the host spells it, where it is not the request's.
    ``request_id`` (6 to 64 characters) goes to Zhipu's own servers only; empty: the body without it, byte for
    byte. Raises ``ConfigurationError`` on what the model cannot take: a part, a setting, too many tools.
    """
    dialect = dialect or DIALECTS["zai"]
    parts = encode_parts(request, model=model, capabilities=capabilities, dialect=dialect, stream=stream)
    return parts.joined(request_id if dialect.is_native else "")


class BodyParts(NamedTuple):
    """The body of a request before it is joined."""

    settings: bytes
    """Every field before the tools, without the closing brace."""
    tools: bytes
    """The entries of ``tools``; empty: no such field."""
    messages: list[bytes]

    def joined(self, request_id: str = "") -> bytes:
        """The body, with a ``request_id`` where one is given."""
        before = [self.settings]
        if self.tools:
            before += [b',"tools":[', self.tools, b"]"]
        after = b',"request_id":%b}' % dumps(request_id) if request_id else b"}"
        messages = self.messages.copy()
        # Joined once: a second copy of half a megabyte costs ten times as much as the first.
        messages[0] = b"".join([*before, b',"messages":[', messages[0]])
        messages[-1] += b"]" + after
        return b",".join(messages)


def encode_parts(
    request: ModelRequest,
    *,
    model: str = "",
    capabilities: Capabilities | None = None,
    dialect: Dialect | None = None,
    stream: bool = True,
) -> BodyParts:
    """What ``encode_request`` joins."""
    capabilities, dialect = capabilities or Capabilities(), dialect or DIALECTS["zai"]
    model = model or request.model
    writer = _writer(model, capabilities, dialect)
    fields: JsonObject = {"model": model, "stream": stream}
    fields |= settings_fields(
        request.settings,
        model=model,
        capabilities=capabilities,
        dialect=dialect,
        has_tools=bool(request.tools) and stream,
    )
    if not stream:
        fields.pop("stream_options", None)
    hosted = request.settings.hosted_tools if dialect.is_native else ()
    tools = b",".join(filter(None, [writer.tools(request.tools), *map(dumps, hosted)]))
    return BodyParts(dumps(fields)[:-1], tools, writer.messages(request.instructions, request.messages))


class _Made(ref[Any]):
    """Bytes, and what they were made of. One object: thousands of them live beside each other."""

    __slots__ = ("key", "text")

    key: int
    text: bytes


class _BytesOnce:
    """Bytes made once per object and forgotten with it.

    By identity, because what is in a history holds dicts and cannot be hashed; comparing would cost more than
    making the bytes again.
    """

    __slots__ = ("_forget", "_kept", "_make")

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        self._make = make
        kept = self._kept = dict[int, _Made]()
        self._forget: Callable[[_Made], object] = lambda made: kept.pop(made.key, None)

    def __call__(self, thing: Any) -> bytes:
        made = self._kept.get(id(thing))
        return made.text if made is not None and made() is thing else self._new(thing)

    def each(self, things: Iterable[Any]) -> list[bytes]:
        """The bytes of many; this line is what a long history costs."""
        get, new = self._kept.get, self._new
        return [made.text if (made := get(id(thing))) and made() is thing else new(thing) for thing in things]

    def _new(self, thing: Any) -> bytes:
        made = _Made(thing, self._forget)
        made.key, made.text = id(thing), self._make(thing)
        self._kept[made.key] = made
        return made.text


class _Writer:
    """Writes messages for one model at one host."""

    def __init__(self, model: str, capabilities: Capabilities, dialect: Dialect) -> None:
        self._model, self._capabilities, self._dialect = model, capabilities, dialect
        self._message = _BytesOnce(self._write)
        self._attachments = _BytesOnce(self._write_attachments)
        self._has_attachments = False
        """Whether any result so far had parts that this model reads."""
        self._offered: tuple[tuple[ToolSpec, ...], bytes] = (), b""

    def tools(self, tools: Sequence[ToolSpec]) -> bytes:
        """Joined; kept for the next request, which nearly always offers the same."""
        before, joined = self._offered
        if len(tools) != len(before) or not all(map(is_, tools, before)):
            if len(tools) > TOOL_LIMIT:
                raise ConfigurationError(
                    f"{len(tools)} tools are offered, and model '{self._model}' takes at most {TOOL_LIMIT}: offer "
                    "fewer, for example by a filter on the MCP servers"
                )
            joined = b",".join(_tool.each(tools))
            self._offered = tuple(tools), joined  # at once: other threads use this writer too
        return joined

    def messages(self, instructions: str, history: Sequence[Message]) -> list[bytes]:
        written = [_system(instructions)] if instructions.strip() else []
        if not history or not isinstance(history[0], UserMessage):
            # A request needs a user message (1214). Told by the first one alone, so that the prefix only grows.
            written.append(_user(_GO_ON))
        pieces = self._message.each(history)
        return written + (self._with_attachments(history, pieces) if self._has_attachments else pieces)

    def _with_attachments(self, history: Sequence[Message], pieces: Sequence[bytes]) -> list[bytes]:
        """The parts of tool results follow behind the last result of a step."""
        written, held = list[bytes](), list[bytes]()
        for said, piece in zip(history, pieces, strict=True):
            if held and not isinstance(said, ToolResult):
                written += held
                held = []
            written.append(piece)
            if isinstance(said, ToolResult) and said.attachments and (attachments := self._attachments(said)):
                held.append(attachments)
        return written + held

    def _write(self, message: Message) -> bytes:
        match message:
            case UserMessage():
                return self._write_user(message)
            case ModelResponse():
                return self._write_response(message)
            case ToolResult():
                return self._write_result(message)

    def _write_user(self, message: UserMessage) -> bytes:
        if not message.attachments:
            return _user(message.text if message.text.strip() else _NO_TEXT)
        for part in message.attachments:
            if not self._reads(part):
                raise ConfigurationError(
                    f"model '{self._model}' cannot read the {part.kind} in the user's message: use a model that can, "
                    "or put its content into words"
                )
        if len({isinstance(part, FilePart) for part in message.attachments}) > 1:
            raise ConfigurationError(
                f"model '{self._model}' reads files or pictures, not both in one message: send them in two messages"
            )
        if self._dialect.is_native and (fault := self._fault(message.attachments)):
            raise ConfigurationError(f"an attachment of the user's message cannot be sent to '{self._model}': {fault}")
        return _user_parts(message.attachments, message.text if message.text.strip() else _SEE_ATTACHMENT)

    def _write_response(self, response: ModelResponse) -> bytes:
        content = response.text
        fields: JsonObject = {"role": "assistant", "content": content}
        if response.reasoning and self._is_own(response):
            details = an_object(response.extra.get("message")).get("reasoning_details")
            if details and self._dialect.spelling == "openrouter":
                fields["reasoning_details"] = details
            elif self._dialect.reasoning_field == "think_tag":
                fields["content"] = f"<think>{response.reasoning}</think>{content}"
            else:
                fields[self._dialect.reasoning_field] = response.reasoning
        if response.tool_calls:
            fields["tool_calls"] = [_call(call) for call in response.tool_calls]
        elif response.audio and (audio_id := response.audio.get("id")) and self._dialect.is_native:
            fields["audio"] = {"id": audio_id}
        elif not fields["content"]:
            fields["content"] = _NO_ANSWER
        return dumps(fields)

    def _write_result(self, result: ToolResult) -> bytes:
        content = result.content if result.content.strip() else "" if result.attachments else _NO_OUTPUT
        # A tool's message takes text only (command-code#795): the parts follow in a user message, or are named.
        notes = [
            f"[{part.kind}: see the next user message]"
            if self._takes(part)
            else f"[{part.kind} left out: model '{self._model}' cannot read it]"
            for part in result.attachments
        ]
        self._has_attachments = self._has_attachments or any(map(self._takes, result.attachments))
        text = "\n".join([content, *notes]) if content else "\n".join(notes)
        return dumps({"role": "tool", "tool_call_id": result.call_id, "content": text})

    def _write_attachments(self, result: ToolResult) -> bytes:
        readable = [part for part in result.attachments if self._takes(part)][: self._capabilities.max_images]
        files = [part for part in readable if isinstance(part, FilePart)]
        others = [part for part in readable if not isinstance(part, FilePart)]
        text = f"(from the result of the tool call '{result.call_id}')"
        return b",".join(_user_parts(parts, text) for parts in (files, others) if parts)

    def _fault(self, parts: Sequence[Part]) -> str:
        faults = (fault_of(part, self._capabilities) for part in parts)
        return next(filter(None, faults), "") or fault_of_all(parts, self._capabilities)

    def _reads(self, part: Part) -> bool:
        return self._capabilities.reads(_MODALITIES[part.kind])

    def _takes(self, part: Part) -> bool:
        """Whether a part of a tool's result can be sent on."""
        return self._reads(part) and not (self._dialect.is_native and fault_of(part, self._capabilities))

    def _is_own(self, response: ModelResponse) -> bool:
        """Whether this model wrote the response: another one's thinking does it no good."""
        return not response.model or canonical_name(response.model) == canonical_name(self._model)


@lru_cache(maxsize=64)
def _writer(model: str, capabilities: Capabilities, dialect: Dialect) -> _Writer:
    return _Writer(model, capabilities, dialect)


@lru_cache(maxsize=64)
def _system(instructions: str) -> bytes:
    return dumps({"role": "system", "content": instructions})


def _user(text: str) -> bytes:
    return dumps({"role": "user", "content": text})


def _user_parts(parts: Iterable[Part], text: str) -> bytes:
    content = [*map(_part, parts), {"type": "text", "text": text}]
    return dumps({"role": "user", "content": content})


def _part(part: Part) -> JsonObject:
    match part:
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url}}
        case VideoPart():
            return {"type": "video_url", "video_url": {"url": part.url}}
        case FilePart():
            return {"type": "file_url", "file_url": {"url": part.url}}
        case AudioPart():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _call(call: ToolCall) -> JsonObject:
    # Broken arguments or a name with foreign characters would make every later request fail (crush#1237).
    name = call.name if _NAME.fullmatch(call.name) else _sendable(call.name)
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": as_object(call.arguments)}}


def _sendable(name: str) -> str:
    """A name that the wire takes: without the markup that ran into it, which the model would imitate."""
    before = name.strip().removeprefix("<tool_call>").partition("<")[0].strip()
    return _FOREIGN.sub("_", before or name)[:64] or "unnamed"


def _write_tool(tool: ToolSpec) -> bytes:
    if not _NAME.fullmatch(tool.name):
        raise ConfigurationError(
            f"the tool's name '{tool.name}' is none that GLM accepts: 1 to 64 letters, digits, '_' and '-'"
        )
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return dumps({"type": "function", "function": function})


_tool = _BytesOnce(_write_tool)
