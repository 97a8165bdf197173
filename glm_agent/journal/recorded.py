"""A session's record as the model and the tools of a new run of the driver.

    runs             a session's facts, one ``Run`` for every time the driver was set going
    RecordedModel    answers each request with the response that is on record, and shows the request to a check
    RecordedTools    answers each call with what is on record

A run that was cut off ends in ``EndOfRecord``: where the record is silent, nobody knows what would have come.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from glm_agent.messages import (
    Fact,
    ModelRequest,
    ModelResponse,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnStopped,
)
from glm_agent.models.model import ModelEvent
from glm_agent.registry import ToolContext

OPENERS = frozenset({"turn_started", "history_replaced", "user_message", "approval_decision", "outcome_decision"})
"""Kinds of facts that come from outside and set the driver going."""

Check: TypeAlias = Callable[[ModelRequest, ModelResponse], None]
"""Sees each request as it is made now, and the response that is on record for it."""


class EndOfRecord(Exception):
    """The record ends here: the run was cut off."""


@dataclass(kw_only=True)
class Run:
    """One run of the driver, as recorded."""

    opening: list[Fact] = field(default_factory=list[Fact])
    """What it was set going with."""
    answers: list[Fact] = field(default_factory=list[Fact])
    """What was answered, in order."""
    decided: frozenset[str] = frozenset()
    """Calls that a person decides on at the beginning of the next run."""

    @property
    def responses(self) -> list[ModelResponse]:
        return [fact for fact in self.answers if isinstance(fact, ModelResponse)]

    @property
    def stop(self) -> TurnStopped | None:
        """How it was stopped, where it was."""
        return next((fact for fact in self.answers if isinstance(fact, TurnStopped)), None)


def runs(facts: Sequence[Fact]) -> list[Run]:
    """The runs that made these facts."""
    found: list[Run] = []
    for fact in facts:
        if fact.kind not in OPENERS:
            found[-1].answers.append(fact)
        elif found and not found[-1].answers:
            found[-1].opening.append(fact)
        else:
            found.append(Run(opening=[fact]))
    for run, following in pairwise(found):
        run.decided = frozenset(_decided(following.opening))
    return found


def _decided(opening: Sequence[Fact]) -> Iterator[str]:
    for fact in opening:
        call_id = getattr(fact, "call_id", None)
        if call_id is not None:
            yield call_id


class RecordedModel:
    """The model of a run that is over."""

    def __init__(self, run: Run, *, name: str, check: Check) -> None:
        self._responses = deque(run.responses)
        self._stop, self._name, self._check = run.stop, name, check

    @property
    def name(self) -> str:
        return self._name

    @property
    def left(self) -> int:
        """Responses that nobody asked for yet."""
        return len(self._responses)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``. Raises ``EndOfRecord``."""
        if self._responses:
            response = self._responses.popleft()
            self._check(request, response)
            yield response
        elif self._stop is not None:
            yield self._stop
        else:
            raise EndOfRecord


class RecordedTools:
    """The tools of a run that is over: nothing is run."""

    def __init__(self, run: Run, model: RecordedModel) -> None:
        self._stop, self._model = run.stop, model
        self._count = model.left
        self._answers = [defaultdict[str, deque[Fact]](deque)]
        for fact in run.answers:
            if isinstance(fact, ModelResponse):
                self._answers.append(defaultdict(deque))
            elif call_id := getattr(fact, "call_id", ""):
                self._answers[-1][call_id].append(fact)

    async def specs(self) -> tuple[ToolSpec, ...]:
        return ()

    async def permit(self, call: ToolCall, context: ToolContext) -> Any:  # noqa: ARG002 (the seam's)
        """What is on record for this call; that it is given here keeps the driver from anything else."""
        return self._answer(call)

    async def call(self, call: ToolCall, context: ToolContext) -> Any:  # noqa: ARG002
        """The same, where somebody asks without asking for permission."""
        return self._answer(call)

    def _answer(self, call: ToolCall) -> Fact:
        recorded = self._answers[self._count - self._model.left][call.id]
        # The driver closed what was open when the run was stopped, and does so again.
        if recorded and not (self._stop is not None and _is_closing(recorded[0], self._stop)):
            return recorded.popleft()
        if self._stop is not None:
            return self._stop
        raise EndOfRecord


def _is_closing(fact: Fact, stop: TurnStopped) -> bool:
    return isinstance(fact, ToolResult) and fact.is_error and fact.content == f"no result: {stop.detail}"
