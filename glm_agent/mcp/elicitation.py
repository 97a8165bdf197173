"""What a server asks a person, as data, and answers that need no person. Pure.

A form is a flat JSON Schema: strings, numbers, booleans and choices. Source: the elicitation chapter of MCP
2025-11-25 and 2026-07-28.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from glm_agent.messages import JsonObject

MAX_TEXT = 2000
"""Characters of one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What one server wants to know."""

    server: str
    message: str
    """The server's words, cleaned."""
    schema: JsonObject = field(default_factory=dict[str, Any])
    """What a form asks for; empty for an address."""
    url: str = ""
    """Where the person is to go instead of filling in a form: never to be opened unasked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of a question."""

    action: Literal["accept", "decline", "cancel"] = "decline"
    content: JsonObject = field(default_factory=dict[str, Any])


async def decline(question: Question) -> Answer:  # noqa: ARG001
    """What is answered where nobody is there."""
    return Answer()


async def accept_defaults(question: Question) -> Answer:
    """Take what the form proposes; decline where it proposes nothing for a field that it needs."""
    content = {name: spec["default"] for name, spec in fields(question.schema).items() if "default" in spec}
    missing = set(cast("list[str]", question.schema.get("required") or [])) - set(content)
    if question.url or missing:
        return Answer()
    return Answer(action="accept", content=content)


def fields(schema: Mapping[str, Any]) -> dict[str, JsonObject]:
    """The fields of a form, in order; what is no field is left out."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: spec for name, spec in cast("dict[str, Any]", properties).items() if isinstance(spec, dict)}


def choices(spec: Mapping[str, Any]) -> dict[str, str]:
    """What may be chosen, value to title: ``enum``, ``oneOf``, or the items of a list of choices."""
    items = spec.get("items")
    source = cast("Mapping[str, Any]", items) if isinstance(items, dict) else spec
    named = source.get("oneOf") or source.get("anyOf")
    if isinstance(named, list):
        options = [cast(JsonObject, option) for option in cast("list[object]", named) if isinstance(option, dict)]
        return {
            str(option["const"]): str(option.get("title", option["const"])) for option in options if "const" in option
        }
    values = [str(value) for value in cast("list[Any]", source.get("enum") or [])]
    titles = [str(title) for title in cast("list[Any]", spec.get("enumNames") or values)]
    return dict(zip(values, titles, strict=False))


def read_answer(text: str, spec: Mapping[str, Any]) -> Any:
    """What a person typed for a field, as its value. Raises ``ValueError`` that says what is wanted."""
    text = text.strip()[:MAX_TEXT]
    allowed = choices(spec)
    match spec.get("type"):
        case "boolean":
            return _boolean(text)
        case "integer" | "number" as kind:
            return _within(_number(text, kind), spec)
        case "array":
            return [_choice(part.strip(), allowed) for part in text.split(",") if part.strip()]
        case _:
            return _choice(text, allowed) if allowed else _sized(text, spec)


def _boolean(text: str) -> bool:
    known = {"y": True, "yes": True, "true": True, "1": True, "n": False, "no": False, "false": False, "0": False}
    if text.lower() not in known:
        raise ValueError("write yes or no")
    return known[text.lower()]


def _number(text: str, kind: str) -> float | int:
    try:
        value = int(text) if kind == "integer" else float(text)
    except ValueError:
        raise ValueError(f"write {'a whole number' if kind == 'integer' else 'a number'}") from None
    if not math.isfinite(value):
        raise ValueError("write a number")
    return value


def _within(value: float | int, spec: Mapping[str, Any]) -> float | int:
    low, high = spec.get("minimum"), spec.get("maximum")
    if isinstance(low, (int, float)) and value < low:
        raise ValueError(f"write {low} or more")
    if isinstance(high, (int, float)) and value > high:
        raise ValueError(f"write {high} or less")
    return value


def _choice(text: str, allowed: Mapping[str, str]) -> str:
    by_title = {title.lower(): value for value, title in allowed.items()}
    value = text if text in allowed else by_title.get(text.lower())
    if allowed and value is None:
        raise ValueError(f"choose one of {', '.join(allowed.values())}")
    return text if value is None else value


def _sized(text: str, spec: Mapping[str, Any]) -> str:
    low, high = spec.get("minLength"), spec.get("maxLength")
    if isinstance(low, int) and len(text) < low:
        raise ValueError(f"write at least {low} characters")
    if isinstance(high, int) and len(text) > high:
        raise ValueError(f"write at most {high} characters")
    return text
