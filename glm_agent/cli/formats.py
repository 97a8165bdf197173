"""What is written to stdout: the answer as text, one JSON object, or one event per line.

The JSON forms are documented in ``docs/cli.md``; ``VERSION`` changes with them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, cast

from glm_agent.errors import AgentError
from glm_agent.messages import Event, StopReason, TurnResult, Usage
from glm_agent.models.catalog import cost_usd

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Format: TypeAlias = Literal["text", "json", "jsonl"]

VERSION: Final[Literal[1]] = 1


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


def write_event(event: Event | Result) -> None:
    """One event, or the result, as a line of JSON."""
    # The kind first, so that a person who reads along sees it.
    write_line({"kind": event.kind, **asdict(event)})


def write_line(values: Mapping[str, Any]) -> None:
    """One object as a line of JSON."""
    write(json.dumps(values, ensure_ascii=False, default=str) + "\n")


def write(text: str) -> None:
    """Text to stdout at once, as UTF-8; half characters out of a cut stream are replaced.

    Raises ``AgentError`` where it cannot be written, on a full disk for example.
    """
    try:
        sys.stdout.buffer.write(text.encode(errors="replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has left, such as ``head``; the work goes on, and what is written goes nowhere.
        _to_nowhere()
    except OSError as error:
        _to_nowhere()  # else the interpreter tries once more at its end
        raise AgentError(f"the output cannot be written to stdout: {error.strerror or error}") from error


def _to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What was raised."""

    type: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Tokens of all requests of the turn."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a run ended: the object of ``--format json`` and the last line of ``jsonl``."""

    output: Any
    """The answer; null where the run raised or was interrupted."""
    stop_reason: StopReason
    detail: str
    exit_code: int
    session: str
    """What ``--resume`` and ``--session`` take; empty with ``--no-session``."""
    model: str
    steps: int
    usage: Tokens
    cost_usd: float | None
    """By the catalog's prices; null where they are not known."""
    duration_seconds: float
    error: Failure | None
    version: Literal[1] = VERSION
    kind: Literal["result"] = "result"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What a run took."""

    model: str
    steps: int
    usage: Usage
    duration_seconds: float

    @property
    def cost_usd(self) -> float | None:
        return cost_usd(self.model, self.usage)


def of_result(result: TurnResult, spent: Spent, *, exit_code: int, session: str) -> Result:
    """The object of a turn that has a result."""
    output = result.output if isinstance(result.output, str) else json.loads(as_text(result.output))
    return _result(spent, output, result.stop_reason, result.detail, exit_code=exit_code, session=session, error=None)


def of_error(error: BaseException, spent: Spent, *, exit_code: int, session: str) -> Result:
    """The object of a run that raised or was interrupted."""
    reason: StopReason = "error" if isinstance(error, AgentError) else "cancelled"
    failure = Failure(type=type(error).__name__, message=str(error))
    return _result(spent, None, reason, str(error), exit_code=exit_code, session=session, error=failure)


def read_line(line: bytes) -> Event | Result:
    """What a line of ``jsonl`` says; ``ValueError`` where it is none."""
    return cast("Event | Result", _lines().validate_json(line))


def line_schema() -> dict[str, Any]:
    """The JSON Schema of one line of ``jsonl``; that of ``json`` is its ``Result``."""
    schema = _lines().json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "glm-agent run, version 1", **schema}


@cache
def _lines() -> TypeAdapter[Any]:
    from pydantic import Discriminator, TypeAdapter

    return TypeAdapter(Annotated[Event | Result, Discriminator("kind")])


def _result(
    spent: Spent,
    output: Any,
    stop_reason: StopReason,
    detail: str,
    *,
    exit_code: int,
    session: str,
    error: Failure | None,
) -> Result:
    usage = Tokens(**asdict(spent.usage), total_tokens=spent.usage.total_tokens)
    return Result(
        output=output,
        stop_reason=stop_reason,
        detail=detail,
        exit_code=exit_code,
        session=session,
        model=spent.model,
        steps=spent.steps,
        usage=usage,
        cost_usd=spent.cost_usd,
        duration_seconds=round(spent.duration_seconds, 3),
        error=error,
    )
