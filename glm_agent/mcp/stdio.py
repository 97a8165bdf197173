"""MCP over a process: lines of JSON-RPC on its standard input and output, as the SDK's transport.

In place of the SDK's own because that one reads in time quadratic in the message's size and without a cap,
and loses the exit code, the last words and the descendants of the server. Reading and writing happen in the tasks
that wait for it: a task in between would cost every call two turns of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, jsonrpc_message_adapter

from glm_agent.mcp.failure import UNREADABLE
from glm_agent.mcp.framing import MAX_MESSAGE, Lines, Spread, TooLong, too_long
from glm_agent.mcp.normalize import answered_by, answered_id, reason, repair_messages
from glm_agent.mcp.process import ServerProcess

log = logging.getLogger("glm_agent.mcp")

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
"""What a transport of the SDK gives where it has tasks of its own."""


@asynccontextmanager
async def speak(
    server: ServerProcess, *, over: anyio.Event, max_message: int = MAX_MESSAGE
) -> AsyncGenerator[tuple[Inbox, Outbox]]:
    """The process's pipes as a pair of message streams while the block is open.

    The inbox ends when the process closes its output; ``over`` is set when it no longer reads. Stopping the process
    is its owner's work.
    """
    yield Inbox(server, Reader(server, max_message=max_message)), Outbox(server, over)


@dataclass(slots=True)
class Inbox(ObjectReceiveStream[SessionMessage | Exception]):
    """What the server says, message by message."""

    server: ServerProcess
    reader: Reader
    _read: deque[SessionMessage] = field(default_factory=deque[SessionMessage])
    _is_closed: bool = False

    async def receive(self) -> SessionMessage | Exception:
        """The next message. Raises ``anyio.EndOfStream`` when the server has closed its output."""
        while not self._read:
            if self._is_closed:
                raise anyio.ClosedResourceError
            chunk = await self.server.read()
            if not chunk:
                self.reader.end()
                raise anyio.EndOfStream
            self._read.extend(self.reader.feed(chunk))
        return self._read.popleft()

    async def aclose(self) -> None:
        self._is_closed = True


@dataclass(slots=True)
class Outbox(ObjectSendStream[SessionMessage]):
    """What is said to the server."""

    server: ServerProcess
    over: anyio.Event
    _turn: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))

    async def send(self, item: SessionMessage) -> None:
        """Write it. Raises ``anyio.BrokenResourceError`` when the server no longer reads."""
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        async with self._turn:
            try:
                await self.server.write(line)
            except anyio.BrokenResourceError:
                # End the session, instead of letting each request wait for its timeout.
                self.over.set()
                raise
            except anyio.get_cancelled_exc_class():
                if not _is_asyncio():
                    # The rest of the line cannot be written any more; asyncio has it all in its buffer.
                    self.over.set()
                raise

    async def aclose(self) -> None:
        pass


@dataclass(slots=True)
class Reader:
    """Bytes of a server -> messages; what is none is kept as the server's words."""

    server: ServerProcess
    max_message: int = MAX_MESSAGE
    _lines: Lines = field(init=False)
    _spread: Spread = field(init=False)

    def __post_init__(self) -> None:
        self._lines = Lines(limit=self.max_message)
        self._spread = Spread(limit=self.max_message)

    def feed(self, chunk: bytes) -> list[SessionMessage]:
        """The messages that are complete with these bytes."""
        return [message for line in self._lines.feed(chunk) for message in self._messages(line)]

    def end(self) -> None:
        """Keep what is no whole line as words."""
        for line in (self._spread.dropped(), self._lines.rest()):
            self.server.note(line)

    def _messages(self, line: bytes | TooLong) -> list[SessionMessage]:
        if isinstance(line, TooLong):
            return self._refusal(line)
        if not line.strip():
            return []
        try:
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            return self._odd(line)
        self._note(self._spread.dropped())
        return [message]

    def _odd(self, line: bytes) -> list[SessionMessage]:
        """Messages that are nearly right, or that stand on several lines."""
        text = self._spread.feed(line)
        if text is None:
            return []
        try:
            messages = repair_messages(json.loads(text))
            return [SessionMessage(jsonrpc_message_adapter.validate_python(item, by_name=False)) for item in messages]
        except (ValueError, RecursionError) as error:
            self._note(text)
            return self._unreadable(text, error)

    def _unreadable(self, text: bytes, error: Exception) -> list[SessionMessage]:
        """An error in place of an answer that is nearly one, so that the call fails now and not at its timeout."""
        request_id = answered_by(text)
        if request_id is None:
            return []
        said = ErrorData(code=UNREADABLE, message=f"its answer cannot be read: {reason(error)}")
        return [SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=said))]

    def _note(self, lines: bytes) -> None:
        for line in lines.splitlines():
            self.server.note(b"on standard output: " + line)

    def _refusal(self, line: TooLong) -> list[SessionMessage]:
        """An error in place of the answer, so that the call fails now and not at its timeout."""
        said = too_long(self.max_message)
        log.warning("a message of an MCP server of %d bytes was dropped", line.size)
        request_id = answered_id(line)
        if request_id is None:
            return []
        error = ErrorData(code=UNREADABLE, message=said)
        return [SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))]


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
