"""A transport whose messages are repaired (``normalize``) before the SDK checks them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, methods
from pydantic import ValidationError

from glm_agent.mcp import normalize
from glm_agent.mcp.callbacks import Note

MODERN = "2026"
"""Where the protocols begin that have no handshake and no session; versions are dates."""

_MAX_NOTES = 5
"""Of one answer."""

_PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
_OLDEST_CHECKED = "2025-11-25"
"""What the SDK checks messages against before a version is agreed on."""


@dataclass(slots=True)
class Repaired:
    """A transport whose messages are repaired before the SDK checks them."""

    inner: AbstractAsyncContextManager[Any]
    over: anyio.Event
    note: Note
    on_log: Callable[[dict[str, Any]], None]
    """Takes what the server writes to its log."""
    sent: dict[str, str] = field(default_factory=dict[str, str])
    """The method of each open request, by its id as text: some servers answer 1 with "1"."""
    version: str = _OLDEST_CHECKED

    async def __aenter__(self) -> tuple[_Reader, _Writer]:
        reader, writer = await self.inner.__aenter__()
        return _Reader(self, reader), _Writer(self, writer)

    async def __aexit__(self, *raised: Any) -> bool | None:
        return await self.inner.__aexit__(*raised)

    def sending(self, item: SessionMessage) -> None:
        message = item.message
        if isinstance(message, JSONRPCRequest):
            self.sent[str(message.id)] = message.method
            meta: dict[str, Any] = (message.params or {}).get("_meta") or {}
            self.version = str(meta.get(_PROTOCOL_VERSION, self.version))
            if message.method == "initialize":
                self.version = _OLDEST_CHECKED

    def is_taken(self, item: SessionMessage | Exception) -> bool:
        """Whether the message ends here. The SDK starts a task for each line of a server's log; some log a lot."""
        if not isinstance(item, SessionMessage) or not isinstance(item.message, JSONRPCNotification):
            return False
        if item.message.method != "notifications/message":
            return False
        self.on_log(item.message.params or {})
        return True

    def received(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        if isinstance(item, SessionMessage) and isinstance(item.message, (JSONRPCResponse, JSONRPCError)):
            method = self.sent.pop(str(item.message.id), "")
            if isinstance(item.message, JSONRPCResponse):
                self._repair(method, item.message.result)
        return item

    def _repair(self, method: str, result: dict[str, Any]) -> None:
        notes = normalize.repair_result(
            method,
            result,
            is_modern=self.version >= MODERN,
            is_valid=lambda candidate: self._is_valid(method, candidate),
        )
        if method == "initialize" and isinstance(said := result.get("protocolVersion"), str):
            self.version = said
        for sentence in notes[:_MAX_NOTES]:
            self.note(sentence)
        if len(notes) > _MAX_NOTES:
            self.note(f"{len(notes) - _MAX_NOTES} more of its tools are like that")

    def _is_valid(self, method: str, result: dict[str, Any]) -> bool:
        try:
            methods.parse_server_result(method, self.version, result)
        except ValidationError:
            return False
        except (KeyError, ValueError):
            return True  # A version or method that the SDK has no model for: it does not check it either.
        return True


@dataclass(slots=True)
class _Reader(ObjectReceiveStream[SessionMessage | Exception]):
    repaired: Repaired
    inner: Any

    async def receive(self) -> SessionMessage | Exception:
        try:
            while True:
                item = await self.inner.receive()
                if not self.repaired.is_taken(item):
                    return self.repaired.received(item)
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self.repaired.over.set()
            raise

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass(slots=True)
class _Writer(ObjectSendStream[SessionMessage]):
    repaired: Repaired
    inner: Any

    async def send(self, item: SessionMessage) -> None:
        self.repaired.sending(item)
        await self.inner.send(item)

    async def aclose(self) -> None:
        await self.inner.aclose()
