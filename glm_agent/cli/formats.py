"""What is written to stdout: the answer as text, one JSON object, or one event per line.

The JSON forms are documented in ``docs/cli.md``; ``VERSION`` changes with them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias

from glm_agent.errors import AgentError
from glm_agent.messages import Event, TurnResult, Usage

Format: TypeAlias = Literal["text", "json", "jsonl"]

VERSION: Final = 1


def write_answer(result: TurnResult) -> None:
    """The answer alone; as rendered Markdown on a terminal, else exactly as it came."""
    text = as_text(result.output)
    if not text.strip():
        return
    if not sys.stdout.isatty():
        write(text if text.endswith("\n") else f"{text}\n")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    from glm_agent.cli import phrases

    Console().print(Markdown(phrases.clean(text)))


def as_text(output: Any) -> str:
    """An output of any type as text; what is no text as JSON."""
    if isinstance(output, str):
        return output
    from pydantic_core import to_json

    return to_json(output, indent=2, fallback=str).decode()


def write_event(event: Event) -> None:
    """One event as a line of JSON."""
    # The kind first, so that a person who reads along sees it.
    write_line({"kind": event.kind, **asdict(event)})


def write_line(values: dict[str, Any]) -> None:
    """One object as a line of JSON."""
    write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def write(text: str) -> None:
    """Text to stdout at once, as UTF-8; half characters out of a cut stream are replaced."""
    sys.stdout.buffer.write(text.encode(errors="replace"))
    sys.stdout.flush()


def result_object(result: TurnResult, *, exit_code: int, **more: Any) -> dict[str, Any]:
    """How a turn ended, as documented."""
    return {
        "kind": "result",
        "version": VERSION,
        "output": json.loads(as_text(result.output)) if not isinstance(result.output, str) else result.output,
        "stop_reason": result.stop_reason,
        "detail": result.detail,
        "exit_code": exit_code,
        "session": result.session,
        "steps": result.steps,
        "usage": _usage(result.usage),
        "error": None,
        **more,
    }


def error_object(
    error: BaseException, *, exit_code: int, session: str, usage: Usage, steps: int, **more: Any
) -> dict[str, Any]:
    """The same for a turn that raised or was interrupted: there is no output then."""
    stop_reason = "error" if isinstance(error, AgentError) else "cancelled"
    return {
        "kind": "result",
        "version": VERSION,
        "output": None,
        "stop_reason": stop_reason,
        "detail": str(error),
        "exit_code": exit_code,
        "session": getattr(error, "session", "") or session,
        "steps": steps,
        "usage": _usage(usage),
        "error": {"type": type(error).__name__, "message": str(error)},
        **more,
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {**asdict(usage), "total_tokens": usage.total_tokens}
