"""Connections, lent to one request at a time, the one used last first; ``httpx2``'s types at the surface.

The library's pool looks at all its connections at every request (2.5 ms each with 1,000 of them, httpx2 2.16);
here a request takes the newest idle connection off a stack.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

import anyio
import httpx2

from glm_agent.models.glm.connection import Connection, Timeouts

KEEP_SECONDS = 50.0
"""How long an idle connection is kept: tools take longer than the usual 5 s, most servers close after 60 or 75 s."""
_CONNECTING = 64
"""Connections that are opened at once; the time to connect begins when it is a request's turn."""


class PooledClient:
    """What a model needs of an ``httpx2.AsyncClient``: no redirects, cookies, proxies or hooks."""

    def __init__(self, *, certificates: Callable[[], ssl.SSLContext], timeout: httpx2.Timeout) -> None:
        self._transport = PooledTransport(certificates=certificates)
        self._extensions = {"timeout": timeout.as_dict()}

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request; the block reads the response."""
        request = httpx2.Request(method, url, content=content, headers=headers, extensions=self._extensions)
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            yield response
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()


class PooledTransport(httpx2.AsyncBaseTransport):
    """A transport without proxies, for HTTP/1.1. One object belongs to one event loop."""

    def __init__(self, *, certificates: Callable[[], ssl.SSLContext]) -> None:
        self._certificates = certificates
        self._idle: dict[tuple[str, str, int | None], deque[Connection]] = {}
        self._connecting = anyio.Semaphore(_CONNECTING, fast_acquire=True)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url, timeouts = request.url, request.extensions.get("timeout", {})
        idle = self._idle.setdefault((url.scheme, url.host, url.port), deque())
        connection = await _newest(idle)
        if connection is None:
            async with self._connecting:
                connection = await Connection.open(url, timeouts, certificates=self._certificates)
        try:
            head = await connection.exchange(request, timeouts)
        except BaseException:
            await connection.aclose()
            raise
        return httpx2.Response(
            status_code=head.status_code,
            headers=head.headers.raw_items(),
            stream=_Body(connection, timeouts, idle),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def aclose(self) -> None:
        """Close what is idle; a connection in use is closed by who uses it."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            while connections:
                await connections.pop().aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of one response; closing it gives the connection back."""

    def __init__(self, connection: Connection, timeouts: Timeouts, idle: deque[Connection]) -> None:
        self._connection: Connection | None = connection
        self._timeouts, self._idle = timeouts, idle

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        assert self._connection is not None
        async with aclosing(self._connection.body(self._timeouts)) as pieces:
            async for piece in pieces:
                yield piece

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not connection.recycle():
            await connection.aclose()
            return
        self._idle.append(connection)
        if connection.idle_since - self._idle[0].idle_since > KEEP_SECONDS:
            await self._idle.popleft().aclose()


async def _newest(idle: deque[Connection]) -> Connection | None:
    """The idle connection that was used last and still stands."""
    while idle:
        connection = idle.pop()
        if time.monotonic() - connection.idle_since < KEEP_SECONDS and connection.is_alive():
            return connection
        await connection.aclose()
    return None
