"""What a tool wants to know, asked in the terminal: yes or no, a choice, a text, or a form field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import anyio
from rich.console import Console
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.messages import JsonObject

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.registry.asking import Asker, Question

_WORDS = {"y": True, "yes": True, "n": False, "no": False}


def asker(foreground: Foreground, paused: Callable[[], AbstractContextManager[Console]]) -> Asker:
    """Asks one question at a time, whichever tools ask; ``paused`` gives the terminal to the question."""
    turn: list[anyio.Lock] = []

    async def ask_person(question: Question) -> Any:
        if not turn:
            turn.append(anyio.Lock())
        async with turn[0]:
            with paused() as console:
                return await foreground.ask(lambda: ask(console, foreground.read_line, question))

    return ask_person


def ask(console: Console, read_line: Callable[[], str], question: Question) -> Any:
    """The person's answer as JSON has it; None when nothing is said, or the input ends."""
    console.print(Text(f"? {phrases.clean(question.tool)} asks: {phrases.clean(question.text)}", style="yellow"))
    if question.problem:
        console.print(Text(f"  that did not fit: {phrases.clean(question.problem)}", style="red"))
    try:
        return _value(question.schema, _reader(console, read_line))
    except EOFError:
        return None


def _reader(console: Console, read_line: Callable[[], str]) -> Callable[[str], str]:
    def read(prompt: str) -> str:
        # The prompt of ``input`` would go to stdout, which is for the answer alone.
        console.print(Text(f"  {phrases.clean(prompt)} ", style="bold"), end="")
        return read_line().strip()

    return read


def _value(schema: JsonObject, read: Callable[[str], str]) -> Any:
    if "enum" in schema:
        return _chosen(schema["enum"], read)
    match schema.get("type"):
        case "boolean":
            return _agreed(read)
        case "object" if schema.get("properties"):
            return _filled(schema, read)
        case "string":
            return read("answer (empty: decline)>") or None
        case _:
            return _json(read("answer as JSON (empty: decline)>"))


def _agreed(read: Callable[[str], str]) -> bool | None:
    said = read("[y]es, [n]o (empty: decline)>").lower()
    while said and said not in _WORDS:
        said = read("please answer y or n>").lower()
    return _WORDS.get(said)


def _chosen(values: list[Any], read: Callable[[str], str]) -> Any:
    """One of the values, by its number or as it is written."""
    listed = ", ".join(f"[{number}] {value}" for number, value in enumerate(values, start=1))
    by_name = {str(value): value for value in values}
    by_number = {str(number): value for number, value in enumerate(values, start=1)}
    said = read(f"{listed} (empty: decline)>")
    while said and said not in by_name | by_number:
        said = read(f"please choose from {listed}>")
    return by_name.get(said, by_number.get(said))


def _filled(schema: JsonObject, read: Callable[[str], str]) -> JsonObject | None:
    """A form, field by field; an empty answer leaves a field out, and declines where it is required."""
    filled: JsonObject = {}
    for name, field in schema["properties"].items():
        value = _value(field, _named(name, read))
        if value is not None:
            filled[name] = value
        elif name in schema.get("required", ()):
            return None
    return filled


def _named(name: str, read: Callable[[str], str]) -> Callable[[str], str]:
    return lambda prompt: read(f"{name}: {prompt}")


def _json(text: str) -> Any:
    """What is meant, or the text itself, of which the tool's check says what is wrong."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
