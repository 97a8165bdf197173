"""An answer as the bytes that a GLM server sends: one body, or the chunks of a stream.

Written from recordings of the native service (docs.z.ai, captures of 2025-09 to 2026-09), apart from our own decoder:
``finish_reason`` is absent until the last chunk, ``role`` stands in every text delta and in no call's, usage rides on
the finish chunk, a call comes whole unless ``tool_stream`` was asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from glm_agent.messages import ToolCall
from glm_agent.simulate.answer import Answer
from glm_agent.simulate.json_values import JsonObject
from glm_agent.simulate.tokens import pieces

DONE = b"data: [DONE]\n\n"
_MORNING = datetime(2026, 11, 22, tzinfo=timezone(timedelta(hours=8)))
"""The simulated clock starts here, in the service's time zone; a reply's place in the day is drawn from its digest."""
_WITHOUT_USAGE = ("network_error", "model_context_window_exceeded")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Everything that the bytes are made of."""

    answer: Answer
    digest: str
    """Hex digits from which id, time and call ids are drawn."""
    model: str
    request_id: str = ""
    """As the client chose it; empty: the reply's id."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    in_fragments: bool = False
    """Whether ``tool_stream`` was asked for."""

    @property
    def created(self) -> int:
        return int(self._moment.timestamp())

    @property
    def id(self) -> str:
        """14 digits of time, 16 hex digits."""
        return self._moment.strftime("%Y%m%d%H%M%S") + self.digest[:16]

    @property
    def _moment(self) -> datetime:
        return _MORNING + timedelta(seconds=int(self.digest[16:24], 16) % 86_400)

    @property
    def usage(self) -> JsonObject | None:
        """Counted figures, or those that the scenario gives; failed generations have none."""
        answer = self.answer
        if answer.finish_reason in _WITHOUT_USAGE:
            return None
        figures = answer.usage
        prompt = _or(figures.prompt_tokens, self.prompt_tokens)
        completion = _or(figures.completion_tokens, answer.tokens)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": _or(figures.cached_tokens, self.cached_tokens)},
            "completion_tokens_details": {"reasoning_tokens": _or(figures.reasoning_tokens, answer.reasoning_tokens)},
        }

    def again(self) -> Reply:
        """The same answer generated anew: other ids."""
        return replace(self, digest=hashlib.sha256(f"{self.digest}:again".encode()).hexdigest())


def body(reply: Reply) -> JsonObject:
    """The body of an answer that is not streamed."""
    answer = reply.answer
    message: JsonObject = {"role": "assistant", "content": answer.text}
    if answer.calls and answer.quirks.null_content:
        message["content"] = answer.text or None
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if calls := [*answer.hosted, *(_body_call(reply, call, at) for at, call in enumerate(answer.calls))]:
        message["tool_calls"] = calls
    whole: JsonObject = {
        "choices": [{"finish_reason": answer.finish_reason, "index": 0, "message": message}],
        "created": reply.created,
        "id": reply.id,
        "model": reply.model,
        "object": "chat.completion",
        "request_id": reply.request_id or reply.id,
    }
    if answer.quirks.no_object:
        del whole["object"]
    whole |= answer.extra
    return whole if reply.usage is None else {**whole, "usage": reply.usage}


def frames(reply: Reply) -> Iterator[bytes]:
    """The frames of a stream, each a whole event, without the ``[DONE]`` at its end."""
    yield from (frame(chunk) for chunk in _chunks(reply))


def frame(value: JsonObject) -> bytes:
    """One event of a stream."""
    return b"data: " + to_bytes(value) + b"\n\n"


def to_bytes(value: Any) -> bytes:
    """Compact JSON; a lone surrogate, which UTF-8 cannot hold, is escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _chunks(reply: Reply) -> Iterator[JsonObject]:
    answer, size = reply.answer, reply.answer.pace.chunk_characters
    for piece in pieces(answer.reasoning, characters=size):
        yield _chunk(reply, {"role": "assistant", "reasoning_content": piece})
    for piece in pieces(answer.text, characters=size):
        yield _chunk(reply, {"role": "assistant", "content": piece})
    for entry in answer.hosted:
        yield _chunk(reply, {"tool_calls": [entry]})
    for at, call in enumerate(answer.calls):
        yield from _call_chunks(reply, call, at)
    yield from _last_chunks(reply)


def _last_chunks(reply: Reply) -> Iterator[JsonObject]:
    content = None if reply.answer.quirks.null_content else ""
    last = _chunk(reply, {"role": "assistant", "content": content}, finish=reply.answer.finish_reason)
    last |= reply.answer.extra
    usage = reply.usage
    if usage is None:
        yield last
    elif reply.answer.quirks.usage_chunk:
        yield last
        yield {**_chunk(reply, {}), "choices": [], "usage": usage}
    else:
        yield {**last, "usage": usage}


def _call_chunks(reply: Reply, call: ToolCall, at: int) -> Iterator[JsonObject]:
    quirks = reply.answer.quirks
    index = at if quirks.call_index is None else quirks.call_index
    finish = "" if quirks.call_index is None else reply.answer.finish_reason
    head: JsonObject = {"id": _stream_call_id(reply, call, at), "index": index, **_function(reply, call)}
    if not reply.in_fragments or quirks.object_arguments:
        yield _chunk(reply, {"tool_calls": [head]}, finish=finish)
        return
    yield _chunk(reply, {"tool_calls": [{**head, "function": {"name": call.name, "arguments": ""}}]})
    for piece in pieces(call.arguments, characters=reply.answer.pace.chunk_characters):
        yield _chunk(reply, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


def _chunk(reply: Reply, delta: JsonObject, *, finish: str = "") -> JsonObject:
    choice: JsonObject = {"index": 0, **({"finish_reason": finish} if finish else {}), "delta": delta}
    kind = {} if reply.answer.quirks.no_object else {"object": "chat.completion.chunk"}
    return {"id": reply.id, "created": reply.created, **kind, "model": reply.model, "choices": [choice]}


def _function(reply: Reply, call: ToolCall) -> JsonObject:
    arguments: Any = call.arguments
    if reply.answer.quirks.object_arguments:
        arguments = json.loads(arguments)
    return {"type": "function", "function": {"name": call.name, "arguments": arguments}}


def _stream_call_id(reply: Reply, call: ToolCall, at: int) -> str:
    if call.id or reply.answer.quirks.same_call_ids:
        return call.id or f"call_{at}"
    return "call_" + hashlib.sha256(f"{reply.digest}:{at}".encode()).hexdigest()[:24]


def _body_call(reply: Reply, call: ToolCall, at: int) -> JsonObject:
    return {"id": _body_call_id(reply, call, at), "index": at, **_function(reply, call)}


def _body_call_id(reply: Reply, call: ToolCall, at: int) -> str:
    """A negative number of 19 digits; parallel calls differ by one. Source: recordings, z.ai 2026-03."""
    if call.id or reply.answer.quirks.same_call_ids:
        return call.id or f"call_{at}"
    return f"call_-{10**18 + int(reply.digest[:15], 16) % (8 * 10**18) + at}"


def _or(given: int | None, counted: int) -> int:
    return counted if given is None else given
