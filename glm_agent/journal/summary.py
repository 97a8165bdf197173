"""What a list of sessions shows of each, made from its records. Pure: no file, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from glm_agent.errors import TurnError
from glm_agent.messages import Fact, ModelResponse, StopReason, TurnResult, TurnStarted, Usage, UserMessage
from glm_agent.turn import pending, rebuild

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


def summarise(id: str, *, origin: Origin, facts: Sequence[Fact], updated: float) -> SessionSummary:
    """The summary of a session with these facts, the last kept at ``updated``."""
    starts = [fact for fact in facts if isinstance(fact, TurnStarted)]
    responses = [fact for fact in facts if isinstance(fact, ModelResponse)]
    said = next((fact.text for fact in facts if isinstance(fact, UserMessage)), "")
    return SessionSummary(
        id=id,
        origin=origin,
        updated=updated,
        title=title(said),
        model=starts[-1].model if starts else "",
        stop_reason=stop_reason(facts),
        turns=len({start.turn for start in starts}),
        steps=len(responses),
        usage=sum((response.usage for response in responses), Usage()),
    )


def title(text: str) -> str:
    """The text on one line, cut."""
    # A message may be a megabyte: what is far behind the cut need not be split into words.
    line = " ".join(text[: 20 * TITLE_CHARACTERS].split())
    line = line.encode(errors="replace").decode()
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"


def stop_reason(facts: Sequence[Fact]) -> StopReason | None:
    """How the latest turn of these facts ended; None where it has not, or where they are no turn."""
    try:
        last = pending(rebuild(facts))[-1]
    except TurnError:
        return None
    return last.stop_reason if isinstance(last, TurnResult) else None
