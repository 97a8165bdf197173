"""What a tool or a server wants to know, asked in the terminal: yes or no, a choice, a text, a form, an address."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import anyio
from rich.console import Console
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.messages import JsonObject
from glm_agent.registry import forms
from glm_agent.registry.asking import DISMISSED

if TYPE_CHECKING:
    from glm_agent.cli.foreground import Foreground
    from glm_agent.registry.asking import Asker, Question

_DECLINED = "!"
"""What declines anywhere in a form."""

_MANY = 12
"""More choices than this stand below each other."""

_SHOWN = 50
"""Choices that are shown; the others can be written."""


class _Declined(Exception):
    """The person does not want to answer."""


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
    """The person's answer as JSON has it; None when declined, ``DISMISSED`` when the input ends."""
    return Interview(console, read_line, question).answer()


class Interview:
    """One question, from what is said about it to the answer."""

    def __init__(self, console: Console, read_line: Callable[[], str], question: Question) -> None:
        self._console, self._read_line, self._question = console, read_line, question

    def answer(self) -> Any:
        self._introduce()
        try:
            if self._question.url:
                return self._sent_there()
            return self._value(self._question.schema)
        except _Declined:
            return None
        except EOFError:
            self._say("no answer", style="dim")
            return DISMISSED

    def _introduce(self) -> None:
        question = self._question
        who = f"the MCP server {question.server!r}" if question.server else question.tool
        self._console.print(Text(f"? {phrases.clean(who)} asks: {phrases.clean(question.text)}", style="yellow"))
        if question.problem:
            self._say(f"that did not fit: {question.problem}", style="red")

    def _value(self, schema: JsonObject) -> Any:
        """One value; a form is filled in field by field."""
        if forms.choices(schema) and forms.kind(schema) != "array":
            return self._chosen(schema)
        match forms.kind(schema):
            case "boolean":
                return self._read(schema, "[y]es, [n]o (empty: decline)>")
            case "object" if forms.fields(schema):
                return self._filled(schema)
            case "string":
                return self._read(schema, "answer (empty: decline)>")
            case "array" if forms.choices(schema):
                return self._chosen(schema)
            case _:
                return self._read(schema, "answer as JSON (empty: decline)>")

    def _chosen(self, schema: JsonObject) -> Any:
        return self._read(schema, f"{self._listed(schema)} (empty: decline)>")

    def _read(self, schema: JsonObject, prompt: str) -> Any:
        """What is typed, until it fits; None for nothing."""
        while text := self._line(prompt):
            try:
                return forms.read_text(text, schema)
            except ValueError as error:
                self._say(f"please {error}", style="red")
        return None

    # -- forms

    def _filled(self, schema: JsonObject) -> JsonObject | None:
        """The form, looked at once more before it goes to a server."""
        self._say(f"(Enter takes what stands in brackets, {_DECLINED} declines)", style="dim")
        filled: JsonObject = {}
        while True:
            proposed = {**forms.defaults(schema), **filled}
            filled = {}
            for name, field in forms.fields(schema).items():
                value = self._field(name, field, proposed.get(name), is_required=name in forms.required(schema))
                if value is not None:
                    filled[name] = value
            if not self._question.server or self._is_sent(filled):
                return filled

    def _field(self, name: str, field: JsonObject, proposed: Any, *, is_required: bool) -> Any:
        """The value of a field; None where it is left out. Raises ``_Declined``."""
        title = str(field.get("title") or name)
        self._say(f"{title}{' (needed)' if is_required else ''}", style="bold")
        for said in (str(field.get("description") or ""), forms.wanted(field), self._listed(field)):
            if said:
                self._say(f"  {said}", style="dim")
        prompt = f"{title} [{_shown(proposed, field)}]>" if proposed is not None else f"{title}>"
        while True:
            text = self._line(prompt)
            if text == _DECLINED:
                raise _Declined
            if not text and (proposed is not None or not is_required):
                return proposed
            try:
                if text:
                    return forms.read_text(text, field)
                self._say(f"this is needed; {_DECLINED} declines", style="red")
            except ValueError as error:
                self._say(f"please {error}", style="red")

    def _is_sent(self, filled: JsonObject) -> bool:
        """Whether the person wants these answers to leave. Raises ``_Declined``."""
        self._say(f"goes to {self._question.server!r}: {json.dumps(filled, ensure_ascii=False)}", style="cyan")
        while True:
            match self._line("[y]es, send it; [e]dit; [n]o, decline>").lower():
                case "y" | "yes":
                    return True
                case "e" | "edit":
                    return False
                case "n" | "no" | "!":
                    raise _Declined
                case _:
                    pass

    # -- addresses

    def _sent_there(self) -> bool | None:
        """Whether the person goes to the address."""
        url = self._question.url
        host = urlsplit(url).hostname or ""
        self._say(f"It wants you to open a page of {host!r} in your browser:")
        self._console.print(Text(f"  {phrases.clean(url)}", style="cyan underline"))
        if warning := _suspicious(url, host):
            self._say(warning, style="red")
        return self._read({"type": "boolean"}, "[y]es, I open it; [n]o (empty: decline)>") or None

    # -- the terminal

    def _listed(self, field: Mapping[str, Any]) -> str:
        options = forms.choices(field)
        between = "\n    " if len(options) > _MANY else ", "
        shown = [f"[{number}] {title}" for number, (_, title) in enumerate(options[:_SHOWN], start=1)]
        more = [f"… and {len(options) - _SHOWN:,} more"] if len(options) > _SHOWN else []
        return between.join([*shown, *more])

    def _line(self, prompt: str) -> str:
        # The prompt of ``input`` would go to stdout, which is for the answer alone.
        self._console.print(Text(f"  {phrases.clean(prompt)} ", style="bold"), end="")
        return self._read_line().strip()

    def _say(self, text: str, *, style: str = "") -> None:
        self._console.print(Text(f"  {phrases.clean(text)}", style=style))


def _shown(value: Any, field: Mapping[str, Any]) -> str:
    """A proposed value as it would be typed."""
    titles = {json.dumps(one): title for one, title in forms.choices(field)}
    if isinstance(value, list):
        return ", ".join(titles.get(json.dumps(one), str(one)) for one in cast("list[object]", value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return titles.get(json.dumps(value), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _suspicious(url: str, host: str) -> str:
    """What a person should know before going there."""
    if any(label.startswith("xn--") for label in host.split(".")) or not host.isascii():
        return "Its name has letters that may look like others: read it twice."
    if urlsplit(url).scheme != "https" and host not in ("localhost", "127.0.0.1", "::1"):
        return "It is not encrypted (http)."
    if "@" in urlsplit(url).netloc:
        return "What stands before the @ is not its host."
    return ""
