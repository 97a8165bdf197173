"""MCP over a process: lines of JSON-RPC on its standard input and output, as the SDK's transport.

In place of the SDK's own because that one reads in time quadratic in the message's size and without a cap,
and loses the exit code, the last words and the descendants of the server.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import INTERNAL_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

from glm_agent.mcp.framing import MAX_MESSAGE, Lines, TooLong
from glm_agent.mcp.normalize import answered_id, repair_messages
from glm_agent.mcp.process import ServerProcess

log = logging.getLogger("glm_agent.mcp")

_Inbox = MemoryObjectSendStream[SessionMessage | Exception]
Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


@asynccontextmanager
async def speak(server: ServerProcess, *, max_message: int = MAX_MESSAGE) -> AsyncGenerator[Streams]:
    """The process's pipes as a pair of message streams while the block is open.

    The streams end when the process closes its output; stopping the process is its owner's work.
    """
    inbox, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outbox = anyio.create_memory_object_stream[SessionMessage](0)
    async with read, write, anyio.create_task_group() as tasks:
        tasks.start_soon(_Reader(server=server, inbox=inbox, max_message=max_message).run)
        tasks.start_soon(_write, server, outbox, inbox)
        yield read, write
        tasks.cancel_scope.cancel()


@dataclass(slots=True)
class _Reader:
    server: ServerProcess
    inbox: _Inbox
    max_message: int

    async def run(self) -> None:
        lines = Lines(limit=self.max_message)
        async with self.inbox:
            try:
                while chunk := await self.server.read():
                    for line in lines.feed(chunk):
                        await self._receive(line)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._drain()
            self.server.note(lines.rest())

    async def _receive(self, line: bytes | TooLong) -> None:
        for message in self._messages(line):
            await self.inbox.send(message)

    def _messages(self, line: bytes | TooLong) -> list[SessionMessage]:
        if isinstance(line, TooLong):
            return self._refusal(line)
        if not line.strip():
            return []
        try:
            return [SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))]
        except ValueError:
            return self._repaired(line)

    def _repaired(self, line: bytes) -> list[SessionMessage]:
        """Messages that are nearly right; a line that is none at all is kept as the server's words."""
        try:
            messages = repair_messages(json.loads(line))
            return [SessionMessage(jsonrpc_message_adapter.validate_python(item, by_name=False)) for item in messages]
        except (ValueError, RecursionError):
            self.server.note(b"on standard output: " + line)
            return []

    def _refusal(self, line: TooLong) -> list[SessionMessage]:
        """An error in place of the answer, so that the call fails now and not at its timeout."""
        said = f"the answer has {line.size:,} bytes, the limit is {self.max_message:,}"
        log.warning("a message of an MCP server was dropped: %s", said)
        request_id = answered_id(line)
        if request_id is None:
            return []
        error = ErrorData(code=INTERNAL_ERROR, message=said)
        return [SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error))]

    async def _drain(self) -> None:
        """Nobody listens any more; a server that is busy writing would not notice that its input has ended."""
        while await self.server.read():
            pass


async def _write(server: ServerProcess, outbox: MemoryObjectReceiveStream[SessionMessage], inbox: _Inbox) -> None:
    try:
        async with outbox:
            async for item in outbox:
                await server.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # It no longer reads: end the session, instead of letting each request wait for its timeout.
        await inbox.aclose()
