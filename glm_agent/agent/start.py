"""The facts a run begins with: a new conversation, the next turn of one, or the rest of a turn. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glm_agent.context import repair
from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Decision,
    Fact,
    HistoryReplaced,
    Message,
    OutcomeUnknown,
    ToolCall,
    TurnResult,
    TurnStarted,
    UserMessage,
)
from glm_agent.turn import Turn, cancel, pending, receive


def begin(
    stored: Turn | None,
    started: TurnStarted,
    message: UserMessage | None,
    *,
    messages: Sequence[Message] | None,
    decisions: Sequence[Decision],
    left: Sequence[Decision] = (),
    begun: frozenset[str] = frozenset(),
) -> tuple[Turn, list[Fact]]:
    """The turn to drive and the facts it begins with. Without ``message``, what is there is gone on with.

    ``left`` are the decisions that other processes made before these ``decisions``; ``begun`` are open calls that may
    have taken effect.
    """
    if stored is None:
        return _new_session(started, message, messages)
    if messages is not None:
        raise ConfigurationError(
            f"the session {started.session!r} has a conversation of its own: leave out messages=, or use a new session"
        )
    if message is None:
        return stored, _rest_of_turn(stored, started, decisions, left=left)
    closed = _left_open(stored, begun=begun)
    return stored, [*closed, replace(started, turn=stored.started.turn + 1), message]


def _left_open(turn: Turn, *, begun: frozenset[str]) -> list[Fact]:
    """What closes the calls of a turn that nobody finishes; of those that may have taken effect it says so."""
    unknown = [
        OutcomeUnknown(call_id=call.id, name=call.name, arguments=call.arguments, reason="the turn was left")
        for call in (pending(turn) if turn.messages else ())  # killed before the message was kept
        if isinstance(call, ToolCall) and call.id in begun
    ]
    for fact in unknown:
        turn = receive(turn, fact)
    return [*unknown, *cancel(turn, reason="the turn was left and a new message came")]


def _new_session(
    started: TurnStarted, message: UserMessage | None, messages: Sequence[Message] | None
) -> tuple[Turn, list[Fact]]:
    """A history from outside is mended where the wire would refuse it; its open calls run unless a message came."""
    if message is None and not messages:
        raise ConfigurationError("there is nothing to answer: give a prompt, or messages= or a session= to go on with")
    facts: list[Fact] = [started]
    if messages:
        facts.append(HistoryReplaced(messages=repair(messages, keep_open=message is None), reason="given"))
    if message is not None:
        facts.append(message)
    return Turn(started=started), facts


def _rest_of_turn(
    turn: Turn, started: TurnStarted, decisions: Sequence[Decision], *, left: Sequence[Decision]
) -> list[Fact]:
    """What is left of a turn that was cut off, under the terms of now; nothing where it has its answer."""
    _check(decisions, turn, decided={decision.call_id for decision in left})
    first = pending(turn)[0] if turn.messages else None
    if turn.step == 0 and turn.stopped is None and (first is None or isinstance(first, TurnResult)):
        raise ConfigurationError(
            f"the last turn of the session {started.session!r} was cut off before its message was kept: there is "
            "nothing to finish; say it again, as a new turn of this session (session=, --session)"
        )
    if isinstance(first, TurnResult) and first.stop_reason == "end_turn":
        return []
    return [replace(started, turn=turn.started.turn), *left, *decisions]


def _check(decisions: Sequence[Decision], turn: Turn, *, decided: set[str]) -> None:
    """Each decision must answer a call that waits for one of its kind, and be the only one."""
    for decision in decisions:
        waiting = {request.call_id: request for request in turn.requested if request.call_id not in decided}
        request = waiting.get(decision.call_id)
        if request is None:
            known = ", ".join(f"{each.call_id} ({each.name})" for each in waiting.values()) or "none"
            raise ConfigurationError(f"no call {decision.call_id!r} waits for a decision; waiting: {known}")
        if isinstance(request, ApprovalRequested) != isinstance(decision, ApprovalDecision):
            wanted = "ApprovalDecision" if isinstance(request, ApprovalRequested) else "OutcomeDecision"
            raise ConfigurationError(f"call {decision.call_id!r} waits for an {wanted}, and got {decision!r}")
        decided = {*decided, decision.call_id}
