"""MCP over HTTP: the SDK's streamable transport, on a client where a failed request costs that request only.

The SDK ends the whole session, and cancels the task that opened it, when one POST is refused. Here every
failure of a POST becomes a JSON-RPC error that answers it. Delete that when mcp does the same (issue 3560).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.types import INTERNAL_ERROR, JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

from glm_agent.mcp import sanitize
from glm_agent.mcp.failure import UNREADABLE, Refused, Unauthorized
from glm_agent.mcp.framing import MAX_MESSAGE, too_long
from glm_agent.mcp.normalize import reason, repair_messages

NOT_SENT = -32051
LOST = -32052
SESSION_LOST = -32053
UNAUTHORIZED = -32054
"""Codes of our own for what happened below JSON-RPC: never sent, perhaps sent, no session, no authorization."""

_SSE_ONLY = frozenset({400, 404, 405, 406, 410, 415, 422, 501})
"""Statuses with which a server that knows only the older transport turns a POST away."""

_MAX_REDIRECTS = 3

_ID = re.compile(rb'"id":\s*(\d+|"[^"\\]*")')
_HEAD = 200
"""Where the id of a request of ours stands in it."""

_MENDED_BYTES = 1 << 20
"""An answer above this is not looked at twice."""

_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


class HttpClient(httpx2.AsyncClient):
    """An HTTP client for one MCP server."""

    def __init__(
        self, headers: Mapping[str, str], *, auth: httpx2.Auth | None = None, max_message: int = MAX_MESSAGE
    ) -> None:
        # No limit on reading: a call has its own, and a quiet stream is not a broken one.
        super().__init__(headers=dict(headers), auth=auth, timeout=httpx2.Timeout(30.0, read=None))
        self.max_message = max_message
        """Bytes of one message."""
        self.refused_status: int | None = None
        """The status of the last POST that was turned away."""

    @property
    def suggests_sse(self) -> bool:
        """Whether the server may know only the older transport."""
        return self.refused_status in _SSE_ONLY

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it; for a POST every failure is a response."""
        try:
            response = await super().send(request, **options)
            for _ in range(_MAX_REDIRECTS):
                if (moved := _moved_at_home(response)) is None:
                    break
                await response.aclose()
                response = await super().send(moved, **options)
            return await self._settled(response) if request.method == "POST" else response
        except Refused as error:
            # From the authorization flow: an answer, since an exception here would end the SDK's session.
            self.refused_status = 401
            code = UNAUTHORIZED if isinstance(error, Unauthorized) else INTERNAL_ERROR
            return _answer(request, 401, code, str(error))
        except httpx2.DecodingError:
            return _answer(request, 502, UNREADABLE, _unread("it is not compressed as it says"))
        except httpx2.TransportError as error:
            if request.method != "POST":
                raise
            code = NOT_SENT if isinstance(error, _UNSENT) else LOST
            return _answer(request, 503, code, _unreached(error))

    async def _settled(self, response: httpx2.Response) -> httpx2.Response:
        """The response with its failures as JSON-RPC errors, and JSON read within the cap."""
        request, status = response.request, response.status_code
        is_json = response.headers.get("content-type", "").lower().startswith("application/json")
        if not response.is_error and not response.has_redirect_location:
            return await self._answered(response, is_json=is_json)
        body = (await self._bounded(response)).content
        self.refused_status = status
        if "mcp-session-id" in request.headers and (status == 404 or (status == 400 and b"ession" in body)):
            return _answer(request, status, SESSION_LOST, "the server does not know the session")
        if is_json and _is_error(body):
            return httpx2.Response(status, headers={"content-type": "application/json"}, content=body, request=request)
        code = UNAUTHORIZED if status == 401 else INTERNAL_ERROR
        # The SDK takes any other status for a success, and then waits for an answer with an id.
        return _answer(request, status if response.is_error else 502, code, _status_sentence(response, body))

    async def _answered(self, response: httpx2.Response, *, is_json: bool) -> httpx2.Response:
        """The answer as the SDK takes it; what is none, where one is waited for, is an error that says what it is."""
        request = response.request
        asked = _ID.search((await request.aread())[:_HEAD])
        if asked is None or response.status_code == 202:
            return response
        if is_json:
            response = await self._bounded(response)
            is_small = response.is_success and len(response.content) <= _MENDED_BYTES
            return _mended(response, json.loads(asked[1])) if is_small else response
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            return response
        await response.aclose()
        found = {"text/html": "a web page", "": "something without a type"}.get(
            kind, sanitize.description(kind, limit=80)
        )
        return _answer(
            request, 502, INTERNAL_ERROR, f"it answers with {found}, which is no MCP. Check the address in 'url'"
        )

    async def _bounded(self, response: httpx2.Response) -> httpx2.Response:
        """The response with its body read, up to the cap."""
        body = bytearray()
        async with aclosing(response), aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self.max_message:
                    return _answer(response.request, 502, UNREADABLE, too_long(self.max_message))
        headers = [(k, v) for k, v in response.headers.items() if k not in ("content-encoding", "content-length")]
        return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=response.request)


@asynccontextmanager
async def streamable(client: HttpClient, url: str) -> AsyncGenerator[Any]:
    """The SDK's streams to a streamable HTTP server."""
    async with streamable_http_client(url, http_client=client, max_sse_event_size=client.max_message) as streams:
        yield streams


def _mended(response: httpx2.Response, asked: str | int) -> httpx2.Response:
    """The answer, if it can be read as one after all: a batch of one, another id, a schema that is too deep."""
    try:
        known = jsonrpc_message_adapter.validate_json(response.content, by_name=False)
        if not isinstance(known, (JSONRPCResponse, JSONRPCError)) or known.id == asked:
            return response
    except ValueError:
        pass
    try:
        messages = repair_messages(json.loads(response.content))
    except (ValueError, RecursionError) as error:
        return _answer(response.request, 502, UNREADABLE, _unread(reason(error)))
    answers = [message for message in messages if "result" in message or "error" in message]
    if not answers:
        return _answer(response.request, 502, UNREADABLE, _unread("it is no message of the protocol"))
    headers = {"content-type": "application/json"}
    if session := response.headers.get("mcp-session-id"):
        headers["mcp-session-id"] = session
    body = json.dumps({**answers[-1], "id": asked}).encode()
    return httpx2.Response(response.status_code, headers=headers, content=body, request=response.request)


def _unread(why: str) -> str:
    return f"its answer cannot be read: {why}"


def _unreached(error: httpx2.TransportError) -> str:
    refused = re.search(r"certificate verify failed: ([^(]+)", str(error))
    if refused:
        return f"its certificate is not accepted: {refused[1].strip()}"
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"it cannot be reached ({said})"


def _moved_at_home(response: httpx2.Response) -> httpx2.Request | None:
    """The same request at another path of the same server, as of ``/mcp`` at ``/mcp/``; our keys go nowhere else."""
    moved, sent = response.next_request, response.request.url
    if moved is None or response.status_code not in (307, 308):
        return None
    is_same = (moved.url.scheme, moved.url.host, moved.url.port) == (sent.scheme, sent.host, sent.port)
    return moved if is_same else None


def _answer(request: httpx2.Request, status: int, code: int, message: str) -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(status, json=body, request=request)


def _is_error(body: bytes) -> bool:
    try:
        return isinstance(jsonrpc_message_adapter.validate_json(body, by_name=False), JSONRPCError)
    except ValueError:
        return False


def _status_sentence(response: httpx2.Response, body: bytes) -> str:
    said = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    if response.has_redirect_location:
        moved = str(response.request.url.join(response.headers["location"].partition("?")[0]))
        address = sanitize.description(moved, limit=200)
        return f"{said}: it has moved to {address!r}. If that is right, write it into 'url'"
    if response.status_code in (401, 403):
        return f"{said}: put a valid key into 'headers', or run: glm-agent mcp login"
    if response.status_code == 404:
        return f"{said}: check the path in 'url'"
    is_text = response.headers.get("content-type", "").lower().startswith(("text/plain", "application/json"))
    excerpt = sanitize.description(body[:800].decode("utf-8", "replace"), limit=200) if is_text else ""
    return f"{said}: {excerpt}" if excerpt else said
