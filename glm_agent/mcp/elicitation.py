"""Questions of servers to a person, put to the same ``Asker`` that tools ask through. Pure but for that.

A form is a flat JSON Schema, see ``registry.forms``; an address is a question whose answer is ``True`` when the
person goes there. Source: the elicitation chapter of MCP 2025-11-25 and 2026-07-28.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from glm_agent.mcp import sanitize
from glm_agent.messages import JsonObject
from glm_agent.registry import forms
from glm_agent.registry.asking import DISMISSED, Asker, Question

MAX_QUESTION = 4096
"""Characters of what a server says to a person."""

MAX_FIELDS = 50
"""Fields of a form; nobody fills in more."""

_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of a question, in the protocol's words."""

    action: Literal["accept", "decline", "cancel"] = "decline"
    content: JsonObject = field(default_factory=dict[str, Any])
    """The filled-in form; empty for an address."""


def form(server: str, message: str, schema: Mapping[str, Any]) -> Question:
    """The question of a form, its words cleaned and its size bounded."""
    cleaned = sanitize.schema(dict(schema))
    kept = dict(list(forms.fields(cleaned).items())[:MAX_FIELDS])
    needed = sorted(forms.required(cleaned) & kept.keys(), key=list(kept).index)
    shape = {"type": "object", "properties": kept, "required": needed}
    return Question(text=sanitize.description(message, limit=MAX_QUESTION), schema=shape, server=server)


def address(server: str, message: str, url: str) -> Question:
    """The question whether the person goes to an address."""
    text = sanitize.description(message, limit=MAX_QUESTION)
    return Question(text=text, schema={"type": "boolean"}, server=server, url=url)


def is_web_page(url: str) -> bool:
    """Whether an address may be shown as one to go to: a server could name a program or a file."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and sanitize.description(url) == url


async def answered(asker: Asker, question: Question) -> Answer:
    """What the person says; a form that does not fit is asked for again, and declined after the third time."""
    for _ in range(_ATTEMPTS):
        said = await asker(question)
        if said is DISMISSED:
            return Answer(action="cancel")
        if said is None or said is False:
            return Answer()
        if question.url:
            return Answer(action="accept")
        try:
            return Answer(action="accept", content=forms.check_form({} if said is True else said, question.schema))
        except ValueError as error:
            question = replace(question, problem=str(error))
    return Answer()


async def decline(question: Question) -> Any:  # noqa: ARG001
    """What is answered where nobody is there."""
    return None


async def accept_defaults(question: Question) -> Any:
    """Take what a form proposes; decline where it proposes nothing for a field that it needs, and addresses."""
    content = forms.defaults(question.schema)
    return None if question.url or forms.required(question.schema) - content.keys() else content
