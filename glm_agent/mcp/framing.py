"""Bytes -> lines -> JSON texts, in time linear in their size and with a cap. Pure; knows no protocol.

A line that is longer than the cap is not kept; its beginning and end are, so that the request it answers can
still be found and failed. A text that is spread over several lines, as people print JSON, is put together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_MESSAGE = 64 << 20
"""Bytes of one message where nothing else is said. An answer above it is an error of the call, not of the server."""

KEPT = 256
"""Bytes of its beginning and its end: where the id of what it answers stands."""

_BEGINS = re.compile(rb"\s*\[?\s*(?:\{\s*(?:\"|$)|$)")
"""A message, or a batch of them, and no line of a log such as ``[INFO] …``."""

# An open string reaches to the end of the line, so that nothing is looked at twice.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)', re.DOTALL)


def too_long(limit: int) -> str:
    """What is said of an answer above the limit, whatever it came over."""
    mib = max(1, limit >> 20)
    return f'its answer has more than {mib} MiB. To allow more, put "max_message_mb": {2 * mib} into its entry'


@dataclass(frozen=True, kw_only=True, slots=True)
class TooLong:
    """What is left of a line that was longer than the cap."""

    head: bytes
    tail: bytes
    size: int
    """Bytes the line had."""


@dataclass(slots=True)
class Lines:
    """Collects chunks and gives out the lines that are complete."""

    limit: int = MAX_MESSAGE
    _parts: list[bytes] = field(default_factory=list[bytes], init=False)
    _size: int = field(default=0, init=False)
    _head: bytes = field(default=b"", init=False)
    _tail: bytes = field(default=b"", init=False)

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """The lines that end in this chunk, without their line break."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._take()
        if rest:
            self._add(rest)

    def rest(self) -> bytes:
        """What came after the last line break, for the end of the stream."""
        line = self._take()
        return line if isinstance(line, bytes) else line.head

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self.limit:
            self._parts.append(piece)
            return
        if self._parts:
            self._head = b"".join(self._parts)[:KEPT]
            self._parts.clear()
        self._head = self._head or piece[:KEPT]
        self._tail = (self._tail + piece)[-KEPT:]

    def _take(self) -> bytes | TooLong:
        line: bytes | TooLong = b"".join(self._parts)
        if self._size > self.limit:
            line = TooLong(head=self._head, tail=self._tail, size=self._size)
        self._parts.clear()
        self._size, self._head, self._tail = 0, b"", b""
        return line


@dataclass(slots=True)
class Spread:
    """Puts a JSON text together that stands on several lines."""

    limit: int = MAX_MESSAGE
    _parts: list[bytes] = field(default_factory=list[bytes], init=False)
    _size: int = field(default=0, init=False)
    _depth: int = field(default=0, init=False)

    def feed(self, line: bytes) -> bytes | None:
        """The text that ends with this line: the line itself where it stands alone; None while more must come."""
        if not self._parts and not _BEGINS.match(line):
            return line
        self._parts.append(line)
        self._size += len(line) + 1
        self._depth += _opened(line)
        return self.dropped() if self._depth <= 0 or self._size > self.limit else None

    def dropped(self) -> bytes:
        """What was collected so far; it is forgotten."""
        text = b"\n".join(self._parts)
        self._parts.clear()
        self._size = self._depth = 0
        return text


def _opened(line: bytes) -> int:
    """How many more brackets the line opens than it closes."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
