"""MCP over HTTP with server-sent events, as it was until 2025: a GET that stays open, and POSTs beside it.

Ours, because the SDK's refuses a message above 1 MiB, and with it the connection, and does not fail the request whose
POST was refused. Delete it when ``sse_client`` does, or when nobody speaks this any more.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, JSONRPCRequest, jsonrpc_message_adapter

from glm_agent.mcp.event_stream import read_events
from glm_agent.mcp.failure import UNREADABLE
from glm_agent.mcp.framing import TooLong, too_long
from glm_agent.mcp.http import HttpClient
from glm_agent.mcp.normalize import answered_id
from glm_agent.mcp.stdio import Streams

log = logging.getLogger("glm_agent.mcp")

_Inbox = MemoryObjectSendStream[SessionMessage | Exception]


@asynccontextmanager
async def events(client: HttpClient, url: str) -> AsyncGenerator[Streams]:
    """The streams of a session while the block is open; they end when the server closes its events.

    Raises ``httpx2.HTTPError`` when the server cannot be reached or speaks something else.
    """
    inbox, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outbox = anyio.create_memory_object_stream[SessionMessage](0)
    accept = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    async with client.stream("GET", url, headers=accept) as response, inbox, read, write, outbox:
        response.raise_for_status()
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise httpx2.RemoteProtocolError(f"the server sent no events, but {kind or 'something without a type'}")
        async with anyio.create_task_group() as tasks:
            endpoint: str = await tasks.start(_receive, client, response, url, inbox)
            tasks.start_soon(_post, client, endpoint, outbox, inbox)
            yield read, write
            tasks.cancel_scope.cancel()


async def _receive(
    client: HttpClient,
    response: httpx2.Response,
    url: str,
    inbox: _Inbox,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    has_endpoint = False
    async with inbox:
        try:
            async for event in read_events(response.aiter_bytes(), limit=client.max_message):
                if isinstance(event.data, TooLong):
                    await _refuse(event.data, inbox, client.max_message)
                elif event.name == "endpoint" and not has_endpoint:
                    has_endpoint = True
                    task_status.started(_endpoint(url, event.data.decode("utf-8", "replace")))
                elif event.name == "message" and event.data:
                    await _deliver(event.data, inbox)
        except (httpx2.HTTPError, httpx2.StreamError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            if not has_endpoint:
                raise
            # Later on it is the end of the connection, which whoever reads the inbox finds closed.
            log.debug("the events of an MCP server ended: %r", error)
    if not has_endpoint:
        raise httpx2.RemoteProtocolError("the server sent no 'endpoint' event")


async def _refuse(event: TooLong, inbox: _Inbox, limit: int) -> None:
    """An error in place of the answer: the call fails, the connection goes on."""
    request_id = answered_id(event)
    log.warning("an event of an MCP server of %d bytes was dropped", event.size)
    if request_id is not None:
        error = ErrorData(code=UNREADABLE, message=too_long(limit))
        await inbox.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error)))


async def _deliver(data: bytes, inbox: _Inbox) -> None:
    try:
        message = jsonrpc_message_adapter.validate_json(data, by_name=False)
    except ValueError as error:
        log.debug("an event of an MCP server is no message: %s", error)
        return
    await inbox.send(SessionMessage(message))


def _endpoint(url: str, said: str) -> str:
    """Where messages are posted to: on the server's own origin, since our headers go there."""
    endpoint = urljoin(url, said.strip())
    if urlsplit(endpoint)[:2] != urlsplit(url)[:2]:
        raise httpx2.RemoteProtocolError("the server wants messages posted to another host")
    return endpoint


async def _post(
    client: HttpClient, endpoint: str, outbox: MemoryObjectReceiveStream[SessionMessage], inbox: _Inbox
) -> None:
    async for item in outbox:
        body = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
        response = await client.post(endpoint, json=body)
        if response.is_error and isinstance(item.message, JSONRPCRequest):
            error = jsonrpc_message_adapter.validate_python(response.json())
            if isinstance(error, JSONRPCError):
                await inbox.send(SessionMessage(error.model_copy(update={"id": item.message.id})))
