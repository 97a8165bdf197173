"""The turn: from a user message to an answer, as pure functions over one value.

    pending(turn)         what the outside world has to do next
    receive(turn, fact)   the turn after it was done
    cancel(turn)          the facts that close what is open, so that the conversation can go on

Rules of this file:
- Nothing here reads a clock, draws a random number, awaits, logs or touches the network.
- It knows no tool names, rules, types or callables. What permissions, budgets and output checks
  decide comes back as a fact.
- There is no hidden phase: what is pending follows from the facts. So any stored turn resumes, also
  one that another process left half-done, and a bare list of messages resumes too.
- A feature is a wrapper or an observer, never a branch here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

from glm_agent.errors import TurnError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Decision,
    Fact,
    HistoryReplaced,
    Message,
    ModelRequest,
    ModelResponse,
    OutcomeDecision,
    OutcomeUnknown,
    StopReason,
    ToolCall,
    ToolResult,
    TurnResult,
    TurnStarted,
    TurnStopped,
    Usage,
    UserMessage,
)

Waiting: TypeAlias = ApprovalRequested | OutcomeUnknown
"""What a person has to say something about."""

Pending: TypeAlias = ModelRequest | ToolCall | Waiting | TurnResult

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "end_turn",
    "tool_calls": "end_turn",
    "length": "max_tokens",
    "sensitive": "refusal",
    "model_context_window_exceeded": "context_overflow",
}
"""GLM's finish_reason to ours; every other word, ``network_error`` among them, is an error."""

WAITS_FOR_A_PERSON: tuple[StopReason, ...] = ("needs_approval", "needs_decision")
"""Stops that leave calls open, for a person to decide about."""

_HAD_BEGUN = ". The call had begun: it may or may not have taken effect"


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One user message on its way to an answer."""

    started: TurnStarted
    messages: tuple[Message, ...] = ()
    step: int = 0
    """Model responses received in this turn."""
    usage: Usage = field(default_factory=Usage)
    """Sum over this turn's requests."""
    requested: tuple[Waiting, ...] = ()
    """Open calls that wait for a person."""
    approved: tuple[Decision, ...] = ()
    """What persons said that lets open calls run, or run again."""
    granted: frozenset[str] = frozenset()
    """Tools that need not ask again in this session."""
    queued: tuple[UserMessage, ...] = ()
    """Messages said while calls were open: the wire has no place for them between a call and its result."""
    stopped: TurnStopped | None = None


def pending(turn: Turn) -> tuple[Pending, ...]:
    """What has to happen next: the items do not depend on each other, any order or all at once.

    Either one ``ModelRequest``, or the open calls (``ApprovalRequested`` or ``OutcomeUnknown`` where
    one waits for a person), or one ``TurnResult``. Raises ``TurnError`` on a turn in which nothing was said yet.
    """
    if turn.stopped is not None:
        return (_result(turn, turn.stopped),)
    if calls := open_calls(turn.messages):
        waiting = {request.call_id: request for request in turn.requested}
        return tuple(waiting.get(call.id, call) for call in calls)
    if not turn.messages:
        raise TurnError("nothing was said yet: a turn begins with a user message")
    last = turn.messages[-1]
    if isinstance(last, ModelResponse):
        return (_result(turn, _why(turn, last)),)
    return (_request(turn),)


def receive(turn: Turn, fact: Fact) -> Turn:
    """The turn after a fact; ``TurnError`` when the fact answers nothing that is pending."""
    match fact:
        case TurnStarted():
            return _start(turn, fact)
        case UserMessage():
            return _deliver(replace(turn, queued=(*turn.queued, fact)))
        case ModelResponse():
            return _respond(turn, fact)
        case ToolResult():
            return _deliver(_resolve(turn, fact))
        case ApprovalRequested() | OutcomeUnknown():
            _check_open(turn, fact.call_id)
            return replace(turn, requested=(*_without(turn.requested, fact.call_id), fact))
        case ApprovalDecision():
            return _decide(turn, fact)
        case OutcomeDecision():
            return _settle(turn, fact)
        case HistoryReplaced():
            return _deliver(replace(turn, messages=fact.messages, requested=(), approved=()))
        case TurnStopped():
            return turn if turn.stopped is not None else replace(turn, stopped=fact, usage=turn.usage + fact.usage)


def cancel(turn: Turn, *, reason: str = "cancelled by the user", begun: Collection[str] = ()) -> tuple[Fact, ...]:
    """Facts that close every open call with ``reason``, in call order; none where none is open.

    Of calls that had ``begun`` to change something, and of those of which that is not known, it says so.
    """
    begun = {*begun, *(request.call_id for request in turn.requested if isinstance(request, OutcomeUnknown))}
    return tuple(
        ToolResult(
            call_id=call.id,
            name=call.name,
            content=f"no result: {reason}{_HAD_BEGUN if call.id in begun else ''}",
            is_error=True,
        )
        for call in open_calls(turn.messages)
    )


def rebuild(facts: Iterable[Fact]) -> Turn:
    """The turn that these facts made, the first being a ``TurnStarted``. Asks nobody anything."""
    turn: Turn | None = None
    for fact in facts:
        if turn is not None:
            turn = receive(turn, fact)
        elif isinstance(fact, TurnStarted):
            turn = Turn(started=fact)
        else:
            raise TurnError(f"the first fact of a turn is turn_started, not {fact.kind}")
    if turn is None:
        raise TurnError("no facts: a turn begins with turn_started")
    return turn


def open_calls(messages: tuple[Message, ...]) -> tuple[ToolCall, ...]:
    """The calls of the last response that have no result yet, in call order."""
    answered = set[str]()
    for message in reversed(messages):
        match message:
            case ToolResult():
                answered.add(message.call_id)
            case UserMessage():
                return ()
            case ModelResponse():
                return tuple(call for call in message.tool_calls if call.id not in answered)
    return ()


def approval(turn: Turn, call_id: str) -> ApprovalDecision | None:
    """The latest approval of this open call, where a person gave one."""
    return next((d for d in reversed(turn.approved) if d.call_id == call_id and isinstance(d, ApprovalDecision)), None)


def times_let_through(turn: Turn, call_id: str) -> int:
    """How often a person let this open call run, or run again."""
    return sum(decision.call_id == call_id for decision in turn.approved)


def _request(turn: Turn) -> ModelRequest:
    started = turn.started
    return ModelRequest(
        model=started.model,
        instructions=started.instructions,
        messages=turn.messages,
        # At the limit the model is asked once more without tools, so that the turn ends in words.
        tools=started.tools if turn.step < started.max_steps else (),
        settings=started.settings,
    )


def _start(turn: Turn, fact: TurnStarted) -> Turn:
    """Go on with the same turn under new terms, or begin the next one."""
    if fact.turn == turn.started.turn:
        return replace(turn, started=fact, stopped=None)
    if calls := open_calls(turn.messages):
        raise TurnError(f"turn {fact.turn} cannot begin: call {calls[0].id!r} is open")
    return Turn(started=fact, messages=turn.messages, granted=turn.granted)


def _respond(turn: Turn, response: ModelResponse) -> Turn:
    (asked, *_) = pending(turn)
    if not isinstance(asked, ModelRequest):
        raise TurnError(f"a model response came, but {type(asked).__name__} is pending")
    if turn.step >= turn.started.max_steps or _STOP_REASONS.get(response.finish_reason) != "end_turn":
        # Some models call tools although none are offered any more; and the calls of an answer that was
        # cut may be cut themselves. Neither runs, so neither may stay in the history without a result.
        response = replace(response, tool_calls=())
    return replace(
        turn,
        # Eight times as fast as unpacking, and a turn may have thousands of messages.
        messages=turn.messages + (response,),  # noqa: RUF005
        step=turn.step + 1,
        usage=turn.usage + response.usage,
        # Some providers use the same call ids in every response: approvals end with the step.
        approved=(),
    )


def _resolve(turn: Turn, result: ToolResult) -> Turn:
    """The turn with the result in the place of its call: history must not depend on which tool was faster."""
    _check_open(turn, result.call_id)
    at = len(turn.messages)
    while isinstance(turn.messages[at - 1], ToolResult):
        at -= 1
    response = turn.messages[at - 1]
    assert isinstance(response, ModelResponse)
    results = {each.call_id: each for each in cast("tuple[ToolResult, ...]", turn.messages[at:])}
    results[result.call_id] = result
    ordered = tuple(results[call.id] for call in response.tool_calls if call.id in results)
    return replace(
        turn,
        messages=turn.messages[:at] + ordered,
        requested=_without(turn.requested, result.call_id),
    )


def _decide(turn: Turn, decision: ApprovalDecision) -> Turn:
    turn, request = _taken_up(turn, decision, ApprovalRequested)
    if not decision.is_approved:
        said = f"denied: {decision.reason}" if decision.reason else "denied"
        return receive(turn, ToolResult(call_id=request.call_id, name=request.name, content=said, is_error=True))
    requested, granted = _without(turn.requested, decision.call_id), turn.granted
    if decision.scope == "session":
        # Calls of the same tool that stand beside this one need not wait either.
        requested = tuple(r for r in requested if r.name != request.name or isinstance(r, OutcomeUnknown))
        granted |= {request.name}
    return replace(turn, requested=requested, approved=(*turn.approved, decision), granted=granted)


def _settle(turn: Turn, decision: OutcomeDecision) -> Turn:
    turn, request = _taken_up(turn, decision, OutcomeUnknown)
    if decision.outcome == "retry":
        requested = _without(turn.requested, decision.call_id)
        return replace(turn, requested=requested, approved=(*turn.approved, decision))
    is_error = decision.outcome == "failed"
    said = f"failed: {decision.text or 'it did not take effect'}" if is_error else decision.text
    return receive(turn, ToolResult(call_id=request.call_id, name=request.name, content=said, is_error=is_error))


def _taken_up(turn: Turn, decision: Decision, kind: type[Waiting]) -> tuple[Turn, Waiting]:
    """The turn, going on again where it had stopped to wait for a person, and what the decision answers."""
    request = next((r for r in turn.requested if r.call_id == decision.call_id and isinstance(r, kind)), None)
    if request is None:
        raise TurnError(f"a decision came for call {decision.call_id!r}, which waits for none")
    if turn.stopped is not None and turn.stopped.stop_reason in WAITS_FOR_A_PERSON:
        turn = replace(turn, stopped=None)
    return turn, request


def _deliver(turn: Turn) -> Turn:
    """Move queued user messages into the history once no call is open."""
    if not turn.queued or open_calls(turn.messages):
        return turn
    return replace(turn, messages=(*turn.messages, *turn.queued), queued=())


def _check_open(turn: Turn, call_id: str) -> None:
    if all(call.id != call_id for call in open_calls(turn.messages)):
        raise TurnError(f"a fact came for call {call_id!r}, which is not pending")


def _without(requests: tuple[Waiting, ...], call_id: str) -> tuple[Waiting, ...]:
    return tuple(request for request in requests if request.call_id != call_id)


def _why(turn: Turn, response: ModelResponse) -> TurnStopped:
    """Why the turn ends with this response; only an answer in words is a success."""
    reason = _STOP_REASONS.get(response.finish_reason, "error")
    if reason != "end_turn":
        return TurnStopped(
            stop_reason=reason, detail=f"the model stopped with finish_reason {response.finish_reason!r}"
        )
    if turn.step > turn.started.max_steps:
        return TurnStopped(stop_reason="max_steps", detail=f"the limit of {turn.started.max_steps} steps was reached")
    if response.finish_reason == "tool_calls" and not response.hosted_calls:
        return TurnStopped(stop_reason="error", detail="the model announced tool calls and sent none")
    if not response.text.strip():
        thought = "only thinking, no answer" if response.reasoning.strip() else "nothing"
        return TurnStopped(stop_reason="empty", detail=f"the model returned {thought}")
    return TurnStopped(stop_reason="end_turn")


def _result(turn: Turn, why: TurnStopped) -> TurnResult:
    last = turn.messages[-1] if turn.messages else None
    return TurnResult(
        # GLM up to 4.7 begins its text with a line break; the history keeps it, people need not see it.
        output=last.text.lstrip("\n") if isinstance(last, ModelResponse) else "",
        stop_reason=why.stop_reason,
        usage=turn.usage,
        messages=turn.messages,
        detail=why.detail,
        session=turn.started.session,
        steps=turn.step,
    )
