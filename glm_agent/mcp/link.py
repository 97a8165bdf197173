"""An open connection to one server: the transport, the repairs on the way, and the SDK's client on top.

The only room, with the transports, that imports the SDK; it is imported when a server is started. What the SDK
raises leaves this module as one of three exceptions of ``failure``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any, cast

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    CallToolResult,
    Implementation,
    Tool,
    ToolListChangedNotification,
)
from pydantic import ValidationError

from glm_agent.mcp import sanitize
from glm_agent.mcp.callbacks import Note, Progress
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Lost, Refused, SessionLost
from glm_agent.mcp.http import LOST, NOT_SENT, SESSION_LOST, HttpClient, streamable
from glm_agent.mcp.process import ServerProcess
from glm_agent.mcp.repaired import MODERN, Repaired
from glm_agent.mcp.sse import events
from glm_agent.mcp.stdio import speak

MAX_PAGES = 100
MAX_TOOLS = 2000
"""Bounds of a tool list: a server that never ends its list must not hold the start."""


log = logging.getLogger("glm_agent.mcp")

_LEVELS = {"debug": 10, "info": 20, "notice": 20, "warning": 30, "error": 40, "critical": 50, "alert": 50}

_QUIET = logging.NullHandler()


@dataclass(slots=True)
class Link:
    """An open session with a server."""

    note: Note
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when the connection has ended, and by whoever wants it to end."""
    is_stale: bool = True
    """Whether the tools have to be listed again."""
    _client: Client | None = None
    _tools: tuple[Tool, ...] = ()

    @property
    def client(self) -> Client:
        assert self._client is not None, "the link is not open"
        return self._client

    @property
    def is_modern(self) -> bool:
        """Whether protocol 2026-07-28 or later is spoken: no sessions, no handshake."""
        return self.client.protocol_version >= MODERN

    async def open(self, stack: AsyncExitStack, server: Any, *, is_legacy: bool) -> Link:
        """Begin the session; the stack ends it. Raises ``Lost`` or ``Refused``."""
        client = Client(
            server,
            mode="legacy" if is_legacy else "auto",
            client_info=Implementation(name="glm-agent", version=installed_version("glm-agent")),
            message_handler=self._heard,
        )
        with self._translated():
            self._client = await stack.enter_async_context(client)
        return self

    async def tools(self) -> tuple[Tool, ...]:
        """What the server offers, under its own names. Raises as ``call`` does."""
        # A modern server says by itself for how long its list holds, and the client keeps to it.
        if self.is_stale or self.is_modern:
            self.is_stale = False
            with self._translated():
                self._tools = await self._list()
        return self._tools

    async def call(
        self, name: str, arguments: dict[str, Any], *, progress: Progress | None, meta: Mapping[str, Any]
    ) -> CallToolResult:
        """Run one tool. Raises ``Lost``, ``SessionLost`` or ``Refused``."""
        if self.over.is_set():
            raise Lost("the connection had ended", may_have_run=False)
        with self._translated():
            return await self.client.call_tool(
                name, arguments, progress_callback=progress, meta=cast(Any, dict(meta) or None)
            )

    async def _list(self) -> tuple[Tool, ...]:
        found: dict[str, Tool] = {}
        cursor: str | None = None
        seen = set[str]()
        for _ in range(MAX_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            for tool in page.tools:
                if tool.name in found:
                    self.note(f"it offers two tools named {tool.name!r}; the first one is used")
                found.setdefault(tool.name, tool)
            cursor = page.next_cursor
            if len(found) > MAX_TOOLS:
                self.note(f"it offers more than {MAX_TOOLS} tools; the rest was left out")
                return tuple(found.values())[:MAX_TOOLS]
            if not cursor or cursor in seen:
                return tuple(found.values())
            seen.add(cursor)
        self.note(f"its tool list has more than {MAX_PAGES} pages; the rest was left out")
        return tuple(found.values())

    async def _heard(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.is_stale = True
        elif isinstance(message, Exception):
            log.debug("a message of an MCP server cannot be read: %s", message)

    @contextmanager
    def _translated(self) -> Generator[None]:
        """What the SDK raises, alone or in groups of groups, as an exception of ``failure``."""
        try:
            yield
        except Exception as error:
            raise _translation(_first(error), self.over.is_set()) from None


@asynccontextmanager
async def connect(
    config: ServerConfig, *, process: ServerProcess | None, note: Note, is_legacy: bool = False
) -> AsyncGenerator[Link]:
    """The session with a server while the block is open.

    ``is_legacy`` skips the question for the newer protocol. Raises ``Lost`` or ``Refused`` when no session
    comes about.
    """
    # The SDK logs with tracebacks what it also raises; whoever wants to read it gives its logger a handler.
    logging.getLogger("mcp").addHandler(_QUIET)
    async with AsyncExitStack() as stack:
        if config.transport == "memory":
            yield await Link(note).open(stack, config.instance, is_legacy=is_legacy)
        elif process is not None:
            yield await _linked(stack, config, speak(process), note, is_legacy=is_legacy)
        else:
            client = await stack.enter_async_context(HttpClient(config.headers))
            yield await _over_http(stack, client, config, note, is_legacy=is_legacy)


async def _over_http(
    stack: AsyncExitStack, client: HttpClient, config: ServerConfig, note: Note, *, is_legacy: bool
) -> Link:
    """Streamable HTTP, or what was before it where the server turns that away."""
    if config.transport == "sse":
        return await _linked(stack, config, events(client, config.url), note, is_legacy=True)
    try:
        return await _linked(stack, config, streamable(client, config.url), note, is_legacy=is_legacy)
    except (Refused, Lost) as refusal:
        if not client.suggests_sse:
            raise
        try:
            return await _linked(stack, config, events(client, config.url), note, is_legacy=True)
        except (Refused, Lost):
            raise refusal from None


async def _linked(stack: AsyncExitStack, config: ServerConfig, transport: Any, note: Note, *, is_legacy: bool) -> Link:
    link = Link(note)
    return await link.open(stack, Repaired(transport, link.over, note, partial(_log, config.name)), is_legacy=is_legacy)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _translation(error: BaseException, is_over: bool) -> Exception:
    match error:
        case MCPError(code=code, message=said):
            if code == SESSION_LOST or (code == INVALID_REQUEST and said == "Session terminated"):
                return SessionLost(said)
            if code in (NOT_SENT, LOST):
                return Lost(said, may_have_run=code == LOST)
            # A server may use the same number for an error of its own: then the connection is still there.
            if code == CONNECTION_CLOSED and (is_over or said.startswith(("Connection closed", "SSE stream"))):
                return Lost("the connection was closed", may_have_run=True)
            return Refused(said)
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return Refused(f"its answer breaks the protocol at {place!r}: {first['msg']}")
        case httpx2.HTTPStatusError():
            return Refused(f"HTTP {error.response.status_code} {error.response.reason_phrase}".strip())
        case httpx2.HTTPError() | httpx2.StreamError() | OSError():
            return Lost(f"{type(error).__name__}: {error}".rstrip(": "), may_have_run=False)
        case _:
            return Refused(f"{type(error).__name__}: {error}")


def _log(server: str, params: Mapping[str, Any]) -> None:
    """A line of a server's log, in ours."""
    level = _LEVELS.get(str(params.get("level")), logging.INFO)
    logger = logging.getLogger(f"glm_agent.mcp.{server}")
    if logger.isEnabledFor(level):
        logger.log(level, "%s", sanitize.description(str(params.get("data", ""))))
