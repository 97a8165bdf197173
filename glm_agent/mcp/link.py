"""An open session with a server: the SDK's client, and what of its tools is known. Imports the SDK.

What the SDK raises leaves this module as one of three exceptions of ``failure``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from typing import Any, cast

import anyio
from mcp import Client, MCPError
from mcp.client import advertise
from mcp.types import URL_ELICITATION_REQUIRED, CallToolResult, Implementation, Tool, ToolListChangedNotification

from glm_agent.mcp.callbacks import Note, Progress
from glm_agent.mcp.failure import Lost
from glm_agent.mcp.offers import Offers, ToolList
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.repaired import MODERN
from glm_agent.mcp.skills import SKILLS
from glm_agent.mcp.tasks import Tasks
from glm_agent.mcp.translation import translated
from glm_agent.mcp.visits import MAX_ROUNDS

log = logging.getLogger("glm_agent.mcp")


@dataclass(slots=True)
class Link:
    """An open session with a server."""

    note: Note
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when the connection has ended, and by whoever wants it to end."""
    is_stale: bool = True
    """Whether the tools have to be listed again."""
    _peer: Peer | None = None
    """Answers what the server asks of us."""
    _client: Client | None = None
    _known: ToolList = field(default_factory=lambda: ToolList(()))

    @property
    def client(self) -> Client:
        assert self._client is not None, "the link is not open"
        return self._client

    @property
    def peer(self) -> Peer:
        assert self._peer is not None, "the link is not open"
        return self._peer

    @property
    def offers(self) -> Offers:
        """What the server has, asked for anew."""
        return Offers(self.client, self.over.is_set, self.note)

    @property
    def is_modern(self) -> bool:
        """Whether protocol 2026-07-28 or later is spoken: no sessions, no handshake."""
        return self.client.protocol_version >= MODERN

    async def open(self, stack: AsyncExitStack, server: Any, peer: Peer, *, is_legacy: bool) -> Link:
        """Begin the session; the stack ends it. Raises ``Lost`` or ``Refused``."""
        self._peer = peer
        client = Client(
            server,
            **peer.options(),
            extensions=[advertise(SKILLS), Tasks(peer)],
            mode="legacy" if is_legacy else "auto",
            client_info=_ourselves(),
            message_handler=self._heard,
        )
        with translated(self.over.is_set):
            self._client = await stack.enter_async_context(client)
        return self

    async def tools(self) -> tuple[Tool, ...]:
        """What the server offers, under its own names. Raises as ``call`` does."""
        # A modern server says by itself for how long its list holds, and the client keeps to it.
        if self.is_stale or self.is_modern:
            self.is_stale = False
            self._known = await self.offers.tools()
        return self._known.tools

    @property
    def listed(self) -> tuple[Tool, ...]:
        """What the server offered when it was last asked."""
        return self._known.tools

    async def refreshed(self) -> None:
        """Ask again for the tools if the server has said that they changed. Raises as ``call`` does."""
        if self.is_stale:
            await self.tools()

    async def call(
        self, name: str, arguments: dict[str, Any], *, progress: Progress | None, meta: Mapping[str, Any]
    ) -> CallToolResult:
        """Run one tool. Raises ``Lost``, ``SessionLost`` or ``Refused``."""
        if self.over.is_set():
            raise Lost("the connection had ended", may_have_run=False)
        run = partial(
            self.client.call_tool, name, arguments, progress_callback=progress, meta=cast(Any, dict(meta) or None)
        )
        with translated(self.over.is_set):
            for _ in range(MAX_ROUNDS):
                try:
                    return await run()
                except MCPError as error:
                    # The server has not begun: it wants a person to go somewhere first, and to be called again.
                    if error.code != URL_ELICITATION_REQUIRED or not await self.peer.visited(error.data):
                        raise
            return await run()

    async def _heard(self, message: object) -> None:
        self.peer.heard(message)
        if isinstance(message, ToolListChangedNotification):
            self.is_stale = True
        elif isinstance(message, Exception):
            log.debug("a message of an MCP server cannot be read: %s", message)


@cache
def _ourselves() -> Implementation:
    return Implementation(name="glm-agent", version=version("glm-agent"))
