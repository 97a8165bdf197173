"""Questions that a running tool, or an MCP server, has for the person, and reading what the person says.

Knows nothing of terminals and web pages: whoever runs the agent hands in an ``Asker``, and there is one kind of
question, whoever asks it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from glm_agent.errors import ConfigurationError, ToolError
from glm_agent.messages import JsonObject
from glm_agent.schema import glm_schema

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a running call wants to know."""

    text: str
    schema: JsonObject
    """JSON Schema of the answer: a ``boolean`` to agree to, an ``enum`` to choose from, an ``object`` to fill in."""
    tool: str = ""
    """The tool that asks; empty where a server does."""
    call_id: str = ""
    server: str = ""
    """The MCP server that asks; empty where a tool does. Its answer leaves this machine's hands."""
    url: str = ""
    """Where the person is to go, in a browser, before the answer is ``True``; never to be opened unasked."""
    problem: str = ""
    """Why the last answer to this question did not fit; empty the first time."""


class Dismissed(Enum):
    """An answer that is none: the person went away, and said neither yes nor no."""

    DISMISSED = "dismissed"


DISMISSED: Final = Dismissed.DISMISSED

Asker: TypeAlias = Callable[[Question], Awaitable[Any]]
"""Asks the person. Returns a value that fits the question's schema; None when the person declines; ``DISMISSED``
when there was no answer, which tools see as None, and servers as a question that may be asked again."""


async def ask(asker: Asker | None, question: Question, *, answer: Any) -> Any:
    """The person's answer as a value of the type ``answer``; None when declined, or when nobody is there.

    Raises ``ToolError`` when the third answer still does not fit.
    """
    if asker is None:
        return None
    for _ in range(_ATTEMPTS):
        said = await asker(question)
        if said is None or said is DISMISSED:
            return None
        try:
            return _read(said, answer)
        except ValueError as error:
            question = replace(question, problem=_reason(error))
    raise ToolError(f"the person's answers to {question.text!r} did not fit: {question.problem}")


def question(text: str, *, answer: Any, tool: str, call_id: str) -> Question:
    """The question; ``ConfigurationError`` where ``answer`` is no type with a JSON form."""
    return Question(text=text, schema=_schema(answer), tool=tool, call_id=call_id)


def _schema(kind: Any) -> JsonObject:
    # ``glm_schema`` wants an object at the root: the answer is described as the one property of it.
    described: JsonObject = glm_schema({**_adapter_schema(kind), "type": "object"})
    return described["properties"]["answer"]  # type: ignore[no-any-return]


def _adapter_schema(kind: Any) -> JsonObject:
    from pydantic import PydanticUserError

    try:
        inner = _adapter(kind).json_schema()
    except (PydanticUserError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{kind!r} cannot be asked for: use bool, str, a number, a Literal, an enum, or a model of these"
        ) from error
    definitions = inner.pop("$defs", {})
    return {"properties": {"answer": inner}, "$defs": definitions}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _read(said: Any, kind: Any) -> Any:
    from pydantic_core import to_json

    # As JSON: what comes from a terminal or over a wire holds no enums and dates, but text that means them.
    return _adapter(kind).validate_json(to_json(said))


def _reason(error: ValueError) -> str:
    from pydantic import ValidationError

    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
