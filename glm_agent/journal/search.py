"""Finding words in what was said and done. Pure: it is handed the rows.

A text is found wherever it stands, in words and in parts of them, since Chinese has no spaces between
its words and identifiers are half remembered. So the rows are read, and there is no index that every
kept fact would have to pay for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from glm_agent.messages import Fact, fact_from_json

CONTEXT_CHARACTERS: Final = 60
"""Shown on each side of what was found."""

KINDS: Final = (
    "user_message",
    "model_response",
    "tool_result",
    "approval_requested",
    "approval_decision",
    "outcome_decision",
    "turn_stopped",
    "history_replaced",
)
"""Records that hold words of somebody; the start of a turn holds the tools' descriptions, again and again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A place where a text was found."""

    session: str
    at: float
    """When it was kept, in seconds since 1970."""
    step: int
    """Number of the model response it belongs to, within the session; 0 before the first."""
    who: str
    """``user``, ``model``, ``thinking``, ``call NAME``, ``result NAME`` and the like."""
    before: str
    found: str
    """As it stands there."""
    after: str


def hits(text: str, rows: Iterable[tuple[float, str, str]], *, session: str) -> Iterator[Hit]:
    """Where ``text`` stands in the rows (time, kind, JSON) of a session, capital letters or not; once in each text."""
    wanted = re.compile(r"\s+".join(map(re.escape, text.split())), re.IGNORECASE)
    # Most rows are passed over without being read: in JSON, a word stands as it is but for its escapes.
    word = json.dumps(max(text.split(), key=len), ensure_ascii=False)[1:-1].casefold()
    step = 0
    for at, kind, data in rows:
        step += kind == "model_response"
        if word not in data.casefold():
            continue
        for who, said in _texts(fact_from_json(data)):
            if match := wanted.search(said):
                before = said[max(0, match.start() - CONTEXT_CHARACTERS) : match.start()]
                after = said[match.end() : match.end() + CONTEXT_CHARACTERS]
                yield Hit(session=session, at=at, step=step, who=who, before=before, found=match[0], after=after)


def _texts(fact: Fact) -> Iterator[tuple[str, str]]:
    """Who said what in a fact."""
    match fact.kind:
        case "user_message":
            yield "user", fact.text
        case "model_response":
            yield "thinking", fact.reasoning
            yield "model", fact.text
            yield from ((f"call {call.name}", call.arguments) for call in fact.tool_calls)
        case "tool_result":
            yield f"{'error' if fact.is_error else 'result'} {fact.name}", fact.content
        case "history_replaced":
            for message in fact.messages:
                yield from _texts(message)
        case "approval_requested":
            yield f"approval of {fact.name}", f"{fact.arguments} {fact.reason}"
        case "approval_decision":
            yield "approved" if fact.is_approved else "denied", fact.reason
        case "outcome_decision":
            yield f"decided {fact.outcome}", fact.text
        case "turn_stopped":
            yield f"stopped {fact.stop_reason}", fact.detail
        case _:
            pass
