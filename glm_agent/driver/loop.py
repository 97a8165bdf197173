"""The one loop over ``pending`` and ``receive``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import anyio
import anyio.from_thread
import anyio.lowlevel

from glm_agent.driver.early import EarlyCall, EarlyCalls, finish
from glm_agent.driver.groups import unwrapped
from glm_agent.driver.keys import idempotency_key, intent_key
from glm_agent.driver.observers import Observer, tell
from glm_agent.driver.steps import InlineSteps, Intent, Slot, Steps
from glm_agent.errors import ContentFiltered, ContextOverflow, ModelError, ModelProtocolError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Event,
    Fact,
    ModelRequest,
    ModelResponse,
    OutcomeUnknown,
    Retrying,
    ToolCall,
    ToolCallReady,
    ToolFinished,
    ToolResult,
    ToolSpec,
    ToolStarted,
    TurnResult,
    TurnStopped,
)
from glm_agent.models.model import Model
from glm_agent.registry import ToolContext, Tools
from glm_agent.schema import recover_call
from glm_agent.turn import WAITS_FOR_A_PERSON, Turn, Waiting, approval, cancel, pending, receive, times_let_through

Approver: TypeAlias = Callable[[ApprovalRequested], Awaitable[ApprovalDecision | None]]
"""Asks a person; None when there is nobody to ask."""

_log = logging.getLogger("glm_agent")

_MAX_TIMES_LET_THROUGH = 5
"""A tool may ask a second time, with other words; see ``_bounded``."""

_T = TypeVar("_T")


@dataclass(kw_only=True)
class Driver:
    """Drives one turn to its result. ``turn`` is always the state so far, also after an exception."""

    turn: Turn
    model: Model
    tools: Tools
    steps: Steps = field(default_factory=InlineSteps)
    observers: Sequence[Observer] = ()
    approve: Approver | None = None
    deps: Any = None
    timeout_seconds: float | None = None
    """Bound of the whole turn; then it stops with ``budget``."""
    clock: Callable[[], float] = time.monotonic
    _begun: set[str] = field(default_factory=set[str], init=False)
    """Ids of the step's ``write`` calls whose work began."""

    async def run(self, *facts: Fact) -> TurnResult:
        """Keep and receive ``facts``, then answer whatever is pending until the turn has a result."""
        with anyio.move_on_after(self.timeout_seconds) as scope:
            await self._loop(facts)
        if scope.cancelled_caught:
            detail = f"the time budget of {self.timeout_seconds:g} seconds is used up"
            await self._close_calls(detail)
            stopped = TurnStopped(stop_reason="budget", detail=detail)
            await self._keep(self.steps.reserve(), partial(_same, stopped))
        (result,) = pending(self.turn)
        assert isinstance(result, TurnResult)
        return result

    async def _loop(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            await self._keep(self.steps.reserve(), partial(_same, fact))
        self._specs = {spec.name: spec for spec in self.turn.started.tools}
        async with unwrapped(anyio.create_task_group()) as early_tasks:
            self._early = EarlyCalls(early_tasks)
            self._thread, self._token = threading.get_ident(), anyio.lowlevel.current_token()
            while not isinstance((todo := pending(self.turn))[0], TurnResult):
                if isinstance(todo[0], ModelRequest):
                    self._early.discard()  # what the last response did not ask for after all
                    await self._keep(self.steps.reserve(), partial(self._ask, todo[0]))
                else:
                    await self._work(cast("tuple[ToolCall | Waiting, ...]", todo))
            self._early.discard()

    async def _keep(self, slot: Slot, answer: Callable[[], Awaitable[Fact]]) -> None:
        """One answer: made, kept, received, shown, in this order."""
        async with self.steps.gate():
            fact = await self._receive(slot, answer)
        self._observe(fact)

    async def _receive(self, slot: Slot, answer: Callable[[], Awaitable[Fact]]) -> Fact:
        """Inside the gate: leaving it may raise, and then what is kept must be in the turn too."""
        fact = cast("Fact", await slot.run(answer))
        self.turn = receive(self.turn, fact)
        return fact

    async def _close_calls(self, reason: str) -> None:
        """Open calls get a result, so that the conversation can go on."""
        for fact in cancel(self.turn, reason=reason, begun=self._begun):
            await self._keep(self.steps.reserve(), partial(_same, fact))

    # -- the model

    async def _ask(self, request: ModelRequest) -> Fact:
        try:
            return await self._listen(request)
        except ModelError as error:
            # What no wrapper could mend ends the turn as a result where the model did answer.
            if error.response is not None:
                return cast("ModelResponse", error.response)
            if isinstance(error, ContextOverflow):
                return TurnStopped(stop_reason="context_overflow", detail=str(error))
            if isinstance(error, ContentFiltered):
                return TurnStopped(stop_reason="refusal", detail=str(error))
            raise

    async def _listen(self, request: ModelRequest) -> Fact:
        answer: Fact | None = None
        place = 0
        async with aclosing(self.model.stream(request)) as events:
            async for event in events:
                match event:
                    case ModelResponse() | TurnStopped():
                        answer = event
                        break
                    case ToolCallReady():
                        self._maybe_start_early(event.call, place)
                        place += 1
                    case _:
                        if isinstance(event, Retrying):
                            self._early.discard()
                            place = 0
                        self._observe(event)
        if answer is None:
            raise ModelProtocolError(f"the model {self.model.name!r} ended its stream without a response")
        return answer

    # -- the tools

    async def _work(self, todo: Sequence[ToolCall | Waiting]) -> None:
        if calls := [item for item in todo if isinstance(item, ToolCall)]:
            await self._run_calls(calls)
        elif asked := [item for item in todo if isinstance(item, ApprovalRequested)]:
            await self._decide(asked[0])
        else:
            await self._stop_for(cast("OutcomeUnknown", todo[0]))
        stopped = self.turn.stopped
        if stopped is not None and stopped.stop_reason not in WAITS_FOR_A_PERSON:
            await self._close_calls(stopped.detail)

    async def _run_calls(self, calls: Sequence[ToolCall]) -> None:
        """All at once. Every call draws two slots, whatever its effect, so that a changed effect moves no slot."""
        self._begun.clear()
        early: list[EarlyCall] = []
        late: list[Callable[[], Coroutine[Any, Any, None]]] = []
        for call in calls:
            intent_slot, result_slot = self.steps.reserve(), self.steps.reserve()
            if (running := self._early.take(call)) is None:
                late.append(partial(self._call, call, intent_slot, result_slot))
            else:
                running.adopt(partial(self._keep_early, result_slot))
                early.append(running)
        if len(late) == 1 and not early:
            await late[0]()  # without the cost of a task
        elif late:
            async with unwrapped(anyio.create_task_group()) as tasks:
                for call_late in late:
                    tasks.start_soon(call_late)
                await finish(early)
        else:
            await finish(early)

    async def _call(self, call: ToolCall, intent_slot: Slot, result_slot: Slot) -> None:
        key, decision = self._key(call), approval(self.turn, call.id)
        call = _as_decided(call, decision)
        context = self._context(call)
        context.idempotency_key, context.approval = key, decision
        context.attempt = times_let_through(self.turn, call.id)
        async with self.steps.gate():  # one for both: a store that drains must not part an intent from its call
            refused = await self.tools.permit(call, context)
            if refused is None and self._effect(call) == "write":
                await self._intend(call, context, intent_slot)
            fact = await self._receive(result_slot, partial(self._answer, call, context, refused))
        self._observe(fact)

    async def _intend(self, call: ToolCall, context: ToolContext, slot: Slot) -> None:
        key = intent_key(context.idempotency_key, attempt=context.attempt)
        intent = Intent(key=key, call_id=call.id, name=call.name, holder=self.steps.holder)
        kept = await slot.run(partial(_same, intent))
        self._begun.add(call.id)
        context.was_started = isinstance(kept, Intent) and kept.holder != intent.holder

    async def _answer(self, call: ToolCall, context: ToolContext, refused: Fact | None = None) -> Fact:
        if refused is not None:
            return _bounded(refused, context)
        started = self.clock()
        self._observe(ToolStarted(call=call))
        fact = await self.tools.call(call, context)
        if isinstance(fact, ToolResult):
            self._observe(ToolFinished(result=fact, duration_seconds=self.clock() - started))
        return _bounded(fact, context)

    async def _decide(self, request: ApprovalRequested) -> None:
        decision = await self.approve(request) if self.approve is not None else None
        detail = (
            f"the call of {request.name!r} waits for approval ({request.call_id}): {request.reason or request.rule}"
        )
        fact = decision or TurnStopped(stop_reason="needs_approval", detail=detail)
        await self._keep(self.steps.reserve(), partial(_same, fact))

    async def _stop_for(self, unknown: OutcomeUnknown) -> None:
        detail = f"what came of the call of {unknown.name!r} is not known ({unknown.call_id}): {unknown.reason}"
        stopped = TurnStopped(stop_reason="needs_decision", detail=detail)
        await self._keep(self.steps.reserve(), partial(_same, stopped))

    def _context(self, call: ToolCall) -> ToolContext:
        turn = self.turn
        return ToolContext(
            call=call,
            deps=self.deps,
            session=turn.started.session,
            messages=turn.messages,
            granted=turn.granted,
            emit=self._emit,
        )

    def _key(self, call: ToolCall) -> str:
        response = next(m for m in reversed(self.turn.messages) if isinstance(m, ModelResponse))
        place = response.tool_calls.index(call)
        return idempotency_key(self.turn.started, call, step=self.turn.step, place=place)

    def _effect(self, call: ToolCall) -> str:
        # What would run counts: GLM's markup may have run into the name.
        spec: ToolSpec | None = self._specs.get(recover_call(call, self._specs).name)
        return spec.effect if spec is not None else "write"

    # -- early calls: while the stream is still coming

    def _maybe_start_early(self, call: ToolCall, place: int) -> None:
        """Only what may be repeated starts before the response is there: GLM can begin a generation anew."""
        at_limit = self.turn.step >= self.turn.started.max_steps
        if self.steps.allows_early and not at_limit and self._effect(call) == "read":
            key = idempotency_key(self.turn.started, call, step=self.turn.step + 1, place=place)
            self._early.start(call, partial(self._answer_early, call, key))

    async def _keep_early(self, slot: Slot, fact: Fact) -> None:
        await self._keep(slot, partial(_same, fact))

    async def _answer_early(self, call: ToolCall, key: str) -> Fact:
        context = self._context(call)
        context.idempotency_key = key
        refused = await self.tools.permit(call, context)
        return await self._answer(call, context, refused)

    # -- events

    def _observe(self, event: Event) -> None:
        tell(self.observers, event)

    def _emit(self, event: Event) -> None:
        """``_observe`` for tools, which may run in other threads and outlive the turn."""
        if threading.get_ident() == self._thread:
            self._observe(event)
            return
        try:
            anyio.from_thread.run_sync(self._observe, event, token=self._token)
        except RuntimeError:
            _log.debug("%r came after the turn had ended", event.kind)


async def _same(record: _T) -> _T:
    return record


def _bounded(fact: Fact, context: ToolContext) -> Fact:
    """What asks again after every yes would keep a person, or a program that says yes to all, busy for ever."""
    if not isinstance(fact, ApprovalRequested) or context.attempt < _MAX_TIMES_LET_THROUGH:
        return fact
    said = f"the call was approved {context.attempt} times and asked again each time: it was not run"
    return ToolResult(call_id=fact.call_id, name=fact.name, content=said, is_error=True)


def _as_decided(call: ToolCall, decision: ApprovalDecision | None) -> ToolCall:
    """The call with the arguments the person edited, where one did."""
    return call if decision is None or decision.arguments is None else replace(call, arguments=decision.arguments)
