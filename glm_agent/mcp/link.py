"""An open session with a server: the SDK's client, and what of its tools is known. Imports the SDK.

What the SDK raises leaves this module as one of three exceptions of ``failure``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from typing import Any, cast

import anyio
from mcp import Client, MCPError
from mcp.client import advertise
from mcp.types import URL_ELICITATION_REQUIRED, CallToolResult, Implementation, Tool, ToolListChangedNotification

from glm_agent.mcp import legacy_tasks
from glm_agent.mcp.callbacks import Note, Progress
from glm_agent.mcp.changes import Changes
from glm_agent.mcp.failure import Lost, Refused, SessionLost
from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.offers import Offers, ToolList
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.repaired import MODERN
from glm_agent.mcp.skills import SKILLS
from glm_agent.mcp.tasks import Tasks, Waiting, created
from glm_agent.mcp.translation import translated
from glm_agent.mcp.visits import MAX_ROUNDS

log = logging.getLogger("glm_agent.mcp")


@dataclass(slots=True)
class Link:
    """An open session with a server."""

    note: Note
    on_tools: Callable[[], None] = field(default=lambda: None)
    """Called when the tools are others than before, because the server said so and was asked."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when the connection has ended, and by whoever wants it to end."""
    changes: Changes = field(default_factory=Changes)
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
            extensions=[advertise(SKILLS), Tasks()],
            mode="legacy" if is_legacy or peer.config.is_legacy else "auto",
            client_info=_ourselves(),
            message_handler=self._heard,
        )
        with translated(self.over.is_set):
            self._client = await stack.enter_async_context(client)
        return self

    async def tools(self) -> tuple[Tool, ...]:
        """What the server offers, under its own names. Raises as ``call`` does."""
        # A modern server says by itself for how long its list holds, and the client keeps to it.
        if self.changes.are_due:
            await self._list()
        elif self.is_modern and not self.changes.are_heard:
            self.changes.want()
            await self._list()
        return self._known.tools

    async def follow(self) -> None:
        """Keep the list as the server's is, for as long as the connection lasts."""
        async with anyio.create_task_group() as tasks:
            if self.is_modern and (offered := self.client.server_capabilities.tools) and offered.list_changed:
                tasks.start_soon(self.changes.listen, self.client)
            while True:
                await self.changes.settled()
                before = self.listed
                try:
                    await self._list()
                except (Lost, SessionLost, Refused) as error:
                    log.debug("a changed tool list cannot be read: %s", error)
                if self.listed != before:
                    self.on_tools()

    async def _list(self) -> None:
        self.changes.seen()
        self._known = await self.offers.tools()

    @property
    def ttl_seconds(self) -> float | None:
        """For how long the server says that its list holds; None where it says nothing."""
        return self._known.ttl_seconds

    @property
    def listed(self) -> tuple[Tool, ...]:
        """What the server offered when it was last asked."""
        return self._known.tools

    async def refreshed(self) -> None:
        """Ask again for the tools if the server has said that they changed. Raises as ``call`` does."""
        if self.changes.are_due:
            await self._list()

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        progress: Progress | None,
        meta: Mapping[str, Any],
        wants_task: bool = False,
    ) -> CallToolResult | TaskHandle:
        """Run one tool; a task is what the server goes on with by itself, to be waited for with ``task_result``.

        ``wants_task`` asks a server of protocol 2025-11-25 for a task also where it leaves that to us. Raises
        ``Lost``, ``SessionLost`` or ``Refused``.
        """
        result = await self._called(name, arguments, progress=progress, meta=meta, wants_task=wants_task)
        return result if not result.meta else created(result, is_modern=self.is_modern) or result

    async def task_result(self, task: TaskHandle, *, progress: Progress | None) -> CallToolResult:
        """What became of a call that goes on as a task, when it has ended. Raises as ``call`` does."""
        waiting = Waiting(task, self.client.session, self.peer, progress)
        with translated(self.over.is_set):
            return await waiting.result()

    async def _called(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        progress: Progress | None,
        meta: Mapping[str, Any],
        wants_task: bool,
    ) -> CallToolResult:
        """What the server answers: a result, or a task in the place of one."""
        if self.over.is_set():
            raise Lost("the connection had ended", may_have_run=False)
        given = cast(Any, dict(meta) or None)
        run = partial(self.client.call_tool, name, arguments, progress_callback=progress, meta=given)
        if not self.is_modern and self._is_task(name, is_wanted=wants_task):
            run = partial(legacy_tasks.start, self.client.session, name, arguments, progress=progress, meta=given)
        with translated(self.over.is_set):
            for _ in range(MAX_ROUNDS):
                try:
                    return await run()
                except MCPError as error:
                    # The server has not begun: it wants a person to go somewhere first, and to be called again.
                    if error.code != URL_ELICITATION_REQUIRED or not await self.peer.visited(error.data):
                        raise
            return await run()

    def _is_task(self, name: str, *, is_wanted: bool) -> bool:
        capabilities = self.client.server_capabilities
        if capabilities.tasks is None:
            return False
        tool = next((tool for tool in self.listed if tool.name == name), None)
        return legacy_tasks.is_asked_for(tool, capabilities, is_wanted=is_wanted)

    async def _heard(self, message: object) -> None:
        self.peer.heard(message)
        if isinstance(message, ToolListChangedNotification):
            self.changes.heard()
        elif isinstance(message, Exception):
            log.debug("a message of an MCP server cannot be read: %s", message)


@cache
def _ourselves() -> Implementation:
    return Implementation(name="glm-agent", version=version("glm-agent"))
