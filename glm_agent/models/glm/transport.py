"""Connections, lent to one request at a time, the one used last first; ``httpx2``'s types at the surface.

The library's pool looks at all its connections at every request (2.5 ms each with 1,000 of them, httpx2 2.16);
here a request takes the newest idle connection off a stack.
"""

from __future__ import annotations

import ssl
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import TypeAlias

import anyio
import httpx2

from glm_agent.models.glm.connection import Connection, Timeouts

KEEP_SECONDS = 50.0
"""How long an idle connection is kept: tools take longer than the usual 5 s, most servers close after 60 or 75 s."""
_CONNECTING = 64
"""Connections that are opened at once; the time to connect begins when it is a request's turn."""

Origin: TypeAlias = tuple[str, str, int | None]


class PooledClient:
    """What a model needs of an ``httpx2.AsyncClient``: no redirects, cookies, proxies or hooks.

    HTTP/1.1 alone. One object belongs to one event loop.
    """

    def __init__(self, *, certificates: Callable[[], ssl.SSLContext], timeout: httpx2.Timeout) -> None:
        self._certificates = certificates
        self._timeouts: Timeouts = timeout.as_dict()
        self._idle = defaultdict[Origin, deque[Connection]](deque)
        self.is_closed = False
        self._connecting = anyio.Semaphore(_CONNECTING, fast_acquire=True)

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request; the block reads the response."""
        origin = (url.scheme, url.host, url.port)
        connection = await self._newest(origin) or await self._open(url)
        try:
            status_code, said = await connection.exchange(method, url, content, headers, self._timeouts)
            yield httpx2.Response(status_code, headers=said, stream=_Body(connection, self._timeouts))
        except BaseException:
            await connection.aclose()
            raise
        await self._give_back(connection, origin)

    async def aclose(self) -> None:
        """Close what is idle, and what is in use when its request ends."""
        self.is_closed = True
        for connections in self._idle.values():
            while connections:
                await connections.pop().aclose()

    async def _open(self, url: httpx2.URL) -> Connection:
        async with self._connecting:
            return await Connection.open(url, self._timeouts, certificates=self._certificates)

    async def _newest(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last and still stands."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if monotonic() - connection.idle_since < KEEP_SECONDS and connection.is_alive():
                return connection
            await connection.aclose()
        return None

    async def _give_back(self, connection: Connection, origin: Origin) -> None:
        """Keep the connection for the next request, where it can serve one, and let the oldest go."""
        if self.is_closed or not connection.recycle():
            await connection.aclose()
            return
        idle = self._idle[origin]
        idle.append(connection)
        if connection.idle_since - idle[0].idle_since > KEEP_SECONDS:
            await idle.popleft().aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of one response."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection, self._timeouts = connection, timeouts

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._connection.body(self._timeouts)
