"""One HTTP/1.1 connection, for one request at a time: a socket and a reader of responses."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TypeAlias

import httpx2

from glm_agent.models.glm.http1 import Headers, ResponseReader, request_head
from glm_agent.models.glm.sockets import ByteStream, connect

_COPY_BYTES = 65_536

Timeouts: TypeAlias = Mapping[str, float | None]
"""httpx2's: ``connect``, ``read``, ``write``, in seconds."""


class Connection:
    """An open connection. Whoever ends a response calls ``recycle`` and, where that says no, ``aclose``."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._reader = ResponseReader()
        self.idle_since = monotonic()
        """When it was last used, on the monotonic clock."""

    @staticmethod
    async def open(url: httpx2.URL, timeouts: Timeouts, *, certificates: Callable[[], ssl.SSLContext]) -> Connection:
        """Connect to the URL's server; ``certificates`` is asked for where it speaks TLS."""
        is_tls = url.scheme == "https"
        port = url.port or (443 if is_tls else 80)
        seconds = timeouts.get("connect")
        return Connection(await connect(url.host, port, seconds=seconds, certificates=certificates if is_tls else None))

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes, headers: httpx2.Headers, timeouts: Timeouts
    ) -> tuple[int, Headers]:
        """Send a request and wait for the head of the response: its status and headers."""
        head = request_head(method, url, headers.raw, size=len(content))
        # A server may refuse a request before it has read it: its answer says why.
        with suppress(httpx2.WriteError):
            # One packet for both, unless copying the body costs more than another call of the system.
            for data in (head, content) if len(content) > _COPY_BYTES else (head + content,):
                await self._stream.write(data, timeouts.get("write"))
        reader, seconds = self._reader, timeouts.get("read")
        while not reader.status_code:
            reader.feed(await self._stream.read(seconds))
        return reader.status_code, reader.headers

    async def body(self, timeouts: Timeouts) -> AsyncGenerator[bytes, None]:
        """The response's body, one piece for each read of the socket."""
        reader, seconds = self._reader, timeouts.get("read")
        while True:
            if data := reader.take():
                yield data
            if reader.is_complete:
                return
            reader.feed(await self._stream.read(seconds))

    def recycle(self) -> bool:
        """Make ready for the next request; False where the response was not read to its end, or says goodbye."""
        if self._reader.is_last or not self._reader.is_complete:
            return False
        self._reader.start()
        self.idle_since = monotonic()
        return True

    def is_alive(self) -> bool:
        """Whether it can be used again."""
        return self._stream.is_alive()

    async def aclose(self) -> None:
        """Close it, also while being cancelled."""
        await self._stream.aclose()
