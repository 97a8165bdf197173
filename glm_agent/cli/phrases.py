"""Words for the terminal: calls, outcomes, durations and figures on one line. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from glm_agent.messages import Fact, ToolCall, ToolResult, Usage

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, recolour the screen or turn text around: models and tools write freely."""

SHOWN_CHARACTERS: Final = 100


def clean(text: str) -> str:
    """The text without control characters other than line ends and tabs."""
    return _CONTROL.sub("", text)


def short(text: str, *, limit: int = SHOWN_CHARACTERS) -> str:
    """The text on one line, cut."""
    line = " ".join(clean(text[: 4 * limit]).split())
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[: limit - 1].rstrip()}…"


def call(tool_call: ToolCall, *, limit: int = SHOWN_CHARACTERS) -> str:
    """A call as ``name(key=value, …)``, or with its arguments as they came where they are no object."""
    return f"{clean(tool_call.name)}({short(_arguments(tool_call.arguments), limit=limit)})"


def outcome(result: ToolResult, *, limit: int = SHOWN_CHARACTERS) -> str:
    """What came of a call: the first words, and how much more there is."""
    lines = result.content.count("\n") + 1
    more = f" ({lines:,} lines)" if lines > 1 else ""
    pictures = f" + {len(result.attachments)} attached" if result.attachments else ""
    return f"{short(result.content, limit=limit - len(more))}{more}{pictures}"


def fact(kept: Fact) -> str:
    """A fact as people read it; empty for what only machines need."""
    match kept.kind:
        case "turn_started":
            return f"--- turn {kept.turn}: {kept.model}, {count(len(kept.tools), 'tool')}"
        case "user_message":
            return f"user: {kept.text}"
        case "model_response":
            calls = "".join(f"\ncall: {call(each, limit=400)}" for each in kept.tool_calls)
            return (f"model: {kept.text.strip()}" if kept.text.strip() else "model:") + calls
        case "tool_result":
            return f"{'error' if kept.is_error else 'result'}: {kept.name}: {outcome(kept, limit=400)}"
        case "approval_requested":
            return f"waits for approval: {kept.name} ({kept.call_id}) {kept.arguments}"
        case "approval_decision":
            return f"{'approved' if kept.is_approved else 'denied'}: {kept.call_id} {kept.reason}"
        case "outcome_unknown":
            return f"unknown outcome: {kept.name} ({kept.call_id}) {kept.arguments}"
        case "outcome_decision":
            return f"decided: {kept.call_id}: {kept.outcome} {kept.text}"
        case "turn_stopped":
            return f"stopped: {kept.stop_reason}: {kept.detail}"
        case "history_replaced":
            return f"history replaced: {kept.reason}"


def duration(seconds: float) -> str:
    """``8 ms``, ``1.2 s``, ``3 min 5 s``."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def usage(spent: Usage) -> str:
    """Tokens in and out, with the share of the prompt that was cached."""
    cached = f" ({spent.cached_tokens / spent.input_tokens:.0%} cached)" if spent.input_tokens else ""
    return f"{spent.input_tokens:,} tokens in{cached}, {spent.output_tokens:,} out"


def cost(usd: float | None) -> str:
    """``$0.0123``; empty where the price is not known."""
    if usd is None:
        return ""
    return f"${usd:.4f}" if usd >= 0.0001 or not usd else "under $0.0001"


def count(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _arguments(text: str) -> str:
    try:
        values: Any = json.loads(text or "{}")
    except ValueError:
        return text
    if not isinstance(values, dict):
        return text
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items())  # pyright: ignore[reportUnknownVariableType]


def _value(value: Any) -> str:
    return json.dumps(short(value, limit=60) if isinstance(value, str) else value, ensure_ascii=False)
