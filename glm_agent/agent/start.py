"""The facts a run begins with: a new conversation, the next turn of one, or the rest of a turn. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glm_agent.context import repair
from glm_agent.errors import ConfigurationError
from glm_agent.messages import ApprovalDecision, Fact, HistoryReplaced, Message, TurnResult, TurnStarted, UserMessage
from glm_agent.turn import Turn, cancel, pending


def begin(
    stored: Turn | None,
    started: TurnStarted,
    message: UserMessage | None,
    *,
    messages: Sequence[Message] | None,
    decisions: Sequence[ApprovalDecision],
) -> tuple[Turn, list[Fact]]:
    """The turn to drive and the facts it begins with. Without ``message``, what is there is gone on with."""
    if stored is None:
        return _new_session(started, message, messages)
    if messages is not None:
        raise ConfigurationError(
            f"the session {started.session!r} has a conversation of its own: leave out messages=, or use a new session"
        )
    if message is None:
        return stored, _rest_of_turn(stored, started, decisions)
    closed = cancel(stored, reason="the turn was left and a new message came")
    return stored, [*closed, replace(started, turn=stored.started.turn + 1), message]


def _new_session(
    started: TurnStarted, message: UserMessage | None, messages: Sequence[Message] | None
) -> tuple[Turn, list[Fact]]:
    """A history from outside is mended where the wire would refuse it; its open calls run unless a message came."""
    if message is None and not messages:
        raise ConfigurationError("there is nothing to answer: give a prompt, or messages= or a session= to go on with")
    facts: list[Fact] = [started]
    # Type checkers know better than notebooks.
    if wrong := [each for each in messages or () if not isinstance(each, Message)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            "messages= takes UserMessage, ModelResponse and ToolResult, such as an earlier result.messages, "
            f"not {wrong[0]!r}"
        )
    if messages:
        facts.append(HistoryReplaced(messages=repair(messages, keep_open=message is None), reason="given"))
    if message is not None:
        facts.append(message)
    return Turn(started=started), facts


def _rest_of_turn(turn: Turn, started: TurnStarted, decisions: Sequence[ApprovalDecision]) -> list[Fact]:
    """What is left of a turn that was cut off, under the terms of now; nothing where it has its answer."""
    waiting = {request.call_id for request in turn.requested}
    for decision in decisions:
        if decision.call_id not in waiting:
            known = ", ".join(sorted(waiting)) or "none"
            raise ConfigurationError(f"no call {decision.call_id!r} waits for approval; waiting: {known}")
    if turn.messages:
        (first, *_) = pending(turn)
        if isinstance(first, TurnResult) and first.stop_reason == "end_turn":
            return []
    return [replace(started, turn=turn.started.turn), *decisions]
