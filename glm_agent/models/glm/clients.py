"""Which HTTP client a model uses: the one it was given; httpx2's behind a proxy; else connections of its own."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Protocol
from urllib.request import getproxies

import httpx2

from glm_agent.errors import ConfigurationError
from glm_agent.models.glm.transport import PooledClient

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Answer(Protocol):
    """What is used of an ``httpx2.Response``."""

    @property
    def status_code(self) -> int: ...

    @property
    def is_success(self) -> bool: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def stream(self) -> object:
        """The body as it comes, packed or not: an iterable of bytes."""
        ...

    def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body, unpacked."""
        ...


class Client(Protocol):
    """What is used of an ``httpx2.AsyncClient``."""

    @property
    def is_closed(self) -> bool: ...

    def stream(
        self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers
    ) -> AbstractAsyncContextManager[Answer]:
        """Send a request; the block reads the response."""
        ...

    async def aclose(self) -> None: ...


class Clients:
    """The client of one model on one event loop, made when it is needed."""

    def __init__(self, client: Client | None, *, host: str, timeout: httpx2.Timeout) -> None:
        self._given = client
        self._host = host
        self._timeout = timeout
        self._made: Client | None = None

    def get(self) -> Client:
        """The client; ``ConfigurationError`` where the one that was given is closed."""
        if self._given is None:
            self._made = self._made or new_client(self._host, self._timeout)
            return self._made
        if self._given.is_closed:
            raise ConfigurationError("the HTTP client that was passed as client= is closed: pass an open one")
        return self._given

    async def connect(self, url: httpx2.URL) -> None:
        """Open a connection beforehand, where it is one of our own. Raises as a request does."""
        client = self.get()
        if isinstance(client, PooledClient):
            await client.connect(url)

    async def aclose(self) -> None:
        """Close what was made here."""
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()


def new_client(host: str, timeout: httpx2.Timeout) -> Client:
    """The client for a model that was given none."""
    # A proxy cannot reach this machine's own loopback: the simulator and local servers are asked directly.
    if host not in LOOPBACK and getproxies().keys() & {"http", "https", "all"}:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx2.AsyncClient(timeout=timeout, limits=limits, verify=_certificates())
    return PooledClient(certificates=_certificates, timeout=timeout)


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates to trust: 20 ms to load, once per process."""
    return httpx2.create_ssl_context()
