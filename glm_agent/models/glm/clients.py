"""HTTP clients, lent out: as few as needed, so many that none grows slow."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import httpx2

from glm_agent.errors import ConfigurationError

_REQUESTS_PER_CLIENT = 32
"""A client's pool looks at all its connections at every request: 2.5 ms each with 1,000 at once (httpx2 2.16)."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(slots=True)
class _Lent:
    client: httpx2.AsyncClient
    requests: int = 0
    """Requests in flight."""


class Clients:
    """The clients of one model on one event loop, made when they are needed."""

    def __init__(self, client: httpx2.AsyncClient | None, *, url: str, timeout: httpx2.Timeout) -> None:
        self._given = client
        self._url = httpx2.URL(url)
        self._timeout = timeout
        self._made: list[_Lent] = []

    @contextmanager
    def lease(self) -> Generator[httpx2.AsyncClient]:
        """A client for one request: the first with room, whose connections are the warmest."""
        if self._given is not None:
            if self._given.is_closed:
                raise ConfigurationError("the HTTP client that was passed as client= is closed: pass an open one")
            yield self._given
            return
        lent = next((lent for lent in self._made if lent.requests < _REQUESTS_PER_CLIENT), None)
        if lent is None:
            lent = _Lent(self._make())
            self._made.append(lent)
        lent.requests += 1
        try:
            yield lent.client
        finally:
            lent.requests -= 1

    async def aclose(self) -> None:
        made, self._made = self._made, []
        for lent in made:
            await lent.client.aclose()

    def _make(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_REQUESTS_PER_CLIENT)
        if self._url.scheme == "http" and self._url.host in _LOOPBACK:
            # No TLS and no proxy on the way to this machine itself; loading certificates takes 20 ms.
            return httpx2.AsyncClient(timeout=self._timeout, limits=limits, trust_env=False, verify=False)
        return httpx2.AsyncClient(timeout=self._timeout, limits=limits, verify=_certificates())


@cache
def _certificates() -> ssl.SSLContext:
    """The certificates to trust, loaded once per process."""
    return httpx2.create_ssl_context()
