"""Policies on a history, without I/O: how long it is, and how it is made valid again."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from glm_agent.messages import Message, ModelResponse, ToolCall, ToolResult, UserMessage


def count_tokens(messages: Iterable[Message]) -> int:
    """A local estimate of the tokens of a history: a quarter of its UTF-8 bytes for Latin text, two thirds
    of a token for each other character. Attachments count 1,000 each.

    The provider's own count is ``ModelResponse.usage``; this one is for what was not sent yet.
    """
    return sum(_count(message) for message in messages)


_LOST = "no result: it was lost. If the call was begun, it may have taken effect"
"""A bare history does not say whether the call ran."""


def repair(messages: Sequence[Message], *, keep_open: bool = False) -> tuple[Message, ...]:
    """A history that the wire takes: every call has exactly one result, right behind it and in call order.

    Results without a call are dropped, calls without a result get one that says so; with
    ``keep_open`` the calls of the last response stay open, so that a turn can go on with them.
    Valid histories come back equal.
    """
    repaired: list[Message] = []
    queue = deque(messages)
    while queue:
        message = queue.popleft()
        if isinstance(message, ToolResult):
            continue
        repaired.append(message)
        if isinstance(message, ModelResponse) and message.tool_calls:
            results = _take_results(queue)
            is_last = keep_open and not any(isinstance(m, UserMessage | ModelResponse) for m in queue)
            repaired.extend(
                results.get(call.id) or _lost(call) for call in message.tool_calls if call.id in results or not is_last
            )
    return tuple(repaired)


def shorten(messages: Sequence[Message], *, max_tokens: int) -> tuple[Message, ...]:
    """The latest of a history, about ``max_tokens`` of it by ``count_tokens``; short ones come back equal.

    What the user said last stays, and the latest step (a response and the results of its calls); steps are kept
    or left out as a whole, and never changed, since edited thinking is worth nothing. A note stands where
    something is missing.
    """
    units = list(_units(messages))
    said_last = max((at for at, unit in enumerate(units) if isinstance(unit[0], UserMessage)), default=-1)
    room = max_tokens - (count_tokens(units[said_last]) if said_last >= 0 else 0)
    kept = {said_last, len(units) - 1}
    for at in reversed(range(len(units))):
        if at != said_last:
            room -= count_tokens(units[at])
            if room < 0:
                break
            kept.add(at)
    missing = sum(len(unit) for at, unit in enumerate(units) if at not in kept)
    if not missing:
        return tuple(messages)
    left = [message for at, unit in enumerate(units) if at in kept for message in unit]
    return (UserMessage(text=f"({missing} earlier messages are left out)"), *left)


def repeated_steps(messages: Sequence[Message], *, at_most: int) -> int:
    """How many steps at the end of a history made the same calls and had the same results, counted up to ``at_most``.

    Arguments are compared as JSON, so that spaces and the order of keys make no difference.
    """
    latest: list[object] | None = None
    count = 0
    unit: list[Message] = []
    for message in reversed(messages):
        unit.append(message)
        if isinstance(message, ToolResult):
            continue
        step = _done(unit)
        if not step or (latest is not None and step != latest) or count == at_most:
            break
        latest, count, unit = step, count + 1, []
    return count


def _done(unit: Sequence[Message]) -> list[object]:
    """What a step did, whatever it thought and said; empty for what is no step with calls."""
    calls = [call for message in unit if isinstance(message, ModelResponse) for call in message.tool_calls]
    results = [(each.name, each.content, each.is_error) for each in unit if isinstance(each, ToolResult)]
    return [*((call.name, _as_json(call.arguments)) for call in calls), *results] if calls else []


def _as_json(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):  # RecursionError: ten thousand brackets
        return arguments


def _units(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """What cannot be taken apart: a user's message, or a response with its results."""
    unit: list[Message] = []
    for message in messages:
        if unit and not isinstance(message, ToolResult):
            yield unit
            unit = []
        unit.append(message)
    if unit:
        yield unit


def _take_results(queue: deque[Message]) -> dict[str, ToolResult]:
    """The results up to the next response, taken out of the queue; what was said between stays."""
    results = dict[str, ToolResult]()
    kept: list[Message] = []
    while queue and not isinstance(queue[0], ModelResponse):
        message = queue.popleft()
        if isinstance(message, ToolResult):
            results.setdefault(message.call_id, message)
        else:
            kept.append(message)
    queue.extendleft(reversed(kept))
    return results


def _lost(call: ToolCall) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=_LOST, is_error=True)


def _count(message: Message) -> int:
    match message:
        case UserMessage():
            return _count_text(message.text) + 1000 * len(message.attachments)
        case ToolResult():
            return _count_text(message.content) + 1000 * len(message.attachments)
        case ModelResponse():
            calls = sum(_count_text(call.name) + _count_text(call.arguments) for call in message.tool_calls)
            return _count_text(message.text) + _count_text(message.reasoning) + calls


def _count_text(text: str) -> int:
    latin = len(text.encode("ascii", "ignore"))
    return (latin + 3) // 4 + (2 * (len(text) - latin) + 2) // 3
