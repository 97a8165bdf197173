"""Text from a server, made fit for a model and for a terminal. Pure.

A server's words go into the prompt. Characters that people cannot see and models can (tags, bidirectional
overrides, zero-width marks) have no place there: they are how instructions are hidden in a description.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

MAX_DESCRIPTION = 4096
"""Characters of a description; the longest of 259 tools seen in use had 6,500, the next 3,700."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_INVISIBLE = re.compile(r"[\u00ad\u061c\u180e\u200b-\u200f\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ANY = re.compile(f"{_CONTROL.pattern[:-1]}\x1b\ud800-\udfff]")
_ASCII_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])

_Json = TypeVar("_Json")


def content(text: str) -> str:
    """A result's text without terminal codes, control characters, overrides and tags; the rest is data and stays."""
    # Results may have many megabytes: one look, and for most of them a cheap one, where nothing is to be done.
    if text.isascii():
        return (_ANSI.sub("", text) if "\x1b" in text else text).translate(_ASCII_CONTROLS)
    if _ANY.search(text) is None:
        return text
    return _CONTROL.sub("", _ANSI.sub("", _SURROGATE.sub("\ufffd", text)))


def description(text: str, *, limit: int = MAX_DESCRIPTION) -> str:
    """A description without anything invisible, cut at the limit."""
    cleaned = _INVISIBLE.sub("", content(text)).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1].rstrip() + "…"


def schema(value: _Json, *, depth: int = 64) -> _Json:
    """A JSON Schema with its prose cleaned: what ``description`` and ``title`` hold, at any depth."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return cast(_Json, {key: _value(key, item, depth) for key, item in items.items()})
    if isinstance(value, list):
        return cast(_Json, [schema(item, depth=depth - 1) for item in cast("list[Any]", value)])
    return value


def _value(key: str, item: Any, depth: int) -> Any:
    if key in ("description", "title") and isinstance(item, str):
        return description(item)
    return schema(item, depth=depth - 1)


def without_surrogates(value: _Json, *, depth: int = 64) -> _Json:
    """A JSON value whose strings can all be written as UTF-8."""
    if isinstance(value, str):
        return cast(_Json, _SURROGATE.sub("\ufffd", value))
    if depth and isinstance(value, list):
        return cast(_Json, [without_surrogates(item, depth=depth - 1) for item in cast("list[Any]", value)])
    if depth and isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return cast(_Json, {without_surrogates(k): without_surrogates(v, depth=depth - 1) for k, v in items.items()})
    return value
