"""One HTTP/1.1 connection, for one request at a time: a socket and a reader of responses."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TypeAlias

import httpx2

from glm_agent.models.glm.http1 import Headers, ResponseReader, request_head
from glm_agent.models.glm.sockets import ByteStream, connect

_COPY_BYTES = 65_536

Timeouts: TypeAlias = Mapping[str, float | None]
"""httpx2's: ``connect``, ``read``, ``write``, in seconds."""
Origin: TypeAlias = tuple[str, str, int]
"""Scheme, host and port."""


def origin_of(url: httpx2.URL) -> Origin:
    """The server that a URL is of."""
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


class Connection:
    """An open connection. Whoever ends a response calls ``recycle`` and, where that says no, ``aclose``."""

    def __init__(self, stream: ByteStream, *, origin: Origin) -> None:
        self._stream = stream
        self.origin = origin
        """The server at its other end."""
        self._reader = ResponseReader()
        self.idle_since = monotonic()
        """When it was last used, on the monotonic clock."""

    @staticmethod
    async def open(url: httpx2.URL, timeouts: Timeouts, *, certificates: Callable[[], ssl.SSLContext]) -> Connection:
        """Connect to the URL's server; ``certificates`` is asked for where it speaks TLS."""
        origin = scheme, host, port = origin_of(url)
        trusted = certificates if scheme == "https" else None
        return Connection(
            await connect(host, port, seconds=timeouts.get("connect"), certificates=trusted), origin=origin
        )

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

    async def read(self, seconds: float | None) -> bytes:
        """What came of the response's body, at least one byte of it; nothing at its end."""
        reader = self._reader
        while not (data := reader.take()) and not reader.is_complete:
            reader.feed(await self._stream.read(seconds))
        return data

    @property
    def is_complete(self) -> bool:
        """Whether all of the response is here."""
        return self._reader.is_complete

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
