"""The way to a server: its transport, the repairs on the way, and authorization. Imports the SDK."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from glm_agent.mcp import token_store
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Callbacks, Note
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Lost, Refused
from glm_agent.mcp.http import HttpClient, streamable
from glm_agent.mcp.link import Link
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.process import ServerProcess
from glm_agent.mcp.repaired import Repaired
from glm_agent.mcp.server_log import ServerLog
from glm_agent.mcp.sse import events
from glm_agent.mcp.stdio import speak

if TYPE_CHECKING:
    from glm_agent.mcp.oauth import Authorized

_QUIET = logging.NullHandler()

NO_CALLBACKS = Callbacks()


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
    for name in ("mcp", "client"):
        logging.getLogger(name).addHandler(_QUIET)
    peer = Peer(config, callbacks, note)
    async with AsyncExitStack() as stack:
        if config.transport == "memory":
            yield await Link(note).open(stack, config.instance, peer, is_legacy=is_legacy)
        elif process is not None:
            link = Link(note)
            yield await _linked(
                stack,
                link,
                peer,
                speak(process, over=link.over, max_message=config.max_message_bytes),
                is_legacy=is_legacy,
            )
        else:
            client = await stack.enter_async_context(_client(config, callbacks))
            yield await _over_http(stack, client, peer, note, is_legacy=is_legacy)


async def _over_http(stack: AsyncExitStack, client: HttpClient, peer: Peer, note: Note, *, is_legacy: bool) -> Link:
    """Streamable HTTP, or what was before it where the server turns that away."""
    config = peer.config
    if config.transport == "sse":
        return await _linked(stack, Link(note), peer, events(client, config.url), is_legacy=True)
    try:
        return await _linked(stack, Link(note), peer, streamable(client, config.url), is_legacy=is_legacy)
    except (Refused, Lost) as refusal:
        if not client.suggests_sse:
            raise
        try:
            return await _linked(stack, Link(note), peer, events(client, config.url), is_legacy=True)
        except (Refused, Lost):
            raise refusal from None


async def _linked(stack: AsyncExitStack, link: Link, peer: Peer, transport: Any, *, is_legacy: bool) -> Link:
    repaired = Repaired(transport, link.over, link.note, ServerLog(peer.config, link.note))
    return await link.open(stack, repaired, peer, is_legacy=is_legacy)


def _client(config: ServerConfig, callbacks: Callbacks) -> HttpClient:
    auth = authorization(config, callbacks)
    return HttpClient(config.headers, auth=auth, max_message=config.max_message_bytes)


def authorization(config: ServerConfig, callbacks: Callbacks) -> Authorized | None:
    """Tokens for the server's requests, unless the configuration has a header for that."""
    if any(header.lower() == "authorization" for header in config.headers):
        return None
    from glm_agent.mcp.oauth import Authorized

    store = callbacks.tokens or token_store.chosen(os.environ)
    return Authorized(config.url, oauth=config.oauth or OAuth(), store=store, login=callbacks.login)
