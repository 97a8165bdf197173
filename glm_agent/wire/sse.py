"""Server-sent events: bytes in any cut -> events.

Pure and linear in the number of bytes. Knows nothing of JSON or GLM, except that some proxies send a
bare JSON line without ``data:`` when something fails; such a line becomes an event of its own.
The same bytes give the same events, however they are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from glm_agent.errors import ModelProtocolError

LINE_LIMIT = 8 * 2**20
"""Bytes of one line."""
EVENT_LIMIT = 32 * 2**20
"""Bytes of one event's data."""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event of a stream."""

    event: str
    """Its name; empty when the server gave none."""
    data: bytes
    """Its data lines, joined by line feeds; bytes, because a cut may fall inside a character."""


class Decoder:
    """Feed it bytes as they come, ``close`` it at the end; both give events.

    Raises ``ModelProtocolError`` when a line or an event is larger than any honest server sends.
    """

    __slots__ = ("_after_cr", "_data", "_event", "_is_first", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._is_first = True
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """The events that these bytes complete."""
        if self._after_cr or b"\r" in data:
            data = self._line_feeds_only(data)
        if data[:7] == b"data: {" and data[-2:] == b"\n\n" and self._is_between_events(data):
            # What nearly all servers send: whole events of one line each. The rest of this class costs more.
            self._is_first = False
            for frame in data[6:-2].split(b"\n\ndata: "):
                if b"\n" in frame:
                    yield from self._feed_lines(b"data: " + frame + b"\n\n")
                else:
                    yield ServerSentEvent("", frame)
        else:
            yield from self._feed_lines(data)

    def close(self) -> Iterator[ServerSentEvent]:
        """What the end of the stream completes: some servers forget the last line break."""
        if self._tail:
            line = bytes(self._tail)
            self._tail.clear()
            yield from self._line(line)
        if self._data:
            yield self._take()

    def _is_between_events(self, data: bytes) -> bool:
        return not (self._tail or self._data or self._event) and len(data) <= LINE_LIMIT

    def _feed_lines(self, data: bytes) -> Iterator[ServerSentEvent]:
        first, *lines = data.split(b"\n")
        if not lines:
            self._grow(first)
            return
        rest = lines.pop()
        if self._tail:
            self._grow(first)
            first = bytes(self._tail)
            self._tail.clear()
        yield from self._line(first)
        for line in lines:
            yield from self._line(line)
        self._grow(rest)

    def _line_feeds_only(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _line(self, line: bytes) -> Iterator[ServerSentEvent]:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_BOM)
        if len(line) > LINE_LIMIT:
            raise _too_large("a line", LINE_LIMIT)
        if line.startswith(b"{"):
            if self._data:
                yield self._take()
            self._add(line)
            yield self._take()
            return
        if not line:
            if self._data:
                yield self._take()
            self._event = ""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")

    def _add(self, value: bytes) -> None:
        self._size += len(value)
        if self._size > EVENT_LIMIT:
            raise _too_large("an event", EVENT_LIMIT)
        self._data.append(value)

    def _grow(self, piece: bytes) -> None:
        self._tail += piece
        if len(self._tail) > LINE_LIMIT:
            raise _too_large("a line", LINE_LIMIT)

    def _take(self) -> ServerSentEvent:
        data = self._data
        event = ServerSentEvent(self._event, data[0] if len(data) == 1 else b"\n".join(data))
        self._data, self._size, self._event = [], 0, ""
        return event


def _too_large(what: str, limit: int) -> ModelProtocolError:
    return ModelProtocolError(
        f"the server sent {what} of more than {limit // 2**20} MiB in its stream", is_retryable=True
    )
