"""One answer of the model, as far as it came: what the chunks of one generation add up to.

Knows the fields of GLM's chunks and bodies, every one of which may be missing, null or of another type.
Knows nothing of streams, and nothing of generations before or after this one.
"""

from __future__ import annotations

import math
import re
from typing import Any, TypeAlias

from glm_agent.errors import ModelProtocolError
from glm_agent.messages import (
    JsonObject,
    ModelResponse,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    ToolSpec,
    Usage,
)
from glm_agent.wire.calls import CallAssembler
from glm_agent.wire.jsontext import an_array, an_object

ANSWER_LIMIT = 32 * 2**20
"""Characters of one answer, thinking and arguments included; an endless stream ends here."""
_LIST_FIELDS = frozenset({"web_search", "video_result", "content_filter"})
_ID = re.compile(r'\{\s*"id"\s*:\s*"([^"]+)"')
_CONSTANT = frozenset({"id", "created", "object", "model", "choices"})
"""What every chunk repeats: read once."""
_QUIET = _CONSTANT | _LIST_FIELDS | {"usage", "request_id"}
_DELTA = frozenset({"role", "content", "reasoning_content", "reasoning", "tool_calls", "audio"})
_CHOICE = frozenset({"index", "delta", "message", "finish_reason"})
_FAILED = frozenset({"sensitive", "network_error", "model_context_window_exceeded", "length"})
_COMPLETE = frozenset({"stop", "tool_calls"})

Addition: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | ToolCallReady


class Answer:
    """One generation, as far as it came."""

    __slots__ = (
        "_audio",
        "_calls",
        "_fields",
        "_odd",
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
        self._odd: dict[str, JsonObject] = {}
        """What nobody here knows of the fields of the ``message`` and of the ``choice``."""

    def break_off(self, frame: bytes) -> None:
        """Note a frame that is no JSON; cut or not, it says which generation it belonged to."""
        self.broken = frame[:200].decode("utf-8", "replace")
        if found := _ID.match(self.broken):
            self.id = found[1]

    def brings_news(self, chunk: JsonObject) -> bool:
        """Whether a chunk has fields beside ``choices`` that were not read before."""
        return not (self.model and chunk.keys() <= _CONSTANT)

    def keep(self, chunk: JsonObject) -> None:
        """Remember the fields beside ``choices``; lists grow, of the rest the last word counts."""
        for key, value in chunk.items():
            if key in _LIST_FIELDS:
                self._extend(key, an_array(value))
            elif key != "choices" and value is not None:
                self._fields[key] = value
        self.model = word(self._fields.get("model"))

    def choose(self, choice: JsonObject) -> list[Addition]:
        """What a choice brings; every key of a delta is read, some chunks hold several."""
        found: list[Addition] = []
        delta = an_object(choice.get("delta")) or _with_positions(an_object(choice.get("message")))
        if delta:
            self._add(delta, found)
        if not choice.keys() <= _CHOICE:
            self._keep_odd("choice", choice, _CHOICE)
        reason = choice.get("finish_reason")
        if reason and isinstance(reason, str):
            if self.finish_reason not in _FAILED:
                self.finish_reason = reason
            if self.finish_reason in _COMPLETE:
                found.extend(self._calls.complete())
        return found

    def response(self, request_id: str) -> ModelResponse:
        fields = self._fields
        return ModelResponse(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            tool_calls=self._calls.calls(),
            finish_reason=self.finish_reason,
            usage=usage_of(fields.get("usage")),
            model=self.model,
            id=self.id or word(fields.get("id")),
            request_id=word(fields.get("request_id")) or request_id,
            created=_count(fields.get("created")),
            hosted_calls=tuple(self._calls.hosted),
            web_search=tuple(fields.get("web_search", ())),
            video_result=tuple(fields.get("video_result", ())),
            content_filter=tuple(fields.get("content_filter", ())),
            audio=self._audio or None,
            extra={key: value for key, value in fields.items() if key not in _QUIET} | self._odd,
        )

    def _keep_odd(self, place: str, fields: JsonObject, known: frozenset[str]) -> None:
        for key in fields.keys() - known:
            value = fields[key]
            if value is None or value in ([], ""):
                continue
            kept = self._odd.setdefault(place, {})
            # Fragments of a list are lists; of all else the last word counts.
            kept[key] = joined(kept.get(key), an_array(value)) if isinstance(value, list) else value

    def _add(self, delta: JsonObject, found: list[Addition]) -> None:
        if not delta.keys() <= _DELTA:
            self._keep_odd("message", delta, _DELTA)
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


def joined(kept: Any, new: list[Any]) -> list[Any]:
    """A list that comes in fragments: an entry with the index and type of the last one goes on with its text.

    Source: OpenRouter, "Preserving reasoning", 2026: ``reasoning_details`` go back as they came, in one piece.
    """
    whole = list(an_array(kept))
    for entry in new:
        last, more = an_object(whole[-1]) if whole else {}, an_object(entry)
        is_same = "index" in more and all(more.get(key) == last.get(key) for key in ("index", "type"))
        whole[len(whole) - is_same :] = [_extended(last, more) if is_same else entry]
    return whole


def _extended(last: JsonObject, more: JsonObject) -> JsonObject:
    texts: JsonObject = {
        key: f"{last[key]}{more[key]}" for key in ("text", "summary", "data") if key in last and key in more
    }
    return {**last, **{key: value for key, value in more.items() if value is not None}, **texts}


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


def usage_of(value: Any) -> Usage:
    """GLM counts cached tokens within the prompt and reasoning within the completion."""
    usage = an_object(value)
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(an_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(an_object(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    )


def _count(value: Any) -> int:
    # The readers of JSON take Infinity, NaN and 1e999.
    return int(value) if isinstance(value, (int, float)) and 0 < value < math.inf else 0


def word(value: Any) -> str:
    """A field that should be text, as text; nothing where there is none."""
    return value if isinstance(value, str) else "" if value is None else str(value)
