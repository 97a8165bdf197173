"""What a list of sessions shows of each, made from its records. Pure: no file, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from glm_agent.errors import TurnError
from glm_agent.messages import (
    Fact,
    JsonObject,
    ModelResponse,
    StopReason,
    TurnResult,
    TurnStarted,
    TurnStopped,
    Usage,
    UserMessage,
    fact_to_json,
)
from glm_agent.models.catalog import cost_usd
from glm_agent.turn import Turn, pending, rebuild

TITLE_CHARACTERS: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a session began; kept once, with its first record."""

    created: float
    """Seconds since 1970."""
    folder: str = ""
    """The working directory of the process that began it."""
    task: str = ""
    """The task file it began with; empty where there was none."""
    version: str = ""
    """The version of glm-agent that began it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """How a session is run, as its latest writer had it; no part of the conversation."""

    options: JsonObject = field(default_factory=dict[str, Any])
    """What the front door was given, so that it can go on in the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSummary:
    """A session in one line."""

    id: str
    origin: Origin
    updated: float
    """When the last record was kept, in seconds since 1970."""
    title: str = ""
    """The first user message, on one line, at most 80 characters."""
    model: str = ""
    """Of the latest turn."""
    stop_reason: StopReason | None = None
    """Of the latest turn; None while it runs, or when it was cut off and can be resumed."""
    turns: int = 0
    steps: int = 0
    """Model responses, over all turns."""
    usage: Usage = field(default_factory=Usage)
    """Sum over all turns."""
    cost_usd: float | None = 0.0
    """By the catalog's prices; None where one is not known."""
    settings_hash: str = ""
    """Of what the latest turn's requests are made of (instructions, tools, settings): equal for equal ones."""
    waiting: int = 0
    """Calls that wait for a person."""
    versions: tuple[str, ...] = ()
    """The versions of glm-agent that wrote it, in their order."""


def summarise(
    id: str, *, origin: Origin, facts: Sequence[Fact], updated: float, turn: Turn | None = None
) -> SessionSummary:
    """The summary of a session with these facts, the last kept at ``updated``; ``turn`` is theirs where it is known."""
    turn = turn or _turn(facts)
    starts = [fact for fact in facts if isinstance(fact, TurnStarted)]
    responses = [fact for fact in facts if isinstance(fact, ModelResponse)]
    said = next((fact.text for fact in facts if isinstance(fact, UserMessage)), "")
    return SessionSummary(
        id=id,
        origin=origin,
        updated=updated,
        title=title(said),
        model=starts[-1].model if starts else "",
        stop_reason=_stop_reason(turn),
        turns=len({start.turn for start in starts}),
        steps=len(responses),
        usage=sum((fact.usage for fact in facts if isinstance(fact, ModelResponse | TurnStopped)), Usage()),
        cost_usd=_cost(facts),
        settings_hash=settings_hash(starts[-1]) if starts else "",
        waiting=len(turn.requested) if turn is not None else 0,
        versions=tuple(dict.fromkeys(filter(None, [origin.version, *(start.version for start in starts)]))),
    )


def settings_hash(started: TurnStarted) -> str:
    """Equal for turns whose requests are made of the same."""
    text = fact_to_json(replace(started, session="", turn=1, version=""))
    return hashlib.sha256(text).hexdigest()[:12]


def _cost(facts: Sequence[Fact]) -> float | None:
    """What all requests cost, each by the price of the model that its turn was started with."""
    model, total = "", 0.0
    for fact in facts:
        if isinstance(fact, TurnStarted):
            model = fact.model
        elif isinstance(fact, ModelResponse | TurnStopped) and fact.usage != Usage():
            cost = cost_usd(model, fact.usage)
            if cost is None:
                return None
            total += cost
    return total


def title(text: str) -> str:
    """The text on one line, cut."""
    # A message may be a megabyte: what is far behind the cut need not be split into words.
    line = " ".join(text[: 20 * TITLE_CHARACTERS].split())
    line = line.encode(errors="replace").decode()
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"


def _turn(facts: Sequence[Fact]) -> Turn | None:
    try:
        return rebuild(facts)
    except TurnError:
        return None


def _stop_reason(turn: Turn | None) -> StopReason | None:
    try:
        last = pending(turn)[-1] if turn is not None else None
    except TurnError:  # nothing was said yet
        return None
    return last.stop_reason if isinstance(last, TurnResult) else None
