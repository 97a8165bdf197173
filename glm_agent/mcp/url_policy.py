"""Which addresses a server may send us to for its authorization. The name lookup is the only effect here.

An MCP server names the addresses of its metadata and of its authorization server: without a rule it could make
this machine ask any host of the private network (SSRF), or post a code to a plain-text address. A name is looked up
once, judged, and the addresses that were judged are the ones that are connected to (``outside``): a name that means
another host a moment later leads nowhere.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio

from glm_agent.mcp.failure import Refused

_RANK = {"public": 0, "private": 1, "loopback": 2, "nowhere": 3}
"""How far inside an address lies: whoever is further inside may name what is further out, never the reverse."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOWHERE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # on many systems this machine
        "169.254.0.0/16",  # where clouds keep the credentials of their machines
        "fe80::/10",
        "64:ff9b:1::/48",  # private translation: leads wherever the network's owner likes
        "2002::/16",  # 6to4 and Teredo, which hide an address of the older kind
        "2001::/32",
        "::/96",
        "fec0::/10",
    )
)
"""Never connected to, whoever names it; ``::1`` is looked at before."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    host: str
    addresses: tuple[str, ...]
    """What was judged and may be connected to; empty where a proxy looks the name up."""
    reach: str
    """The innermost network that any of the addresses lies in."""


class UrlPolicy:
    """https to public hosts only; a server on this machine or in a private network may name hosts like itself.

    ``issuer`` is an authorization server that the user names: that host may be anywhere but nowhere.
    """

    def __init__(self, server_url: str, *, issuer: str = "") -> None:
        self._server_url = server_url
        self._issuer_host = urlsplit(issuer).hostname
        self._reach: str | None = None

    async def check(self, url: str) -> Place:
        """Where the address leads. Raises ``Refused`` for one that a server must not send us to."""
        self.check_form(url)
        place = await _place(url)
        if urlsplit(url).scheme != "https" and place.reach != "loopback":
            raise Refused(f"it names {_shown(url)!r} for its authorization: only https is taken from it")
        if place.reach == "nowhere":
            raise Refused(f"it names {_shown(url)!r} for its authorization, an address that leads nowhere")
        if place.reach != "public" and place.host != self._issuer_host:
            await self._check_reach(url, place)
        return place

    async def _check_reach(self, url: str, place: Place) -> None:
        if self._reach is None:
            self._reach = (await _place(self._server_url)).reach
        if self._reach == "nowhere" or _RANK[place.reach] > _RANK[self._reach]:
            raise Refused(f"it names {_shown(url)!r} for its authorization, a host of a private network")

    @staticmethod
    def check_form(url: str) -> None:
        """Raises ``Refused`` for what is no plain http(s) address; nothing is looked up."""
        try:
            parts = urlsplit(url)
            is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise Refused("it names an address for its authorization that cannot be read") from None
        if not is_plain or parts.username or parts.password:
            raise Refused(f"it names {_shown(url)!r} for its authorization, which is no plain http(s) address")

    @classmethod
    def check_page(cls, url: str) -> None:
        """Raises ``Refused`` for what no person should be sent to: a page must be https, or on this machine."""
        cls.check_form(url)
        parts = urlsplit(url)
        if parts.scheme != "https" and not _is_local(parts.hostname or ""):
            raise Refused(f"its login page {_shown(url)!r} is not https")


async def _place(url: str) -> Place:
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if _is_local(host) and _literal(host) is None:
        return Place(host, ("127.0.0.1", "::1"), "loopback")
    if _literal(host) is None and _has_proxy(url):
        # The proxy looks the name up, and this machine perhaps cannot; what it may reach is its owner's decision.
        return Place(host, (), "public")
    addresses = await _addresses(host)
    reach = max((network(address) for address in addresses), key=_RANK.__getitem__)
    return Place(host, addresses, reach)


async def _addresses(host: str) -> tuple[str, ...]:
    if (literal := _literal(host)) is not None:
        return (literal,)
    try:
        found = await anyio.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise Refused(f"its authorization host {host!r} cannot be found: {said}") from None
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))


def network(address: str) -> str:
    """``public``, ``private``, ``loopback`` or ``nowhere``; an address inside another one counts as itself."""
    known = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return network(str(known.ipv4_mapped))
        if known in _NAT64:
            # Networks that have the newer kind of address only reach public hosts by these, and those alone.
            inner = network(str(ipaddress.IPv4Address(int(known) & 0xFFFFFFFF)))
            return inner if inner == "public" else "nowhere"
    if known.is_loopback:
        return "loopback"
    if known.is_multicast or known.is_unspecified or any(known in block for block in _NOWHERE):
        return "nowhere"
    return "public" if known.is_global else "nowhere" if known.is_reserved else "private"


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    literal = _literal(host)
    return (
        host == "localhost" or host.endswith(".localhost") or (literal is not None and network(literal) == "loopback")
    )


def _has_proxy(url: str) -> bool:
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(parts.netloc)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]
