"""How two requests differ, as people read it. Pure.

Where both bodies are there, every value that differs is shown with its path. Where only the recorded hash is there,
the digests beside it say which part of today's body is another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, cast

from glm_agent.messages import JsonObject, Message, SentRequest
from glm_agent.models.record import digests, latest
from glm_agent.wire.encode import BodyParts

MOST_CHANGES: Final = 20
_AROUND: Final = 60
"""Characters shown before the first one that differs."""
_SHOWN: Final = 1_000
"""Characters shown of a part where nobody knows which one differs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One place in the request's body."""

    path: str
    """As in ``messages[3].content``."""
    recorded: str | None
    """The value as JSON, cut around what differs; None: it is not there, or not on record."""
    today: str | None
    """The same of the body that is made now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where a replay first differs from the record."""

    step: int
    """Number of the model request within the session, from 1."""
    turn: int
    reason: str
    """One sentence."""
    changes: tuple[Change, ...] = ()
    has_recorded: bool = False
    """Whether the recorded request itself was there to compare with, not its hash alone."""


def changes(recorded: bytes, today: bytes) -> tuple[Change, ...]:
    """The values that differ between two bodies, at most 20; ``request_id`` does not count."""
    before, after = (cast("JsonObject", json.loads(body)) for body in (recorded, today))
    for body in (before, after):
        body.pop("request_id", None)
    found = [_shown(*each) for each in _differences("", before, after)]
    return tuple(found[:MOST_CHANGES]) or _spelled(recorded, today)


def changed_parts(sent: SentRequest, parts: BodyParts, messages: Sequence[Message]) -> tuple[Change, ...]:
    """The parts of today's body whose digests are not the recorded ones."""
    names = ["settings", "tools", *_names(parts, messages)]
    texts = [parts.settings + b"}", b"[" + parts.tools + b"]", *latest(parts, messages)]
    today = digests(parts, messages)
    return tuple(
        Change(path=name or "messages", recorded=None, today=_head(text.decode()) if text else None)
        for name, text, old, new in zip_longest(names, texts, sent.digests, today)
        if old != new
    )


def _names(parts: BodyParts, messages: Sequence[Message]) -> Iterator[str]:
    tail = latest(parts, messages)
    for at, text in enumerate(tail, start=len(parts.messages) - len(tail)):
        yield f"messages[{at}] ({json.loads(text)['role']})"


_MISSING: Final = object()


def _differences(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(path, cast("JsonObject", before), cast("JsonObject", after))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, cast("Sequence[Any]", before), cast("Sequence[Any]", after))
    elif before is _MISSING or after is _MISSING or before != after or _is_float(before) != _is_float(after):
        yield path, before, after


def _is_float(value: Any) -> bool:
    """``1`` and ``1.0`` are equal, and are other bytes."""
    return isinstance(value, float)


def _of_objects(path: str, before: JsonObject, after: JsonObject) -> Iterator[tuple[str, Any, Any]]:
    for name in before | after:
        inner = f"{path}.{name}" if path else name
        yield from _differences(inner, before.get(name, _MISSING), after.get(name, _MISSING))


def _of_lists(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    """What is the same at the end is left out, so that one more message is one difference."""
    same = 0
    while same < min(len(before), len(after)) and before[-1 - same] == after[-1 - same]:
        same += 1
    if len(before) == len(after):
        same = 0
    pairs = zip_longest(before[: len(before) - same], after[: len(after) - same], fillvalue=_MISSING)
    for at, (old, new) in enumerate(pairs):
        yield from _differences(f"{path}[{at}]", old, new)


def _shown(path: str, before: Any, after: Any) -> Change:
    old, new = _json(before), _json(after)
    at = _first_difference(old or "", new or "")
    return Change(
        path=path, recorded=None if old is None else _cut(old, at), today=None if new is None else _cut(new, at)
    )


def _spelled(recorded: bytes, today: bytes) -> tuple[Change, ...]:
    """The same values in other bytes: another order, other escapes."""
    old, new = recorded.decode(errors="replace"), today.decode(errors="replace")
    at = _first_difference(old, new)
    return (Change(path=f"character {at}", recorded=_cut(old, at), today=_cut(new, at)),)


def _json(value: Any) -> str | None:
    return None if value is _MISSING else json.dumps(value, ensure_ascii=False)


def _first_difference(old: str, new: str) -> int:
    shorter = min(len(old), len(new))
    return next((at for at in range(shorter) if old[at] != new[at]), shorter)


def _head(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _cut(text: str, at: int) -> str:
    first, end = max(0, at - _AROUND), at + 3 * _AROUND
    return f"{'…' if first else ''}{text[first:end]}{'…' if end < len(text) else ''}"
