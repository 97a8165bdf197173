"""What the simulated model says to one request, before it is spelled as bytes: said, counted, cut to size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from glm_agent.messages import ToolCall
from glm_agent.simulate.conversation import Conversation
from glm_agent.simulate.json_values import JsonObject, array_in, object_in
from glm_agent.simulate.scenario import Pace, Quirks, Settings, UsageFigures
from glm_agent.simulate.scenario_faults import Fault
from glm_agent.simulate.service_models import ModelFacts
from glm_agent.simulate.tokens import count, cut

_PER_CALL = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer, whole."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """A call with an empty id gets one when it is spelled."""
    hosted: tuple[JsonObject, ...] = ()
    """Entries of ``tool_calls`` that the provider ran itself."""
    extra: JsonObject = field(default_factory=dict[str, Any])
    """More top-level fields of the body, or of the last chunk."""
    finish: str = ""
    """The ``finish_reason``; empty: ``tool_calls`` where there are calls, else ``stop``."""
    usage: UsageFigures = field(default_factory=UsageFigures)
    pace: Pace = field(default_factory=Pace)
    quirks: Quirks = field(default_factory=Quirks)
    faults: tuple[Fault, ...] = ()
    """What goes wrong first, one attempt after the other."""

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    @property
    def reasoning_tokens(self) -> int:
        return count(self.reasoning)

    @property
    def tokens(self) -> int:
        """All generated tokens."""
        return self.reasoning_tokens + count(self.text) + sum(_call_tokens(call) for call in self.calls)


class NoAnswer(Exception):
    """The request fits no step, or a step cannot be given: the sentence says which and why."""


class Player(Protocol):
    """Whoever decides what the simulated model says."""

    @property
    def settings(self) -> Settings: ...

    def answer(self, request: Conversation) -> Answer:
        """The answer to a request that the service accepted; raises ``NoAnswer``."""
        ...

    def unused_steps(self) -> list[str]:
        """Steps that no request has reached yet."""
        ...


def is_thinking(body: dict[str, Any], facts: ModelFacts) -> bool:
    """Whether the model thinks before it answers this request.

    Source: thinking guide and reasoning_effort table of docs.z.ai (2026-09).
    """
    if facts.thinking == "never":
        return False
    if facts.thinking == "forced":
        return True
    if object_in(body, "thinking").get("type") == "disabled":
        return False
    return not (facts.efforts and body.get("reasoning_effort") in ("none", "minimal"))


def fitted(answer: Answer, body: dict[str, Any], *, thinks: bool, limit: int, room: int) -> Answer:
    """The answer without thinking where it is off, ended by a stop word, and cut to its limits.

    Args:
        answer: What the model would say.
        body: The request.
        thinks: Whether it thinks.
        limit: Tokens that ``max_tokens`` allows.
        room: Tokens that the window has left.
    """
    if not thinks:
        answer = replace(answer, reasoning="")
    stopped = _before(answer.text, array_in(body, "stop"))
    if stopped != answer.text:
        answer = replace(answer, text=stopped, calls=())
    if answer.tokens <= min(limit, room):
        return answer
    return _cut(answer, min(limit, room), finish="length" if limit <= room else "model_context_window_exceeded")


def _before(text: str, words: Sequence[str]) -> str:
    for word in words:
        text = text.partition(word)[0]
    return text


def _cut(answer: Answer, tokens: int, *, finish: str) -> Answer:
    """As much of the answer as fits, in the order in which a model writes it."""
    reasoning = cut(answer.reasoning, tokens=tokens)
    tokens -= count(reasoning)
    text = cut(answer.text, tokens=tokens)
    tokens -= count(text)
    calls: list[ToolCall] = []
    for call in answer.calls:
        if tokens <= _PER_CALL + count(call.name):
            break
        arguments = cut(call.arguments, tokens=tokens - _PER_CALL - count(call.name))
        calls.append(replace(call, arguments=arguments))
        tokens -= _call_tokens(calls[-1])
        if arguments != call.arguments:
            break
    return replace(answer, reasoning=reasoning, text=text, calls=tuple(calls), finish=finish)


def _call_tokens(call: ToolCall) -> int:
    return _PER_CALL + count(call.name) + count(call.arguments)
