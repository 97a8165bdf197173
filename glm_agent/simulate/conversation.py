"""A request as a scenario sees it: who said what, which calls were made and what they returned.

Everything follows from the messages of the request; nothing here remembers an earlier one, and nothing
knows what a step is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from glm_agent.simulate.json_values import JsonObject


@dataclass(kw_only=True, slots=True)
class CallRecord:
    """A call that the model made, and its result where there is one."""

    name: str
    id: str
    arguments: Any
    """Parsed; the text where it is not JSON."""
    asked_at: int
    """Number of the assistant message, from 0."""
    text: str = ""
    """The result as it came."""
    answered_at: int | None = None
    """Number of the tool message; None while the call is open."""

    @property
    def value(self) -> Any:
        """The result, parsed where it is JSON."""
        return parsed(self.text)

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None


class Results:
    """The last result of each tool by name; ``results[-1]`` and the like count over all of them.

    No methods: in a template ``results.get`` is the result of a tool called ``get``.
    """

    def __init__(self, calls: tuple[CallRecord, ...]) -> None:
        self._calls = tuple(call for call in calls if call.is_answered)
        self._last = {call.name: call for call in self._calls}

    def __getitem__(self, key: str | int) -> Any:
        return self._calls[key].value if isinstance(key, int) else self._last[key].value

    def __iter__(self) -> Iterator[Any]:
        return (call.value for call in self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, name: object) -> bool:
        return name in self._last

    def __repr__(self) -> str:
        return f"<results of {', '.join(map(repr, self._last)) or 'no tool yet'}>"


class AllResults:
    """All results of each tool by name, in their order; an empty list for a tool that returned nothing yet."""

    def __init__(self, calls: tuple[CallRecord, ...]) -> None:
        self._calls = calls

    def __getitem__(self, name: str) -> list[Any]:
        return [call.value for call in self._calls if call.name == name and call.is_answered]


@dataclass(frozen=True)
class Conversation:
    """The messages of a request up to some point."""

    body: JsonObject
    """The whole request."""
    end: int | None = None
    """How many messages are seen; None: all."""
    started_at: int | None = None
    """Number of the user message that began the turn; None: the last one that follows no tool result."""
    records: tuple[CallRecord, ...] = field(default=(), repr=False)

    @staticmethod
    def of(body: JsonObject) -> Conversation:
        return Conversation(body=body, records=tuple(_records(body["messages"])))

    @cached_property
    def messages(self) -> list[JsonObject]:
        return list(self.body["messages"][: self.end])

    @cached_property
    def calls(self) -> tuple[CallRecord, ...]:
        """The calls made so far; a result that comes later is not seen yet."""
        if self.end is None:
            return self.records
        return tuple(_as_of(record, self.end) for record in self.records if record.asked_at < self.end)

    @cached_property
    def results(self) -> Results:
        return Results(self.calls)

    @cached_property
    def all_results(self) -> AllResults:
        return AllResults(self.calls)

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def tools(self) -> list[str]:
        """Names of the functions that are offered."""
        offered: list[JsonObject] = self.body.get("tools") or []
        return [tool["function"]["name"] for tool in offered if tool["type"] == "function"]

    @property
    def system(self) -> str:
        return "\n".join(text_of(message) for message in self.messages if message["role"] == "system")

    @property
    def users(self) -> list[str]:
        return [text_of(message) for message in self.messages if message["role"] == "user"]

    @cached_property
    def turn_start(self) -> int:
        """Number of the first of the user messages that began the turn."""
        if self.started_at is not None:
            return self.started_at
        starts = [at for at, after_tool in openings(self.messages) if not after_tool]
        return starts[-1] if starts else 0

    @property
    def user(self) -> str:
        """What the user said at the beginning of the turn; messages in a row are one."""
        said: list[str] = []
        for message in self.messages[self.turn_start :]:
            if message["role"] == "user":
                said.append(text_of(message))
            elif message["role"] != "system":
                break
        return "\n".join(said)

    @property
    def step(self) -> int:
        """Number of the coming answer within the turn, from 1."""
        roles = [message["role"] for message in self.messages[self.turn_start :]]
        return 1 + roles.count("assistant")


def openings(messages: list[JsonObject]) -> Iterator[tuple[int, bool]]:
    """Where the user begins to speak, and whether that is directly after a tool's result."""
    before = ""
    for at, message in enumerate(messages):
        role = message["role"]
        if role == "user" and before != "user":
            yield at, before == "tool"
        if role != "system":
            before = role


def text_of(message: JsonObject) -> str:
    """The text of a message; the text parts, one per line, where its content is a list."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("type") == "text")


def parsed(text: str) -> Any:
    """The value that a JSON text stands for, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _records(messages: list[JsonObject]) -> Iterator[CallRecord]:
    waiting: list[CallRecord] = []
    for at, message in enumerate(messages):
        if message["role"] == "assistant":
            waiting = [_record(call, at) for call in message.get("tool_calls") or () if "function" in call]
            yield from waiting
        elif message["role"] == "tool":
            _answer(waiting, message, at)


def _record(call: JsonObject, at: int) -> CallRecord:
    function: JsonObject = call["function"]
    return CallRecord(name=function["name"], id=call["id"], arguments=parsed(function["arguments"]), asked_at=at)


def _answer(waiting: list[CallRecord], message: JsonObject, at: int) -> None:
    """Give the result to the first open call with its id: ids may repeat."""
    for record in waiting:
        if record.id == message.get("tool_call_id") and not record.is_answered:
            record.text, record.answered_at = text_of(message), at
            return


def _as_of(record: CallRecord, end: int) -> CallRecord:
    if record.answered_at is None or record.answered_at < end:
        return record
    return CallRecord(name=record.name, id=record.id, arguments=record.arguments, asked_at=record.asked_at)
