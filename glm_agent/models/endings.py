"""What is done about an answer that is none, before it ends the turn as what it is.

    nothing, or thinking alone      asked once more, thinking less
    calls left as markup            asked once more for real calls
    no room left (context)          asked once more with the older part of the history left out
    cut at the limit (length)       gone on with, where that is wished

Each is done once a request; what does not help ends the turn under its own name. The decision is a pure function.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from glm_agent.context import count_tokens, shorten
from glm_agent.errors import ContextOverflow, ModelError
from glm_agent.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Notice,
    Retrying,
    TurnStopped,
    UserMessage,
)
from glm_agent.models.catalog import lookup
from glm_agent.models.model import Model, ModelEvent

FULL = 0.8
"""The part of a model's window from which on the history is made shorter before it is sent."""

SMALLEST = 6_400
"""Tokens below which no model's window is nearly full."""

Compact: TypeAlias = Callable[[tuple[Message, ...]], tuple[Message, ...]]
"""Makes a history shorter; the same history back means that it cannot."""

_REAL_CALLS = "The tool call stood as markup in the text, and nothing was called. Call the tool, or answer in words."
_GO_ON = "Go on exactly where the text broke off, and repeat nothing of it."


def halved(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """About the newer half of a history."""
    return shorten(messages, max_tokens=count_tokens(messages) // 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endings:
    """Which remedies are tried."""

    asks_again: bool = True
    """Ask once more after an empty answer, thinking alone, or markup instead of calls."""
    continues: bool = False
    """Have an answer that was cut at the limit gone on with, once."""
    compact: Compact | None = halved
    """What is sent after the history did not fit; None: nothing."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One more request, and why."""

    request: ModelRequest
    reason: str
    before: ModelResponse | None = None
    """What the next answer goes on from."""


def remedy(request: ModelRequest, response: ModelResponse, endings: Endings) -> Remedy | None:
    """What may still make an answer of this response; None: nothing, or it is one."""
    if response.tool_calls or response.hosted_calls:
        return None
    has_text = bool(response.text.strip())
    if response.finish_reason == "length" and has_text:
        return _continuation(request, response) if endings.continues else None
    if not endings.asks_again or response.finish_reason not in ("stop", "tool_calls", "length"):
        return None
    if not has_text and response.audio is None:
        return _asked_again(request, response)
    return _real_calls(request, response) if _is_markup(response.text) and request.tools else None


def is_nearly_full(request: ModelRequest) -> bool:
    """Whether the last answer, by the provider's own count, left little of a known model's window."""
    last = next((said for said in reversed(request.messages) if isinstance(said, ModelResponse)), None)
    if last is None or last.usage.total_tokens < SMALLEST:
        return False
    info = lookup(request.model)
    return info.is_known and last.usage.total_tokens > FULL * info.context_tokens


class EndingsModel:
    """A model whose unusable answers are asked for once more. One object serves one turn."""

    def __init__(self, model: Model, *, endings: Endings | None = None) -> None:
        self._model, self._endings = model, endings or Endings()
        self._cut = 0
        """Messages at the beginning of the history in whose place ``_instead`` is sent."""
        self._instead: tuple[Message, ...] = ()

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        first: ModelResponse | TurnStopped | None = None
        found: Remedy | None = None
        async with aclosing(self._fitting(request)) as events:
            async for event in events:
                if isinstance(event, ModelResponse):
                    first, found = event, remedy(request, event, self._endings)
                    if found is not None:
                        break
                yield event
        if found is None or not isinstance(first, ModelResponse):
            return
        if found.before is None:
            yield Retrying(attempt=2, wait_seconds=0.0, reason=found.reason)
        else:
            yield Notice(text=found.reason, source=self.name)
        async with aclosing(self._second(found, first)) as events:
            async for event in events:
                yield event

    async def _second(self, found: Remedy, first: ModelResponse) -> AsyncGenerator[ModelEvent, None]:
        """The second answer with the tokens of both; the first one where there is no second."""
        try:
            async with aclosing(self._fitting(found.request)) as events:
                async for event in events:
                    if isinstance(event, TurnStopped):
                        yield first
                    elif isinstance(event, ModelResponse):
                        yield _joined(found.before, replace(event, usage=first.usage + event.usage))
                    else:
                        yield event
        except ModelError as error:
            yield Notice(text=f"the second request failed: {error}", level="warning", source=self.name)
            yield first

    async def _fitting(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The answer to a history that is made shorter, once, where it does not fit."""
        whole = len(request.messages)
        if self._cut:
            request = replace(request, messages=(*self._instead, *request.messages[self._cut :]))
        compact = self._endings.compact
        if compact is not None and is_nearly_full(request):
            self._cut, self._instead = whole, compact(request.messages)
            request = replace(request, messages=self._instead)
            yield Notice(text="the window is nearly full: the older part is left out", source=self.name)
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    yield event
            return
        except ContextOverflow as error:
            shorter = request.messages if compact is None else tuple(compact(request.messages))
            if shorter == request.messages:
                raise
            reason = f"the older part of the conversation is left out: {error}"
        self._cut, self._instead = whole, shorter
        yield Retrying(attempt=2, wait_seconds=0.0, reason=reason)
        async with aclosing(self._model.stream(replace(request, messages=shorter))) as events:
            async for event in events:
                yield event


def _asked_again(request: ModelRequest, response: ModelResponse) -> Remedy:
    if not response.reasoning.strip():
        return Remedy(request, "the model returned nothing and is asked again")
    # Off where the model can be without, else the lowest effort: the encoder knows.
    less = replace(request.settings, thinking=False, reasoning_effort=None)
    reason = f"the model only thought (finish_reason {response.finish_reason}) and is asked again with less thinking"
    return Remedy(replace(request, settings=less), reason)


def _real_calls(request: ModelRequest, response: ModelResponse) -> Remedy:
    messages = (*request.messages, replace(response, tool_calls=()), UserMessage(text=_REAL_CALLS))
    return Remedy(
        replace(request, messages=messages), "the model wrote a tool call as markup in its text and is asked again"
    )


def _continuation(request: ModelRequest, response: ModelResponse) -> Remedy:
    messages = (*request.messages, response, UserMessage(text=_GO_ON))
    reason = "the answer was cut at the limit of its length and is gone on with"
    return Remedy(replace(request, messages=messages), reason, before=response)


def _joined(before: ModelResponse | None, response: ModelResponse) -> ModelResponse:
    if before is None:
        return response
    return replace(response, text=before.text + response.text, reasoning=before.reasoning + response.reasoning)


def _is_markup(text: str) -> bool:
    """Whether the text ends in a call that nobody could read."""
    at = text.rfind("<tool_call>")
    return at >= 0 and ("<arg_key>" in text[at:] or text.rstrip().endswith("</tool_call>"))
