"""Chunks of a chat completion -> deltas, and at the end one ``ModelResponse``.

Knows the fields of GLM's answers and the ways in which GLM and its other hosts bend them. Every field may
be missing or null. Knows no bytes on sockets, no clock, no retries: what is wrong is raised as an
error that says whether trying again may help.

One stream can hold two generations: the server starts anew under another id and cuts the first one's last
frame (zai-org/GLM-5#66). Then everything before is void, ``Restarted`` says so, and the new one counts
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from glm_agent.errors import ModelProtocolError
from glm_agent.messages import (
    JsonObject,
    ModelResponse,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallReady,
    ToolSpec,
    Usage,
)
from glm_agent.wire import jsontext, sse
from glm_agent.wire.calls import CallAssembler
from glm_agent.wire.failure import failure, is_failure
from glm_agent.wire.jsontext import an_array, an_object
from glm_agent.wire.markup import rescue

ANSWER_LIMIT = 32 * 2**20
"""Characters of one answer, thinking and arguments included; an endless stream ends here."""
RESTART_LIMIT = 3
"""Generations that may be thrown away in one stream; a host that names every chunk anew exceeds it."""

_LIST_FIELDS = frozenset({"web_search", "video_result", "content_filter"})
_DONE = b"[DONE]"
_ID = re.compile(r'\{\s*"id"\s*:\s*"([^"]+)"')
_CONSTANT = frozenset({"id", "created", "object", "model", "choices"})
"""What every chunk repeats: read once."""
_QUIET = _CONSTANT | _LIST_FIELDS | {"usage", "request_id"}
_FAILED = frozenset({"sensitive", "network_error", "model_context_window_exceeded", "length"})
_COMPLETE = frozenset({"stop", "tool_calls"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Restarted:
    """The server began again within the stream: everything decoded before is void."""

    reason: str


Decoded: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | ToolCallReady | Restarted


def decode_body(body: JsonObject, *, tools: Sequence[ToolSpec] = (), request_id: str = "") -> ModelResponse:
    """The response in a body that came without streaming; raises as ``ResponseDecoder`` does."""
    decoder = ResponseDecoder(tools=tools, request_id=request_id)
    decoder.receive(body)
    return decoder.finish()


class ResponseDecoder:
    """Decodes one answer: ``feed`` it bytes of the stream (or ``receive`` chunks), then ``finish``.

    ``tools`` are those of the request: markup that a host left in the text becomes a call only when it
    names one of them. Raises ``ModelProtocolError`` on broken frames, and what ``failure`` makes
    of an error inside the stream.
    """

    def __init__(self, *, tools: Sequence[ToolSpec] = (), request_id: str = "", secrets: Sequence[str] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._request_id = request_id
        self._secrets = secrets
        self._events = sse.Decoder()
        self._answer = _Answer(self._tools)
        self._restarts = 0
        self.received = 0
        """Chunks received so far."""
        self.is_done = False
        """Whether ``[DONE]`` came; what follows it is not read."""
        self.warnings: list[str] = []
        """What was odd and could be mended, for people."""

    @property
    def is_finished(self) -> bool:
        """Whether a ``finish_reason`` came, so that the answer is complete although the stream may go on."""
        return self._answer.finish_reason != "" and not self._answer.broken

    def feed(self, data: bytes) -> Iterator[Decoded]:
        """What these bytes of an event stream add."""
        for event in self._events.feed(data):
            yield from self.decode(event)

    def close(self) -> Iterator[Decoded]:
        """What the end of the stream adds."""
        for event in self._events.close():
            yield from self.decode(event)

    def decode(self, event: sse.ServerSentEvent) -> list[Decoded]:
        """What one event adds."""
        name, data = event
        if self.is_done:
            return []
        try:
            chunk = jsontext.loads(data)
        except ValueError:
            return self._decode_oddity(name, data)
        if not isinstance(chunk, dict):
            return []
        return self.receive(cast("JsonObject", chunk), is_error=name == "error")

    def receive(self, chunk: JsonObject, *, is_error: bool = False) -> list[Decoded]:
        """What one chunk, or one whole body, adds."""
        if is_error or "error" in chunk or "choices" not in chunk:
            self._raise_failure(chunk, is_error=is_error)
        self.received += 1
        found: list[Decoded] = []
        answer = self._answer
        choices = an_array(chunk.get("choices"))
        chunk_id = chunk.get("id")
        if choices and chunk_id and chunk_id != answer.id:
            if answer.id:
                found.append(self._restart(chunk_id))
                answer = self._answer
            answer.id = str(chunk_id)
        if answer.broken:
            raise _protocol_error(f"a frame of the stream is no JSON: {answer.broken!r}", self._request_id)
        if not (answer.model and chunk.keys() <= _CONSTANT):
            answer.keep(chunk)
        if choices:
            answer.choose(an_object(choices[0]), found)
        return found

    def finish(self) -> ModelResponse:
        """The whole response; ``ModelProtocolError`` when the stream ended before it was complete."""
        answer = self._answer
        if answer.broken:
            raise _protocol_error(f"a frame of the stream is no JSON: {answer.broken!r}", self._request_id)
        if not answer.finish_reason:
            raise _protocol_error("the answer ended before it was complete: no finish_reason came", self._request_id)
        response = answer.response(self._request_id)
        if response.finish_reason == "stop" and not response.tool_calls:
            response = self._rescued(response)
        return response

    def _decode_oddity(self, name: str, data: bytes) -> list[Decoded]:
        text = data.strip()
        if text == _DONE:
            self.is_done = True
            return []
        if name == "error":
            raise failure(status_code=200, body=text, request_id=self._request_id, secrets=self._secrets)
        if not text or name not in ("", "message"):
            return []
        found: list[Decoded] = []
        for piece in _pieces(text):
            if piece is None:
                self._answer.break_off(text)
            else:
                found += self.decode(sse.ServerSentEvent("", piece))
        return found

    def _raise_failure(self, chunk: JsonObject, *, is_error: bool) -> None:
        if is_error or is_failure(chunk):
            raise failure(status_code=200, body=chunk, request_id=self._request_id, secrets=self._secrets)

    def _restart(self, chunk_id: Any) -> Restarted:
        self._restarts += 1
        if self._restarts > RESTART_LIMIT:
            raise ModelProtocolError(
                "the server began its answer anew again and again, each time under another id",
                request_id=self._request_id,
            )
        old, self._answer = self._answer.id, _Answer(self._tools)
        return Restarted(reason=f"the server began its answer anew within the stream ('{old}', then '{chunk_id}')")

    def _rescued(self, response: ModelResponse) -> ModelResponse:
        """The response with the calls that the host left as markup at the end of the text, or of the thinking."""
        text, found = rescue(response.text, self._tools)
        if not found and not response.text.strip():
            _, found = rescue(response.reasoning, self._tools)
        if not found:
            return response
        names = ", ".join(repr(call.name) for call in found)
        self.warnings.append(f"tool calls were found as markup in the model's text and taken out of it: {names}")
        calls = (ToolCall(id=f"call_{i}", name=call.name, arguments=call.arguments) for i, call in enumerate(found))
        return replace(response, text=text, tool_calls=tuple(calls))


class _Answer:
    """One generation, as far as it came."""

    __slots__ = (
        "_audio",
        "_calls",
        "_fields",
        "_reasoning",
        "_size",
        "_text",
        "broken",
        "finish_reason",
        "id",
        "model",
    )

    def __init__(self, tools: dict[str, ToolSpec]) -> None:
        self.id = ""
        self.model = ""
        self.finish_reason = ""
        self.broken = ""
        """The beginning of a frame that is no JSON; only a new generation can mend it."""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._size = 0
        self._calls = CallAssembler(tools)
        self._fields: JsonObject = {}
        self._audio: JsonObject = {}

    def break_off(self, frame: bytes) -> None:
        """Note a frame that is no JSON; cut or not, it says which generation it belonged to."""
        self.broken = frame[:200].decode("utf-8", "replace")
        if not self.id and (found := _ID.match(self.broken)):
            self.id = found[1]

    def keep(self, chunk: JsonObject) -> None:
        """Remember the fields beside ``choices``; lists grow, of the rest the last word counts."""
        for key, value in chunk.items():
            if key in _LIST_FIELDS:
                self._extend(key, an_array(value))
            elif key != "choices" and value is not None:
                self._fields[key] = value
        self.model = _word(self._fields.get("model"))

    def choose(self, choice: JsonObject, found: list[Decoded]) -> None:
        """Add what a choice brings; every key of a delta is read, some chunks hold several."""
        delta = an_object(choice.get("delta")) or _with_positions(an_object(choice.get("message")))
        if delta:
            self._add(delta, found)
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            if self.finish_reason not in _FAILED:
                self.finish_reason = reason
            if self.finish_reason in _COMPLETE:
                found.extend(self._calls.complete())

    def response(self, request_id: str) -> ModelResponse:
        fields = self._fields
        return ModelResponse(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=self._calls.calls(),
            finish_reason=self.finish_reason,
            usage=_usage(fields.get("usage")),
            model=self.model,
            id=self.id or _word(fields.get("id")),
            request_id=_word(fields.get("request_id")) or request_id,
            created=_count(fields.get("created")),
            hosted_calls=tuple(self._calls.hosted),
            web_search=tuple(fields.get("web_search", ())),
            video_result=tuple(fields.get("video_result", ())),
            content_filter=tuple(fields.get("content_filter", ())),
            audio=self._audio or None,
            extra={key: value for key, value in fields.items() if key not in _QUIET},
        )

    def _add(self, delta: JsonObject, found: list[Decoded]) -> None:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning and (text := _words(reasoning)):
            self._reasoning.append(text)
            self._measure(text)
            found.append(ReasoningDelta(text=text))
        content = delta.get("content")
        if content and (text := _words(content)):
            self._text.append(text)
            self._measure(text)
            found.append(TextDelta(text=text))
        if entries := delta.get("tool_calls"):
            for event in self._calls.receive(entries):
                if isinstance(event, ToolCallDelta):
                    self._measure(event.arguments)
                found.append(event)
        if audio := delta.get("audio"):
            self._audio.update(an_object(audio))

    def _extend(self, key: str, items: list[Any]) -> None:
        kept: list[Any] = self._fields.setdefault(key, [])
        new = [item for item in map(an_object, items) if item]
        # Some servers send the same list again in the last chunk.
        if new and kept[-len(new) :] != new:
            kept += new

    def _measure(self, text: str) -> None:
        self._size += len(text)
        if self._size > ANSWER_LIMIT:
            raise ModelProtocolError(f"the answer is longer than {ANSWER_LIMIT // 2**20} Mi characters")


def _protocol_error(message: str, request_id: str) -> ModelProtocolError:
    return ModelProtocolError(message, request_id=request_id, is_retryable=True)


def _pieces(text: bytes) -> Iterator[bytes | None]:
    """The JSON texts in data that is none as a whole; None where one is broken.

    Some hosts forget the blank line between events; and a second generation cuts the first one's
    frame anywhere: ``{"id":"A","object":"chat.cdata: {"id":"B",…}``.
    """
    for line in map(bytes.strip, text.split(b"\n")):
        if line in (b"", _DONE) or _is_json(line):
            yield line
        else:
            yield None
            yield next(filter(_is_json, _inner(line)), b"")


def _inner(line: bytes) -> Iterator[bytes]:
    """What may be a frame within a broken one; a few tries, since a frame is cut once."""
    at = 0
    for _ in range(8):
        at = line.find(b"data:", at) + 5
        if at < 5:
            return
        yield line[at:].strip()


def _is_json(text: bytes) -> bool:
    try:
        jsontext.loads(text)
    except ValueError:
        return False
    return True


def _with_positions(message: JsonObject) -> JsonObject:
    """A whole message, its calls numbered by place: they come complete, whatever their index says."""
    entries = an_array(message.get("tool_calls"))
    return {**message, "tool_calls": [{**an_object(entry), "index": i} for i, entry in enumerate(entries)]}


def _words(value: Any) -> str:
    """Text that came as a string or, from vision models, as an array of parts."""
    if isinstance(value, str):
        return value
    parts = (an_object(part).get("text") for part in an_array(value))
    return "".join(part for part in parts if isinstance(part, str))


def _usage(value: Any) -> Usage:
    """GLM counts cached tokens within the prompt and reasoning within the completion."""
    usage = an_object(value)
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
