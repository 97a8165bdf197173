"""Names of calls that hold in every process that resumes a turn. Pure.

Never the provider's call id: some providers use the same ids in every response.
"""

from __future__ import annotations

import hashlib
import json

from glm_agent.messages import ToolCall, TurnStarted

_canonical = json.JSONEncoder(sort_keys=True).encode  # ``json.dumps`` would make an encoder for every call


def idempotency_key(started: TurnStarted, call: ToolCall, *, step: int, place: int) -> str:
    """Of a call at this place in the response of this step."""
    try:
        arguments = _canonical(json.loads(call.arguments or "{}"))
    except (ValueError, RecursionError):  # RecursionError: ten thousand brackets
        arguments = call.arguments
    parts = (started.session, started.turn, step, place, call.name, arguments)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def nested_key(parent_key: str, call: ToolCall, *, place: int) -> str:
    """Of the call that a tool makes at this place among its own."""
    said = f"{parent_key}/{place}/{call.name}/{call.arguments}"
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()


def intent_key(key: str, *, attempt: int) -> str:
    """The key of a call's intent: what a person let run again is on record once more, else it would seem begun."""
    return f"{key}/{attempt}" if attempt else key
