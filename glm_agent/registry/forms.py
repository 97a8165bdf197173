"""Forms as JSON Schema: their fields, what a person may choose, and what somebody typed as a value. Pure.

A form is an object of texts, numbers, yes or no, choices and lists of choices. What MCP servers send and what a
model of pydantic becomes are both read here. Patterns of a schema are shown to a person and never run: they are the
words of strangers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast
from urllib.parse import urlsplit

from glm_agent.messages import JsonObject

MAX_TEXT = 20_000
"""Characters of one answer."""

_NAMED = 20
"""Choices that a complaint names."""

_YES_NO = {"y": True, "yes": True, "true": True, "1": True, "n": False, "no": False, "false": False, "0": False}
_SCALARS = frozenset({"string", "integer", "number", "boolean"})


def fields(schema: Mapping[str, Any]) -> dict[str, JsonObject]:
    """The fields of a form, in order; what is no field is left out."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: field for name, field in cast("dict[str, Any]", properties).items() if isinstance(field, dict)}


def required(schema: Mapping[str, Any]) -> frozenset[str]:
    """The names of the fields that have to be filled in."""
    return frozenset(str(name) for name in _listing(schema.get("required")))


def kind(field: Mapping[str, Any]) -> str:
    """The type of a field; one that may also be null is what it is when it is not."""
    named: object = field.get("type")
    if isinstance(named, str):
        return named
    return next((one for one in _listing(named) if isinstance(one, str) and one != "null"), "")


def choices(field: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """What may be chosen, each with its title: ``enum``, ``oneOf``, or what the items of a list may be."""
    items = field.get("items")
    source = cast("Mapping[str, Any]", items) if isinstance(items, dict) else field
    named = _listing(source.get("oneOf") or source.get("anyOf"))
    options = [cast(JsonObject, option) for option in named if isinstance(option, dict) and "const" in option]
    if options:
        return [(option["const"], str(option.get("title") or option["const"])) for option in options]
    titles = _listing(field.get("enumNames") or source.get("enumNames"))
    values = _listing(source.get("enum"))
    return [(value, str(titles[at] if at < len(titles) else value)) for at, value in enumerate(values)]


def defaults(schema: Mapping[str, Any]) -> JsonObject:
    """What the form proposes."""
    return {name: field["default"] for name, field in fields(schema).items() if "default" in field}


def read_text(text: str, field: Mapping[str, Any]) -> Any:
    """What a person typed for a field, as its value. Raises ``ValueError`` that says what is wanted."""
    text = text.strip()
    allowed = choices(field)
    if kind(field) == "array":
        return check_value(_listed(text, allowed), field)
    if allowed:
        return _choice(text, allowed)
    match kind(field):
        case "boolean":
            return _boolean(text)
        case "integer" | "number" as number:
            return check_value(_number(text, number), field)
        case "string":
            return check_value(text, field)
        case _:
            return _json(text)


def check_value(value: Any, field: Mapping[str, Any]) -> Any:
    """The value, if it fits the field; a text for something else is read as typed. Raises ``ValueError``."""
    wanted = kind(field)
    if isinstance(value, str) and wanted != "string" and wanted in _SCALARS and not choices(field):
        return read_text(value, field)
    match wanted:
        case "boolean" if not isinstance(value, bool):
            raise ValueError("write yes or no")
        case "integer" | "number":
            return _within(value, field, wanted)
        case "array":
            return _counted(value, field)
        case "string" if not choices(field):
            return _sized(value, field)
        case _:
            pass
    allowed = choices(field)
    if allowed and value not in [one for one, _ in allowed]:
        raise ValueError(f"choose one of {_titles(allowed)}")
    return value


def check_form(content: Any, schema: Mapping[str, Any]) -> JsonObject:
    """The filled-in form, if it fits the schema; what is None was left out. Raises ``ValueError`` naming the field."""
    if not isinstance(content, Mapping):
        raise ValueError("an object with the fields of the form is wanted")
    given = {str(name): value for name, value in cast("Mapping[object, Any]", content).items() if value is not None}
    known = fields(schema)
    for name in sorted(required(schema)):
        if name not in given:
            raise ValueError(f"{name!r} is missing")
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"there is no field {name!r}: there are {', '.join(map(repr, known))}")
        try:
            given[name] = check_value(value, known[name])
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None
    return given


def wanted(field: Mapping[str, Any]) -> str:
    """What a field takes, in a few words for a person; empty where nothing is to be said."""
    said = {
        "boolean": "yes or no",
        "integer": "a whole number",
        "number": "a number",
        "array": "one or more of these, apart by commas" if choices(field) else "a JSON list",
        "object": "a JSON object",
    }.get(kind(field), "")
    said = {"email": "an e-mail address", "uri": "a web address", "date": "a date, 2026-01-31",
            "date-time": "date and time, 2026-01-31T12:00:00Z"}.get(str(field.get("format")), said)  # fmt: skip
    low, high, unit = _bounds(field)
    pattern = field.get("pattern")
    parts = [said, _range(low, high, unit), f"matching {pattern}" if isinstance(pattern, str) else ""]
    return ", ".join(part for part in parts if part)


def _bounds(field: Mapping[str, Any]) -> tuple[Any, Any, str]:
    match kind(field):
        case "integer" | "number":
            return _figure(field, "minimum"), _figure(field, "maximum"), ""
        case "array":
            return _figure(field, "minItems"), _figure(field, "maxItems"), ""
        case _:
            return _figure(field, "minLength"), _figure(field, "maxLength"), " characters"


def _range(low: Any, high: Any, unit: str) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}{unit}"
    if low is not None:
        return f"{low} or more{unit}"
    return f"at most {high}{unit}" if high is not None else ""


def _listing(value: object) -> list[Any]:
    return [*cast("list[object]", value)] if isinstance(value, list) else []


def _figure(field: Mapping[str, Any], name: str) -> int | float | None:
    value = field.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _boolean(text: str) -> bool:
    if text.lower() not in _YES_NO:
        raise ValueError("write yes or no")
    return _YES_NO[text.lower()]


def _number(text: str, number: str) -> float | int:
    try:
        return int(text) if number == "integer" else float(text)
    except ValueError:
        raise ValueError(f"write {'a whole number' if number == 'integer' else 'a number'}") from None


def _within(value: Any, field: Mapping[str, Any], number: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"write {'a whole number' if number == 'integer' else 'a number'}")
    if number == "integer" and value != int(value):
        raise ValueError("write a whole number")
    figure = int(value) if number == "integer" else value
    low, high, _ = _bounds(field)
    if (low is not None and figure < low) or (high is not None and figure > high):
        raise ValueError(f"write {_range(low, high, '')}")
    return figure


def _listed(text: str, allowed: Sequence[tuple[Any, str]]) -> Any:
    if not allowed:
        return _json(text)
    return [_choice(part.strip(), allowed) for part in text.split(",") if part.strip()]


def _counted(value: Any, field: Mapping[str, Any]) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list is wanted")
    items = list(cast("Sequence[Any]", value))
    low, high, _ = _bounds(field)
    if (low is not None and len(items) < low) or (high is not None and len(items) > high):
        raise ValueError(f"choose {_range(low, high, '')}")
    allowed = choices(field)
    if allowed and any(item not in [one for one, _ in allowed] for item in items):
        raise ValueError(f"choose from {_titles(allowed)}")
    return items


def _choice(text: str, allowed: Sequence[tuple[Any, str]]) -> Any:
    """One of the values: by its number from 1, as it is written, or by its title."""
    by_name = {title.lower(): value for value, title in allowed} | {str(value).lower(): value for value, _ in allowed}
    if text.lower() in by_name:
        return by_name[text.lower()]
    if text.isascii() and text.isdigit() and 0 < int(text) <= len(allowed):
        return allowed[int(text) - 1][0]
    raise ValueError(f"choose one of {_titles(allowed)}")


def _titles(allowed: Sequence[tuple[Any, str]]) -> str:
    more = [f"… ({len(allowed) - _NAMED:,} more)"] if len(allowed) > _NAMED else []
    return ", ".join([*(title for _, title in allowed[:_NAMED]), *more])


def _sized(value: Any, field: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is wanted")
    low, high, unit = _bounds(field)
    if (low is not None and len(value) < low) or (high is not None and len(value) > high):
        raise ValueError(f"write {_range(low, high, unit)}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"write at most {MAX_TEXT:,} characters")
    if not _is_formatted(value, str(field.get("format", ""))):
        raise ValueError(f"write {wanted({'format': field['format']})}")
    return value


def _is_formatted(text: str, form: str) -> bool:
    try:
        match form:
            case "email":
                name, at, host = text.rpartition("@")
                return bool(name and at and host) and not any(letter.isspace() for letter in text)
            case "uri":
                parts = urlsplit(text)
                return bool(parts.scheme and (parts.netloc or parts.path)) and " " not in text
            case "date":
                date.fromisoformat(text)
            case "date-time":
                datetime.fromisoformat(text)
            case _:
                pass
    except ValueError:
        return False
    return True


def _json(text: str) -> Any:
    """What is meant, or the text itself, of which whoever asked says what is wrong."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
