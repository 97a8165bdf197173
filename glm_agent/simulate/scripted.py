"""``ScriptedModel``: a model in the process that says what a test wrote down. No HTTP, no files, no clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import anyio.lowlevel

from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    ModelRequest,
    ModelResponse,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallReady,
    TurnStopped,
)
from glm_agent.models.catalog import lookup
from glm_agent.models.model import ModelEvent
from glm_agent.models.record import sent
from glm_agent.simulate.tokens import pieces
from glm_agent.wire.encode import encode_parts

Answer: TypeAlias = (
    str | ModelResponse | ToolCall | TurnStopped | BaseException | Sequence[ModelEvent | ToolCall | BaseException]
)
Line: TypeAlias = Answer | Callable[[ModelRequest], Answer]
"""What one request is answered with.

A text; a whole response; a call, or a list of calls made in parallel; an exception, which is raised; a list of
model events, passed on as they are (an exception at its end is raised there); or a function of the request that
returns one of these.
"""


class ScriptedModel:
    """Answers each request with the next line of a script, as a stream of realistic deltas."""

    def __init__(self, lines: Iterable[Line], *, name: str = "scripted") -> None:
        self._lines = list(lines)
        self._name = name
        self.requests: list[ModelRequest] = []
        """What was asked, in order."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def unused(self) -> int:
        """How many lines nobody asked for."""
        return max(len(self._lines) - len(self.requests), 0)

    def assert_done(self) -> None:
        """Raise ``AssertionError`` where lines are left."""
        if self.unused:
            left = ", ".join(repr(line) for line in self._lines[len(self.requests) :])
            raise AssertionError(f"the script has {self.unused} lines that nobody asked for: {left[:500]}")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The next line; ``AssertionError`` when the script is at its end."""
        line = self._next(request)
        answer = line(request) if callable(line) and not isinstance(line, BaseException) else line
        for event in _events(answer, model=request.model or self._name):
            await anyio.lowlevel.checkpoint()
            if isinstance(event, BaseException):
                raise event
            yield _recorded(event, request, model=self._name) if isinstance(event, ModelResponse) else event

    def _next(self, request: ModelRequest) -> Line:
        self.requests.append(request)
        if len(self.requests) > len(self._lines):
            raise AssertionError(
                f"the script has {len(self._lines)} lines, and request {len(self.requests)} came;"
                f" its last message: {request.messages[-1] if request.messages else 'none'!r}"
            )
        return self._lines[len(self.requests) - 1]


def _recorded(response: ModelResponse, request: ModelRequest, *, model: str) -> ModelResponse:
    """The response, saying what Zhipu's own server would have been asked, where it is to say that."""
    if request.asked is None:
        return response
    model = request.model or model
    try:
        parts = encode_parts(request, model=model, capabilities=lookup(model).capabilities)
    except ConfigurationError:  # what no server would be sent
        return response
    return replace(response, sent=sent(request, parts, model=model, dialect="zai"))


def _events(answer: Answer, *, model: str) -> Iterator[ModelEvent | BaseException]:
    match answer:
        case BaseException() | TurnStopped():
            yield answer
        case str():
            yield from _spoken(ModelResponse(text=answer, model=model))
        case ToolCall():
            yield from _spoken(ModelResponse(tool_calls=(answer,), finish_reason="tool_calls", model=model))
        case ModelResponse():
            yield from _spoken(answer)
        case _:
            yield from _listed(answer, model=model)


def _listed(
    answer: Sequence[ModelEvent | ToolCall | BaseException], *, model: str
) -> Iterator[ModelEvent | BaseException]:
    calls = tuple(item for item in answer if isinstance(item, ToolCall))
    if calls and len(calls) == len(answer):
        yield from _spoken(ModelResponse(tool_calls=calls, finish_reason="tool_calls", model=model))
        return
    for item in answer:
        if isinstance(item, ToolCall):
            raise TypeError("a line is a list of calls, or of model events; this one mixes them")
        yield item


def _spoken(response: ModelResponse) -> Iterator[ModelEvent]:
    """The deltas that would have made this response, and the response."""
    yield from (ReasoningDelta(text=piece) for piece in pieces(response.reasoning))
    yield from (TextDelta(text=piece) for piece in pieces(response.text))
    for index, call in enumerate(response.tool_calls):
        for piece in pieces(call.arguments) if call.arguments else [""]:
            yield ToolCallDelta(index=index, arguments=piece, id=call.id, name=call.name)
        yield ToolCallReady(call=call)
    yield response
