"""What was sent, on record: enough beside the facts to make every request's body again, and to see that it is the same.

    RecordingModel    has the responses of a model say what was asked (outermost, so that it knows the turn's request)
    sent              the record of one request, made by the model that sends it
    asked_again       the request that was sent, from the turn's request and the record

Between the two, wrappers may have changed the request (a view of the history, a second question). What they changed
is kept as an edit, so that the facts alone are enough.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from operator import eq
from typing import Any, NamedTuple
from weakref import ref

from glm_agent.context import count_tokens
from glm_agent.messages import (
    KeptMessages,
    Message,
    ModelRequest,
    ModelResponse,
    RequestEdit,
    SentRequest,
)
from glm_agent.models.model import Model, ModelEvent
from glm_agent.wire.encode import BodyParts

MOST_TOKENS = 10_000
"""What wrappers put into one request is kept up to here; a policy that rewrites every message would fill the disk."""


class RecordingModel:
    """A model whose responses say what was asked. Costs nothing per delta."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        return self._model.stream(replace(request, asked=request))


def sent(request: ModelRequest, parts: BodyParts, *, model: str, dialect: str) -> SentRequest:
    """The record of a request whose body has these parts."""
    return SentRequest(
        hash=_growing(parts, request.messages[0]) if request.messages else body_hash(parts),
        digests=digests(parts, request.messages),
        model=model,
        dialect=dialect,
        edit=_edit(request.asked, request) if request.asked is not None else None,
    )


def body_hash(parts: BodyParts) -> str:
    """SHA-256 of a body without ``request_id``, in hex."""
    return hashlib.sha256(parts.joined()).hexdigest()


class _GrowingHash:
    """``body_hash`` of requests that begin alike: of a conversation only what is new is read.

    Kept with the conversation's first message, and forgotten with it.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[ref[Message], _Hashed]] = {}

    def __call__(self, parts: BodyParts, first: Message) -> str:
        key = id(first)
        kept = self._kept.get(key)
        hashed = kept[1] if kept is not None and kept[0]() is first and _goes_on(kept[1].parts, parts) else None
        state = hashlib.sha256(_beginning(parts)) if hashed is None else hashed.state.copy()
        for piece in parts.messages[1 if hashed is None else len(hashed.parts.messages) :]:
            state.update(b",")
            state.update(piece)
        forget = self._kept.pop
        self._kept[key] = (ref(first, lambda _: forget(key, None)), _Hashed(parts, state))
        whole = state.copy()
        whole.update(_END)
        return whole.hexdigest()


class _Hashed(NamedTuple):
    parts: BodyParts
    state: Any
    """Of the body of these parts without its end."""


_END = b"]}"
_growing = _GrowingHash()


def _beginning(parts: BodyParts) -> bytes:
    """The body up to its first message."""
    return parts._replace(messages=parts.messages[:1]).joined().removesuffix(_END)


def _goes_on(before: BodyParts, now: BodyParts) -> bool:
    """Whether a body only has more messages than the one before."""
    if before[:2] != now[:2] or len(before.messages) > len(now.messages):
        return False
    return all(map(eq, before.messages, now.messages))  # mostly the same objects, which costs next to nothing


def digests(parts: BodyParts, messages: Sequence[Message]) -> tuple[str, ...]:
    """CRC-32 of settings, tools and of each message from the latest response on: what was not in the request before."""
    return tuple(f"{zlib.crc32(part):08x}" for part in (parts.settings, parts.tools, *latest(parts, messages)))


def latest(parts: BodyParts, messages: Sequence[Message]) -> list[bytes]:
    """The body's messages from the latest response on; all of them where there is none."""
    at = next((at for at in reversed(range(len(messages))) if isinstance(messages[at], ModelResponse)), None)
    return parts.messages if at is None else parts.messages[at - len(messages) :]


def asked_again(request: ModelRequest, edit: RequestEdit | None) -> ModelRequest:
    """The request as it was sent, from the turn's own one."""
    if edit is None:
        return request
    named = {tool.name: tool for tool in request.tools}
    return replace(
        request,
        messages=request.messages if edit.messages is None else tuple(_messages(request.messages, edit.messages)),
        instructions=request.instructions if edit.instructions is None else edit.instructions,
        tools=request.tools if edit.tools is None else tuple(named[name] for name in edit.tools if name in named),
        settings=edit.settings or request.settings,
    )


def _edit(asked: ModelRequest, request: ModelRequest) -> RequestEdit | None:
    messages, is_whole = None, True
    if request.messages is not asked.messages:
        messages = _changes(asked.messages, request.messages)
        is_whole = count_tokens(new for new in messages if not isinstance(new, KeptMessages)) <= MOST_TOKENS
        if messages == (KeptMessages(first=0, end=len(asked.messages)),):
            messages = None
    edit = RequestEdit(
        messages=messages if is_whole else None,
        instructions=None if request.instructions == asked.instructions else request.instructions,
        tools=None if request.tools == asked.tools else tuple(tool.name for tool in request.tools),
        settings=None if request.settings == asked.settings else request.settings,
        is_whole=is_whole,
    )
    return None if edit == RequestEdit() else edit


def _changes(before: Sequence[Message], after: Sequence[Message]) -> tuple[KeptMessages | Message, ...]:
    """``after`` as runs of ``before`` and what is new; wrappers pass on the very objects that they do not change."""
    places = {id(message): at for at, message in enumerate(before)}
    changes: list[KeptMessages | Message] = []
    for message in after:
        at = places.get(id(message))
        last = changes[-1] if changes else None
        if at is None:
            changes.append(replace(message, sent=None) if isinstance(message, ModelResponse) else message)
        elif isinstance(last, KeptMessages) and last.end == at:
            changes[-1] = KeptMessages(first=last.first, end=at + 1)
        else:
            changes.append(KeptMessages(first=at, end=at + 1))
    return tuple(changes)


def _messages(before: Sequence[Message], changes: Sequence[KeptMessages | Message]) -> Iterator[Message]:
    for change in changes:
        if isinstance(change, KeptMessages):
            yield from before[change.first : change.end]
        else:
            yield change
