"""Broken JSON that can be read without inventing anything, and GLM's own markup. Pure.

Read: code fences, single quotes, trailing commas, names without quotes, Python's ``True False None``, line
breaks in strings, the same object twice in a row, and a missing last brace where nothing else can be
missing. Everything else is refused: a value that may have been cut short is never used. Only for calls
that change nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, cast

from glm_agent.schema.shapes import is_object

_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n?(.*?)\n?\s*```\s*\Z", re.DOTALL)
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_$][\w$-]*", re.ASCII)
_PLAIN = re.compile(r"[^\\\"']+")
_UNICODE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'"}
_MAX_DEPTH = 64

_PAIR = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL)
_STRAY = re.compile(r"(?:\s|</?tool_call>|</?arg_value>|</?arg_key>)*")


class Unreadable(ValueError):
    """Not readable without guessing."""


def read_lenient(text: str, *, names: Collection[str]) -> Any:
    """The one value in the text.

    ``names`` are all the arguments there are: an object without its last brace is complete only when it has
    every one of them.

    Raises:
        Unreadable: Reading it would be guessing.
    """
    if fenced := _FENCE.match(text):
        text = fenced[1]
    reader = _Reader(text)
    values = reader.values()
    if any(value != values[0] for value in values):
        raise Unreadable(f"{len(values)} different values follow each other: send one object for each call")
    if reader.is_cut and not (is_object(values[0]) and values[0].keys() >= set(names)):
        raise Unreadable("the text ends early")
    return values[0]


class _Reader:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self.is_cut = False

    def values(self) -> list[Any]:
        found = [self._value()]
        while self._peek():
            if self.is_cut:
                raise Unreadable("the text goes on after its end")
            found.append(self._value())
        return found

    def _peek(self) -> str:
        """The next character that is no space; empty at the end."""
        self._at = cast("re.Match[str]", _SPACE.match(self._text, self._at)).end()
        return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        match self._peek():
            case "{":
                return self._nested(self._object)
            case "[":
                return self._nested(self._array)
            case '"' | "'" as quote:
                return self._string(quote)
            case "":
                raise Unreadable("the text ends early")
            case _:
                return self._scalar()

    def _nested(self, read: Any) -> Any:
        if self._depth >= _MAX_DEPTH:
            raise Unreadable(f"more than {_MAX_DEPTH} levels deep")
        self._depth += 1
        self._at += 1
        value = read()
        self._depth -= 1
        return value

    def _object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._name()
            if name in members:
                raise Unreadable(f"the name {name!r} stands there twice")
            self._expect(":")
            members[name] = self._value()
            if not self._peek() and self._depth == 1 and not self._text[self._at - 1].isdigit():
                self.is_cut = True
                return members
            if self._peek() != "}":
                self._expect(",")
        self._at += 1
        return members

    def _array(self) -> list[Any]:
        items: list[Any] = []
        while self._peek() != "]":
            items.append(self._value())
            if self._peek() != "]":
                self._expect(",")
        self._at += 1
        return items

    def _name(self) -> str:
        if (quote := self._peek()) in ('"', "'"):
            return self._string(quote)
        if word := _WORD.match(self._text, self._at):
            self._at = word.end()
            return word[0]
        raise self._unexpected()

    def _string(self, quote: str) -> str:
        pieces: list[str] = []
        self._at += 1
        while (character := self._text[self._at : self._at + 1]) != quote:
            if not character:
                raise Unreadable("the text ends within a string")
            if character == "\\":
                pieces.append(self._escape())
            else:
                plain = _PLAIN.match(self._text, self._at)
                piece = plain[0] if plain else character
                pieces.append(piece)
                self._at += len(piece)
        self._at += 1
        return "".join(pieces)

    def _escape(self) -> str:
        letter = self._text[self._at + 1 : self._at + 2]
        if letter in _ESCAPES:
            self._at += 2
            return _ESCAPES[letter]
        unicode = _UNICODE.match(self._text, self._at)
        if not unicode:
            raise self._unexpected()
        self._at = unicode.end()
        return cast("str", json.loads(f'"{unicode[0]}"'))

    def _scalar(self) -> Any:
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return self._ended(json.loads(number[0]))
        word = _WORD.match(self._text, self._at)
        if not word or word[0] not in _WORDS:
            raise self._unexpected()
        self._at = word.end()
        return _WORDS[word[0]]

    def _ended(self, number: Any) -> Any:
        if self._text[self._at : self._at + 1] not in ("", ",", "}", "]", " ", "\n", "\t", "\r"):
            raise self._unexpected()
        return number

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._unexpected()
        self._at += 1

    def _unexpected(self) -> Unreadable:
        if self._at >= len(self._text):
            return Unreadable("the text ends early")
        return Unreadable(f"{self._text[self._at]!r} at character {self._at + 1} is not expected there")


# -- GLM's markup -----------------------------------------------------------------------------------------


def read_markup(text: str, *, properties: dict[str, Any]) -> dict[str, Any]:
    """The arguments in ``<arg_key>k</arg_key><arg_value>v</arg_value>…``.

    GLM writes strings bare and everything else as JSON; which is which follows from ``properties``.

    Raises:
        Unreadable: Something else stands between the pairs, or one is not closed.
    """
    arguments: dict[str, Any] = {}
    at = 0
    while pair := _PAIR.match(text, at):
        at = pair.end()
        name = pair[1].strip()
        if name in arguments or "<arg_" in name + pair[2]:
            raise Unreadable("the markup is broken")
        arguments[name] = _markup_value(pair[2], properties.get(name))
    if not _STRAY.fullmatch(text, at):
        raise Unreadable("the markup is broken")
    return arguments


def _markup_value(text: str, schema: Any) -> Any:
    kind = schema.get("type") if is_object(schema) else None
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
