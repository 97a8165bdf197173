"""One line of a batch: its fields, its key and its mistakes. No file is opened here."""

from __future__ import annotations

import difflib
import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glm_agent.errors import ConfigurationError

VERSION: Final[Literal[1]] = 1
_KEY_CHARACTERS: Final = 200


class BatchLine(BaseModel):
    """One task: a task file with its parameters, or a prompt."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = VERSION
    key: str | int | None = Field(
        default=None, description="Names the task in the results, once in a batch; without it, a hash of the line."
    )
    task: str | None = Field(default=None, description="A task file, beside the batch's file; else --task.")
    prompt: str | None = Field(default=None, description="What is asked, instead of a task file.")
    parameters: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="What the task's ${name} stand for. With --task they may stand in the line itself.",
    )
    attachments: list[str] = Field(
        default_factory=list[str], description="Pictures and sounds: paths beside the batch's file, or addresses."
    )
    model: str | None = Field(default=None, description="Instead of the task's and of --model.")


FIELDS: Final = tuple(BatchLine.model_fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One line, read."""

    number: int
    """Of the line in its file, from 1."""
    key: str
    digest: str
    """A hash of what is asked: all of the line but its key."""
    line: BatchLine


def parse_line(text: bytes, *, number: int, parameters: Mapping[str, Any] | None = None) -> Item:
    """The task in a line of JSON.

    Args:
        text: The line, UTF-8.
        number: Of the line in its file, for messages and results.
        parameters: Names that may stand in the line directly: those of the task file for all lines.

    Raises:
        ConfigurationError: What is wrong, without file and line number, which the caller knows.
    """
    found = _object(text)
    asked = {name: value for name, value in found.items() if name not in ("key", "version")}
    line = _checked(_gathered(found, parameters or {}), known=parameters or {})
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    return Item(number=number, key=_key(line.key, digest), digest=digest, line=line)


def spoken(value: Any) -> str:
    """A parameter's value as text for a prompt: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def line_schema() -> dict[str, Any]:
    """The JSON Schema of a line."""
    schema = BatchLine.model_json_schema()
    title = "glm-agent batch, a task, version 1"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"column {error.start + 1}: not UTF-8: save the file as UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"column {error.colno}: no JSON: {error.msg}") from error
    except RecursionError:
        raise ConfigurationError("no JSON that can be read: it is nested too deep") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f'a line is an object, such as {{"prompt": "…"}}, not {reprlib.repr(value)}')
    return cast("dict[str, Any]", value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names stand once: of two values nobody knows which one was meant."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigurationError(f"the name '{name}' stands there twice: keep one")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ConfigurationError(f"{name} is no JSON: write a number, a text or null")


def _gathered(found: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The line with those parameters that stand in it directly put where they belong."""
    direct = {name: value for name, value in found.items() if name in parameters and name != "parameters"}
    if not direct:
        return found
    given = found.get("parameters", {})
    if isinstance(given, dict) and (twice := sorted(direct.keys() & cast("dict[str, Any]", given).keys())):
        raise ConfigurationError(f"the parameter '{twice[0]}' stands there twice: in the line and in 'parameters'")
    # A parameter may be called ``key``: then it is both.
    rest = {name: value for name, value in found.items() if name not in direct or name == "key"}
    return {**rest, "parameters": {**given, **direct} if isinstance(given, dict) else given}


def _checked(values: dict[str, Any], *, known: Mapping[str, Any]) -> BatchLine:
    try:
        line = BatchLine.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(_explained(error, known)) from error
    if line.prompt is not None and line.task is not None:
        raise ConfigurationError("it has 'task' and 'prompt': a line has one of them")
    if line.prompt is not None and not line.prompt.strip():
        raise ConfigurationError("the prompt is empty: say what is to be done")
    return line


def _explained(error: ValidationError, known: Mapping[str, Any]) -> str:
    first = max(error.errors(include_url=False), key=lambda each: each["type"] == "extra_forbidden")
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        names = [*known, *FIELDS]
        close = difflib.get_close_matches(name, names, n=1)
        return f"unknown field '{name}': " + (f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}")
    if name == "version":
        return f"version {first['input']!r}: this version of glm-agent reads {VERSION}"
    wanted = first["msg"].removeprefix("Input should be ")
    return f"'{name}' must be {wanted}, not {reprlib.repr(first['input'])}"


def _key(given: str | int | None, digest: str) -> str:
    if given is None:
        return digest
    key = str(given)
    if not key.strip() or len(key) > _KEY_CHARACTERS:
        raise ConfigurationError(f"the key {reprlib.repr(key)} cannot name a task: 1 to {_KEY_CHARACTERS} characters")
    return key
