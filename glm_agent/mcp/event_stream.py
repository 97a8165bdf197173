"""Server-sent events: bytes -> events, with a cap, above which an event is not kept and the stream goes on. Pure.

In place of ``httpx2.EventSource``, which ends the stream at such an event. Knows nothing of MCP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from dataclasses import dataclass, field

from glm_agent.mcp.framing import KEPT, Lines, TooLong

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamEvent:
    """One event."""

    name: str
    """``message`` where the server gave none."""
    data: bytes | TooLong


async def read_events(chunks: AsyncIterable[bytes], *, limit: int) -> AsyncGenerator[StreamEvent]:
    """The events of a stream, to its end; one that its end cuts off is none."""
    events = Events(limit=limit)
    async for chunk in chunks:
        for event in events.feed(chunk):
            yield event


@dataclass(slots=True)
class Events:
    """Collects chunks and gives out the events that are complete."""

    limit: int
    _lines: Lines = field(init=False)
    _name: str = field(default="", init=False)
    _data: list[bytes] = field(default_factory=list[bytes], init=False)
    _size: int = field(default=0, init=False)
    _ends: list[bytes] = field(default_factory=list[bytes], init=False)
    """Of an event that is too long, its beginning and its end."""
    _is_after_return: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._lines = Lines(limit=self.limit)

    def feed(self, chunk: bytes) -> Iterator[StreamEvent]:
        """The events that end in this chunk."""
        for line in self._lines.feed(self._line_feeds_only(chunk)):
            if isinstance(line, TooLong):
                self._add_cut(line)
            elif line:
                self._field(*line.removeprefix(_BOM).partition(b":")[::2])
            elif (event := self._taken()) is not None:
                yield event

    def _field(self, name: bytes, value: bytes) -> None:
        value = value.removeprefix(b" ")
        if name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"data":
            self._size += len(value) + 1
            self._data.append(value)
            if self._size > self.limit:
                self._keep_ends(self._data[0], value)

    def _add_cut(self, line: TooLong) -> None:
        name, _, head = line.head.partition(b":")
        if name == b"data":
            self._size += line.size
            self._keep_ends(head, line.tail)

    def _keep_ends(self, head: bytes, tail: bytes) -> None:
        self._ends = [self._ends[0] if self._ends else head[:KEPT], tail[-KEPT:]]
        self._data = [b""]

    def _taken(self) -> StreamEvent | None:
        """The event that a blank line ends; None where there is none."""
        data: bytes | TooLong = b"\n".join(self._data)
        if self._ends:
            data = TooLong(head=self._ends[0], tail=self._ends[1], size=self._size)
        found = StreamEvent(name=self._name or "message", data=data) if self._data else None
        self._name, self._size = "", 0
        self._data.clear()
        self._ends.clear()
        return found

    def _line_feeds_only(self, chunk: bytes) -> bytes:
        """The chunk with every end of a line as one line feed, wherever it is cut."""
        if not chunk:
            return chunk
        was_after_return, self._is_after_return = self._is_after_return, chunk.endswith(b"\r")
        if was_after_return:
            chunk = chunk.removeprefix(b"\n")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk
