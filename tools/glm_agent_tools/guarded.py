"""HTTP that goes only where it may: every request, also after a redirect, is checked where the connection is made.

The host is resolved once, all its addresses are checked, and the connection goes to a checked address: a name
that means something else a moment later is not asked again. Proxies of the environment are not used, since they
would resolve the name themselves.
"""

from __future__ import annotations

import socket
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import anyio
import httpx2

from glm_agent import ToolError
from glm_agent_tools.addresses import is_public, is_within
from glm_agent_tools.http_rules import HttpRules

_MAX_REDIRECTS: Final = 5
_USUAL_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A response with a body that is not longer than asked for."""

    status: int
    url: str
    """Where it came from in the end."""
    headers: httpx2.Headers
    body: bytes
    is_cut: bool


async def fetch(
    rules: HttpRules,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
    timeout_seconds: float = 30.0,
) -> Fetched:
    """Ask for one address, following up to 5 redirects. Raises ``ToolError`` for whatever comes in between."""
    given = {"accept-encoding": "identity", "user-agent": "glm-agent", **(headers or {})}
    try:
        with anyio.fail_after(timeout_seconds):
            async with (
                httpx2.AsyncClient(
                    transport=Guarded(rules),
                    trust_env=False,
                    follow_redirects=True,
                    max_redirects=_MAX_REDIRECTS,
                    timeout=httpx2.Timeout(timeout_seconds),
                ) as client,
                client.stream(method, url, headers=given, content=content) as response,
            ):
                body, is_cut = await _body(response, rules.max_bytes)
    except TimeoutError:
        raise ToolError(f"'{url}' took longer than {timeout_seconds:g} seconds") from None
    except httpx2.TooManyRedirects:
        raise ToolError(f"'{url}' redirects more than {_MAX_REDIRECTS} times") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise ToolError(f"'{url}' cannot be fetched: {error or type(error).__name__}") from None
    shown = str(response.url.copy_with(userinfo=b""))
    return Fetched(status=response.status_code, url=shown, headers=response.headers, body=body, is_cut=is_cut)


class Guarded(httpx2.AsyncBaseTransport):
    """A transport that opens connections only to what the rules allow."""

    def __init__(self, rules: HttpRules) -> None:
        self._rules = rules
        self._inner = httpx2.AsyncHTTPTransport(verify=httpx2.create_ssl_context(), trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Check, resolve, check again, and connect to what was checked."""
        host = check(self._rules, request.url)
        addresses = await _addresses(self._rules, host, _port(request.url))
        headers = httpx2.Headers(request.headers)
        headers.update(self._rules.secrets_for(host, is_encrypted=request.url.scheme == "https"))
        for number, address in enumerate(addresses, start=1):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise ToolError(f"'{host}' has no address")

    async def aclose(self) -> None:
        await self._inner.aclose()


def check(rules: HttpRules, url: httpx2.URL) -> str:
    """The host of an address that may be asked; ``ToolError`` where it may not."""
    if url.scheme not in _USUAL_PORTS:
        raise ToolError(f"'{url}' is no http: or https: address")
    if url.userinfo:
        raise ToolError("the address holds a user name or a password: leave it out")
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    if not host:
        raise ToolError(f"'{url}' names no host")
    if not any(_fits(pattern, host, url) for pattern in rules.allow):
        known = ", ".join(rules.allow) or "none"
        raise ToolError(
            f"'{host}' (port {_port(url)}) is not among the hosts that may be asked: {known}. "
            "Whoever runs this can add it, in GLM_AGENT_HTTP_ALLOW or with HttpRules(allow=…)"
        )
    return host


def _fits(pattern: str, host: str, url: httpx2.URL) -> bool:
    """``host`` and ``*.host`` mean the usual port, ``host:8080`` that one."""
    name, colon, port = pattern.lower().rpartition(":") if not pattern.endswith("]") else (pattern, "", "")
    if not colon or not (port.isdigit() or port == "*"):
        name, port = pattern.lower(), str(_USUAL_PORTS[url.scheme])
    return fnmatchcase(host, name.strip("[]").rstrip(".")) and port in ("*", str(_port(url)))


def _port(url: httpx2.URL) -> int:
    return url.port or _USUAL_PORTS[url.scheme]


async def _addresses(rules: HttpRules, host: str, port: int) -> list[str]:
    """The host's addresses; one that is not public, and none of ours to ask, condemns them all."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ToolError(f"'{host}' has no address: {error.strerror or error}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not (is_public(address) or is_within(address, rules.private)):
            raise ToolError(
                f"'{host}' is {address}, an address of this machine or its network: such are not asked. "
                "Whoever runs this can allow it, in GLM_AGENT_HTTP_PRIVATE or with HttpRules(private=…)"
            )
    return addresses


async def _body(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    """The body, unpacked, but never more than the limit of it in memory."""
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    body = bytearray()
    async for block in response.aiter_raw():
        body += unpack(block, limit + 1 - len(body))
        if len(body) > limit:
            return bytes(body[:limit]), True
    return bytes(body), False


class _Whole:
    def __call__(self, block: bytes, room: int) -> bytes:
        return block[:room]


class _Unpacked:
    """Gzip or deflate, as far as there is room: a small file that unpacks to a huge one is cut."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __call__(self, block: bytes, room: int) -> bytes:
        try:
            return self._inflate.decompress(block, max(room, 1))
        except zlib.error:
            raise ToolError(f"the response is not {self._name}, though it says so") from None


def _unpacker(encoding: str) -> _Whole | _Unpacked:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Whole()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Unpacked(name)
    raise ToolError(f"the response is packed as '{encoding}', though plain text was asked for: it is not read")
