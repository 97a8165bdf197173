"""Which addresses a server may send us to for its authorization. The name lookup is the only effect here.

An MCP server names the addresses of its metadata and of its authorization server: without a rule it could make
this machine ask any host of the private network (SSRF), or post a code to a plain-text address.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import anyio

from glm_agent.mcp.failure import Refused

MAX_BODY = 1 << 20
"""Bytes of an answer of an authorization server."""


class UrlPolicy:
    """https to public hosts only; a server on this machine or in a private network may name hosts like itself."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._reach: str | None = None

    async def check(self, url: str) -> None:
        """Raises ``Refused`` for an address that a server must not send us to."""
        if self._reach is None:
            self._reach = await _reach(self._server_url)
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise Refused(f"it names {_shown(url)!r} for its authorization, which is no plain http(s) address")
        reach = await _reach(url)
        if parts.scheme != "https" and reach != "loopback":
            raise Refused(f"it names {_shown(url)!r} for its authorization: only https is taken from it")
        if _RANK[reach] > _RANK[self._reach]:
            raise Refused(f"it names {_shown(url)!r} for its authorization, a host of a private network")


_RANK = {"public": 0, "private": 1, "loopback": 2}
"""How far inside an address lies: whoever is further inside may name what is further out, never the reverse."""


async def _reach(url: str) -> str:
    """The innermost network that any address of the host lies in."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return "loopback"
    return max((_network(address) for address in await _addresses(host)), key=_RANK.__getitem__)


async def _addresses(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        found = await anyio.getaddrinfo(host, None)
    except OSError as error:
        raise Refused(f"its authorization host {host!r} cannot be found: {error.strerror or error}") from None
    return [str(item[4][0]) for item in found]


def _network(address: str) -> str:
    known = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(known, "ipv4_mapped", None)
    known = mapped or known
    if known.is_loopback:
        return "loopback"
    return "public" if known.is_global and not known.is_multicast else "private"


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]
