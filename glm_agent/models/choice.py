"""``tool_choice`` for a model that knows only "auto": by what is asked, what is offered, and one more request.

GLM refuses every other value with "Tool choice must be auto" (z.ai, September 2026); where other hosts force a
call, generation may never end (vllm#55541). So nothing is forced: the model is told, and told once more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    Message,
    ModelRequest,
    ModelResponse,
    Retrying,
    ToolCall,
    TurnStopped,
    Usage,
    UserMessage,
)
from glm_agent.models.model import Model, ModelEvent


class ChoiceModel:
    """Sees to it that ``settings.tool_choice`` holds.

    ``none`` offers no tools. ``required`` or a tool's name holds until such a call was made in this turn;
    a model that will not make it ends the turn with ``invalid_output``.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        is_free = request.settings.tool_choice in (None, "auto")
        return self._model.stream(request) if is_free else self._see_to(request)

    async def _see_to(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        choice = request.settings.tool_choice
        if choice == "none":
            request = replace(request, tools=(), settings=replace(request.settings, hosted_tools=()))
        demands = _demands(request, choice)
        spent = Usage()
        for attempt, demand in enumerate(demands or [request], start=1):
            last = attempt >= len(demands)
            missed: ModelResponse | None = None
            async with aclosing(self._model.stream(demand)) as events:
                async for event in events:
                    # What the answer before has cost is paid, whatever comes of this one.
                    if isinstance(event, TurnStopped):
                        yield replace(event, usage=spent + event.usage)
                    elif not isinstance(event, ModelResponse):
                        yield event
                    elif demands and event.finish_reason == "stop" and _misses(event, choice):
                        missed, spent = event, spent + event.usage
                        break
                    else:
                        yield replace(event, usage=spent + event.usage)
            if missed is None:
                return
            if not last:
                yield Retrying(attempt=2, wait_seconds=0.0, reason=f"the model did not call {_wanted(choice)}")
        detail = f"the model did not call {_wanted(choice)}, asked twice"
        yield TurnStopped(stop_reason="invalid_output", detail=detail, usage=spent)


def _demands(request: ModelRequest, choice: str | None) -> list[ModelRequest]:
    """The two requests that ask for a call, the second offering nothing else; none where none is owed."""
    if choice in (None, "auto", "none") or not request.tools or not _is_owed(request.messages, choice):
        return []
    wanted = tuple(tool for tool in request.tools if choice in ("required", tool.name))
    if not wanted:
        known = ", ".join(repr(tool.name) for tool in request.tools)
        raise ConfigurationError(f"tool_choice is {choice!r}, which is no tool that is offered: {known}")
    told = UserMessage(text=f"Before you answer, call {_wanted(choice)}.")
    first = replace(request, messages=(*request.messages, told))
    again = UserMessage(text=f"You must call {_wanted(choice)} now: do not write an answer.")
    return [first, replace(request, messages=(*request.messages, again), tools=wanted)]


def _is_owed(messages: Sequence[Message], choice: str | None) -> bool:
    """Whether no such call was made since the user spoke."""
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            return True
        if isinstance(message, ModelResponse) and not _misses(message, choice):
            return False
    return True


def _misses(response: ModelResponse, choice: str | None) -> bool:
    return not any(_fits(call, choice) for call in response.tool_calls)


def _fits(call: ToolCall, choice: str | None) -> bool:
    return choice in ("required", call.name)


def _wanted(choice: str | None) -> str:
    return "one of the tools" if choice == "required" else f"the tool '{choice}'"
