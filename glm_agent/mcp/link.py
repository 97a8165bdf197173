"""An open connection to one server: the transport, the repairs on the way, and the SDK's client on top.

The only room, with the transports, that imports the SDK; it is imported when a server is started. What the SDK
raises leaves this module as one of three exceptions of ``failure``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version as installed_version
from typing import Any, cast

import anyio
import httpx2
from mcp import Client, MCPError, types
from mcp.client import advertise
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    URL_ELICITATION_REQUIRED,
    CallToolResult,
    Implementation,
    Tool,
    ToolListChangedNotification,
)
from pydantic import Field, ValidationError

from glm_agent.mcp import sanitize
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Callbacks, Note, Progress
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Lost, Refused, SessionLost, Unauthorized
from glm_agent.mcp.http import LOST, NOT_SENT, SESSION_LOST, UNAUTHORIZED, HttpClient, streamable
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.process import ServerProcess
from glm_agent.mcp.repaired import MODERN, Repaired
from glm_agent.mcp.skills import SKILLS, Skill, content_bytes, read_skills, verified
from glm_agent.mcp.sse import events
from glm_agent.mcp.stdio import speak
from glm_agent.mcp.tasks import Tasks
from glm_agent.mcp.token_store import FileTokens
from glm_agent.messages import JsonObject

MAX_PAGES = 100
MAX_TOOLS = 2000
MAX_ADDRESSES = 5
"""Bounds of a tool list: a server that never ends its list must not hold the start."""


log = logging.getLogger("glm_agent.mcp")

_LEVELS = {"debug": 10, "info": 20, "notice": 20, "warning": 30, "error": 40, "critical": 50, "alert": 50}

_QUIET = logging.NullHandler()

NO_CALLBACKS = Callbacks()


class _SkillsResult(types.Result):
    skills: list[Any] = Field(default_factory=list[Any])
    next_cursor: str | None = None


class _ListSkills(types.Request[types.PaginatedRequestParams | None, str]):
    method: str = "skills/list"
    params: types.PaginatedRequestParams | None = None


@dataclass(slots=True)
class Link:
    """An open session with a server."""

    note: Note
    over: anyio.Event = field(default_factory=anyio.Event)
    """Set when the connection has ended, and by whoever wants it to end."""
    is_stale: bool = True
    """Whether the tools have to be listed again."""
    _peer: Peer | None = None
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

    async def open(self, stack: AsyncExitStack, server: Any, peer: Peer, *, is_legacy: bool) -> Link:
        """Begin the session; the stack ends it. Raises ``Lost`` or ``Refused``."""
        self._peer = peer
        client = Client(
            server,
            **peer.options(),
            extensions=[advertise(SKILLS), Tasks(peer)],
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

    @property
    def listed(self) -> tuple[Tool, ...]:
        """What the server offered when it was last asked."""
        return self._tools

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
        with self._translated():
            try:
                return await run()
            except MCPError as error:
                # The server has not begun: it wants a person to go somewhere first, and to be called again.
                if error.code != URL_ELICITATION_REQUIRED or not await self._went(error.data):
                    raise
            return await run()

    async def _went(self, data: Any) -> bool:
        """Whether a person has agreed to go to every address that an error names."""
        named = cast("JsonObject", data).get("elicitations") if isinstance(data, dict) else None
        if self._peer is None or not isinstance(named, list) or not named:
            return False
        for item in cast("list[object]", named)[:MAX_ADDRESSES]:
            try:
                params = types.ElicitRequestURLParams.model_validate({"mode": "url", **cast("JsonObject", item)})
            except (ValidationError, TypeError):
                return False
            if (await self._peer.elicit(None, params)).action != "accept":
                return False
        return True

    async def resources(self) -> list[JsonObject]:
        """The server's resources and their templates, in the protocol's words. Raises as ``call`` does."""
        capabilities = self.client.server_capabilities
        if capabilities.resources is None:
            return []
        found = await self._pages(self.client.list_resources, "resources")
        try:
            templates = await self._pages(self.client.list_resource_templates, "resource_templates")
        except Refused:
            templates = []  # Templates are not part of the capability.
        return [*found, *templates]

    async def prompts(self) -> list[JsonObject]:
        """The server's prompts, in the protocol's words. Raises as ``call`` does."""
        if self.client.server_capabilities.prompts is None:
            return []
        return await self._pages(self.client.list_prompts, "prompts")

    async def read_resource(self, uri: str) -> CallToolResult:
        """One resource, as the content of a result. Raises as ``call`` does."""
        with self._translated():
            read = await self.client.read_resource(uri)
        blocks: list[Any] = [types.EmbeddedResource(type="resource", resource=part) for part in read.contents]
        return CallToolResult(content=blocks)

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> CallToolResult:
        """One prompt's messages, as the content of a result. Raises as ``call`` does."""
        with self._translated():
            got = await self.client.get_prompt(name, arguments)
        return CallToolResult(content=[message.content for message in got.messages])

    async def _pages(self, ask: Callable[..., Awaitable[Any]], key: str) -> list[JsonObject]:
        found: list[JsonObject] = []
        cursor: str | None = None
        with self._translated():
            for _ in range(MAX_PAGES):
                page = await ask(cursor=cursor)
                found += [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in getattr(page, key)]
                if not page.next_cursor or page.next_cursor == cursor or len(found) > MAX_TOOLS:
                    break
                cursor = page.next_cursor
        return found[:MAX_TOOLS]

    async def skills(self) -> tuple[Skill, ...]:
        """The server's skills, of which nothing is read yet. Raises as ``call`` does."""
        found: list[Any] = []
        cursor: str | None = None
        with self._translated():
            for _ in range(MAX_PAGES):
                params = types.PaginatedRequestParams(cursor=cursor, _meta={})
                page = await self.client.session.send_request(_ListSkills(params=params), _SkillsResult)
                found += page.skills
                cursor = page.next_cursor
                if not cursor:
                    break
        return read_skills(found)

    async def skill_file(self, skill: Skill, uri: str) -> bytes:
        """One file of a skill, checked against its list. Raises ``Refused`` where it differs."""
        with self._translated():
            read = await self.client.read_resource(uri)
        return verified(skill, uri, content_bytes(read.contents))

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
    config: ServerConfig,
    *,
    process: ServerProcess | None,
    note: Note,
    callbacks: Callbacks = NO_CALLBACKS,
    is_legacy: bool = False,
) -> AsyncGenerator[Link]:
    """The session with a server while the block is open.

    ``is_legacy`` skips the question for the newer protocol. Raises ``Lost`` or ``Refused`` when no session
    comes about.
    """
    # The SDK logs with tracebacks what it also raises; whoever wants to read it gives its logger a handler.
    logging.getLogger("mcp").addHandler(_QUIET)
    peer = Peer(config, callbacks)
    async with AsyncExitStack() as stack:
        if config.transport == "memory":
            yield await Link(note).open(stack, config.instance, peer, is_legacy=is_legacy)
        elif process is not None:
            yield await _linked(stack, peer, speak(process), note, is_legacy=is_legacy)
        else:
            client = await stack.enter_async_context(HttpClient(config.headers, auth=_authorization(config, callbacks)))
            yield await _over_http(stack, client, peer, note, is_legacy=is_legacy)


async def _over_http(stack: AsyncExitStack, client: HttpClient, peer: Peer, note: Note, *, is_legacy: bool) -> Link:
    """Streamable HTTP, or what was before it where the server turns that away."""
    config = peer.config
    if config.transport == "sse":
        return await _linked(stack, peer, events(client, config.url), note, is_legacy=True)
    try:
        return await _linked(stack, peer, streamable(client, config.url), note, is_legacy=is_legacy)
    except (Refused, Lost) as refusal:
        if not client.suggests_sse:
            raise
        try:
            return await _linked(stack, peer, events(client, config.url), note, is_legacy=True)
        except (Refused, Lost):
            raise refusal from None


async def _linked(stack: AsyncExitStack, peer: Peer, transport: Any, note: Note, *, is_legacy: bool) -> Link:
    link = Link(note)
    repaired = Repaired(transport, link.over, note, partial(_log, peer.config.name))
    return await link.open(stack, repaired, peer, is_legacy=is_legacy)


def _authorization(config: ServerConfig, callbacks: Callbacks) -> httpx2.Auth | None:
    """Tokens for the server's requests, unless the configuration has a header for that."""
    if any(header.lower() == "authorization" for header in config.headers):
        return None
    from glm_agent.mcp.oauth import Authorized

    store = callbacks.tokens or FileTokens()
    return Authorized(config.url, oauth=config.oauth or OAuth(), store=store, login=callbacks.login)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _translation(error: BaseException, is_over: bool) -> Exception:
    match error:
        case MCPError(code=code, message=said):
            if code == SESSION_LOST or (code == INVALID_REQUEST and said == "Session terminated"):
                return SessionLost(said)
            if code == UNAUTHORIZED:
                return Unauthorized(said)
            if code in (NOT_SENT, LOST):
                return Lost(said, may_have_run=code == LOST)
            # A server may use the same number for an error of its own: then the connection is still there.
            if code == CONNECTION_CLOSED and (is_over or said.startswith(("Connection closed", "SSE stream"))):
                return Lost("the connection was closed", may_have_run=True)
            return Refused(said)
        case Refused():
            return error
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
