"""Values of a configuration entry, read with what is known of the file around them. Pure.

Every complaint names file, line, server and key, says what is there and what to write. Values themselves
are never shown: they may be secrets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Never, cast

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.lines import Positions
from glm_agent.mcp.variables import Unreadable, Unset, Variables


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What an entry's reader has to know about the file around it."""

    label: str
    """The file's name; empty for a dict."""
    server: str
    path: tuple[str, ...]
    """Keys from the file's root to the entry."""
    positions: Positions
    variables: Variables
    cwd: str | None
    """Where a program starts that says nothing about it."""
    seconds_per_unit: float
    """Of a bare ``timeout``: a thousandth in JSON, 1 in TOML."""

    def where(self, *keys: str) -> str:
        """``.mcp.json, line 4, server 'fs'``, with what is known of it."""
        line = 0
        for end in range(len(keys), -1, -1):
            line = line or self.positions.get((*self.path, *keys[:end]), 0)
        place = [self.label] * bool(self.label) + [f"line {line}"] * bool(line)
        return ", ".join([*place, f"server {self.server!r}"] if self.server else [*place, "the server"])

    def fail(self, *keys: str, says: str) -> Never:
        raise ConfigurationError(f"{self.where(*keys)}: {'.'.join(keys)!r} {says}")


def kind(value: object) -> str:
    """What a value is, in words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def text(value: object, context: Context, *keys: str) -> str:
    """A string with its variables filled in; numbers and booleans are taken as people mean them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        context.fail(*keys, says=f"is {kind(value)}. Write a string")
    if "\0" in value:
        context.fail(*keys, says="holds a null character. Remove it")
    try:
        return context.variables.expand(value)
    except Unset as unset:
        context.fail(
            *keys,
            says=f"needs the variable {unset.name!r}, which is not set. "
            f"Set it, or give a default: ${{{unset.word}:-…}}",
        )
    except Unreadable as unreadable:
        context.fail(*keys, says=str(unreadable))


def texts(value: object, context: Context, key: str) -> tuple[str, ...]:
    """A list of strings, each with its variables filled in."""
    if not isinstance(value, (list, tuple)):
        context.fail(key, says=f"is {kind(value)}. Write a list of strings")
    items = cast("Sequence[object]", value)
    return tuple(text(item, context, key, str(at)) for at, item in enumerate(items))


def mapping(value: object, context: Context, key: str) -> dict[str, str]:
    """An object of strings, each with its variables filled in; ``null`` leaves a key out."""
    if not isinstance(value, Mapping):
        context.fail(key, says=f"is {kind(value)}. Write an object of strings")
    items = cast("Mapping[str, object]", value)
    return {str(name): text(item, context, key, str(name)) for name, item in items.items() if item is not None}


def flag(value: object, context: Context, key: str) -> bool:
    """True or false, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        context.fail(key, says=f"is {kind(value)}. Write true or false")
    return value


def number(value: object, context: Context, key: str) -> float:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        context.fail(
            key, says=f"is {kind(value) if not isinstance(value, (int, float)) else value}. Write a number above 0"
        )
    return float(value)


def variable(name: object, context: Context, *keys: str) -> str:
    """The value of the environment variable that is named."""
    if not isinstance(name, str):
        context.fail(*keys, says=f"is {kind(name)}. Write the name of an environment variable")
    return text(f"${{{name}}}", context, *keys)
