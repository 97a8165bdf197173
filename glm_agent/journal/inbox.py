"""Decisions on calls that wait, left by other processes: which may be made, and which still count. Pure.

A waiting call is named by its *place*, the number of its request among the session's facts: call ids
are used again and again, and a decision must never answer a later call than the one it was made on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from glm_agent.errors import ConfigurationError, TurnError
from glm_agent.journal.records import encode
from glm_agent.messages import ApprovalRequested, Decision, Fact
from glm_agent.turn import Waiting, rebuild

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Left: TypeAlias = tuple[int, Decision]
"""A decision and the place of the request it was made on."""


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that waits for a person."""

    place: int
    """The number of its request among the session's facts, from 0."""
    request: Waiting

    @property
    def is_begun(self) -> bool:
        """Whether the question is what came of it, and not whether it may run."""
        return not isinstance(self.request, ApprovalRequested)


def waiting(facts: Sequence[Fact]) -> dict[str, WaitingCall]:
    """The calls of a session that wait for a person, by their ids, in call order."""
    if not any(isinstance(fact, Waiting) for fact in facts):
        return {}
    try:
        requested = rebuild(facts).requested
    except TurnError:
        return {}
    places = {id(fact): place for place, fact in enumerate(facts)}
    return {request.call_id: WaitingCall(places[id(request)], request) for request in requested}


def still_open(left: Iterable[Left], facts: Sequence[Fact]) -> tuple[Decision, ...]:
    """Those of the decisions whose calls still wait."""
    places = {call.place for call in waiting(facts).values()}
    return tuple(decision for place, decision in left if place in places)


def place_of(decision: Decision, calls: Mapping[str, WaitingCall], *, session: str) -> int:
    """The place of the call that a decision answers; ``ConfigurationError`` says what waits instead."""
    call = calls.get(decision.call_id)
    if call is None:
        known = ", ".join(map(described, calls.values())) or "none"
        raise ConfigurationError(
            f"no call '{decision.call_id}' of session '{session}' waits for a person; waiting: {known}"
        )
    if call.is_begun == (decision.kind == "outcome_decision"):
        return call.place
    if call.is_begun:
        raise ConfigurationError(
            f"call '{decision.call_id}' of session '{session}' was begun by a process that is gone, and the question "
            f"is what came of it: glm-agent sessions decide {session} {decision.call_id} --done, --failed or --retry"
        )
    raise ConfigurationError(
        f"call '{decision.call_id}' of session '{session}' waits for approval, and never ran: "
        f"glm-agent sessions approve {session} {decision.call_id}, or sessions deny"
    )


def described(call: WaitingCall) -> str:
    """A waiting call in a list of them."""
    return f"{call.request.call_id} ({call.request.name}, {'unknown outcome' if call.is_begun else 'approval'})"


def to_text(decision: Decision) -> str:
    """The decision as JSON text; text in it that is no Unicode is mended."""
    return encode(decision)[1]


def from_text(text: str) -> Decision:
    """The decision in JSON text."""
    return _decisions().validate_json(text)


@cache
def _decisions() -> TypeAdapter[Decision]:
    from pydantic import TypeAdapter

    return TypeAdapter(Decision)
