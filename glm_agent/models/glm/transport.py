"""Connections, lent to one request at a time, the one used last first; ``httpx2``'s types at the surface.

The library's pool looks at all its connections at every request (2.5 ms each with 1,000 of them, httpx2 2.16);
here a request takes the newest idle connection off a stack.
"""

from __future__ import annotations

import ssl
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
import httpx2

from glm_agent.models.glm.connection import Connection, Origin, Timeouts, origin_of

KEEP_SECONDS = 50.0
"""How long an idle connection is kept: tools take longer than the usual 5 s, most servers close after 60 or 75 s."""
_CONNECTING = 64
"""Connections that are opened at once; the time to connect begins when it is a request's turn."""


class PooledClient:
    """What a model needs of an ``httpx2.AsyncClient``: no redirects, cookies, proxies or hooks.

    HTTP/1.1 alone. One object belongs to one event loop.
    """

    def __init__(self, *, certificates: Callable[[], ssl.SSLContext], timeout: httpx2.Timeout) -> None:
        self._certificates = certificates
        self.timeouts: Timeouts = timeout.as_dict()
        self._idle = defaultdict[Origin, deque[Connection]](deque)
        self.is_closed = False
        self._connecting = anyio.Semaphore(_CONNECTING, fast_acquire=True)

    def stream(self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers) -> _Request:
        """Send a request; the block reads the response."""
        return _Request(self, method, url, content, headers)

    async def connect(self, url: httpx2.URL) -> None:
        """Have a connection ready for the next request, so that it waits for neither TCP nor TLS."""
        await self._keep(await self.take(url))

    async def take(self, url: httpx2.URL) -> Connection:
        """A connection to the URL's server: the idle one that was used last, or a new one."""
        return await self._newest(origin_of(url)) or await self._open(url)

    async def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next request, where it can serve one."""
        if connection.recycle():
            await self._keep(connection)
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close what is idle, and what is in use when its request ends."""
        self.is_closed = True
        for connections in self._idle.values():
            while connections:
                await connections.pop().aclose()

    async def _keep(self, connection: Connection) -> None:
        """Put it on the stack, and let the oldest go."""
        if self.is_closed:
            await connection.aclose()
            return
        idle = self._idle[connection.origin]
        idle.append(connection)
        if connection.idle_since - idle[0].idle_since > KEEP_SECONDS:
            await idle.popleft().aclose()

    async def _open(self, url: httpx2.URL) -> Connection:
        async with self._connecting:
            return await Connection.open(url, self.timeouts, certificates=self._certificates)

    async def _newest(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last and still stands."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if monotonic() - connection.idle_since < KEEP_SECONDS and connection.is_alive():
                return connection
            await connection.aclose()
        return None


class _Request:
    """One request, as a block in which its response is read."""

    # A class, not a generator: half the cost of entering and leaving.

    def __init__(
        self, client: PooledClient, method: str, url: httpx2.URL, content: bytes, headers: httpx2.Headers
    ) -> None:
        self._client, self._method, self._url, self._content, self._headers = client, method, url, content, headers

    async def __aenter__(self) -> PooledResponse:
        timeouts = self._client.timeouts
        connection = self._connection = await self._client.take(self._url)
        try:
            head = await connection.exchange(self._method, self._url, self._content, self._headers, timeouts)
        except BaseException:
            await connection.aclose()
            raise
        return PooledResponse(connection, *head, seconds=timeouts.get("read"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._client.give_back(self._connection)
        else:
            await self._connection.aclose()


class PooledResponse(httpx2.AsyncByteStream):
    """What is used of an ``httpx2.Response``, which takes a thirtieth of a step to make. Its own raw ``stream``."""

    def __init__(
        self, connection: Connection, status_code: int, headers: Iterable[tuple[bytes, bytes]], *, seconds: float | None
    ) -> None:
        self._connection, self._seconds = connection, seconds
        self.status_code = status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        """By name in lower case."""
        self.stream = self

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def is_complete(self) -> bool:
        """Whether the next read ends the body, without waiting."""
        return self._connection.is_complete

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if data := await self._connection.read(self._seconds):
            return data
        raise StopAsyncIteration

    def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body, unpacked where it came packed."""
        return httpx2.Response(self.status_code, headers=self.headers, stream=self).aiter_bytes()
