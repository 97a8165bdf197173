"""Requests to hosts that a server has named: judged, sent to the addresses that were judged, and read within bounds.

A client of its own: no header, cookie or connection of the server's goes there.
"""

from __future__ import annotations

import anyio
import httpx2

from glm_agent.mcp.failure import Refused
from glm_agent.mcp.url_policy import Place, UrlPolicy

MAX_BODY = 1 << 20
"""Bytes of one answer."""

MAX_REDIRECTS = 3
"""Redirects of one request, each to its own host."""

SECONDS = 30.0
"""For one request with all its redirects."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Outside:
    """Sends the requests of an authorization."""

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, read. Raises ``Refused`` for an address, an answer or a silence that is not taken."""
        host = request.url.host
        try:
            with anyio.fail_after(SECONDS):
                async with httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False) as client:
                    return await self._followed(client, request)
        except TimeoutError:
            raise Refused(f"its authorization server {host!r} did not answer within {SECONDS:g} s") from None
        except httpx2.HTTPError as error:
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            raise Refused(f"its authorization server {host!r} cannot be reached ({said})") from None

    async def _followed(self, client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
        for _ in range(MAX_REDIRECTS + 1):
            place = await self._policy.check(str(request.url))
            response = await _sent(client, request, place)
            follow = _redirected(response)
            if follow is None:
                return response
            request = follow
        raise Refused(f"its authorization server {request.url.host!r} redirects more than {MAX_REDIRECTS} times")


async def _sent(client: httpx2.AsyncClient, request: httpx2.Request, place: Place) -> httpx2.Response:
    """The answer of the first address that can be connected to."""
    await request.aread()
    refused: httpx2.TransportError | None = None
    for address in place.addresses or (place.host,):
        try:
            response = await client.send(_pinned(request, address), stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            refused = error
            continue
        return await _read(response, request)
    assert refused is not None, "a host has an address"
    raise refused


def _pinned(request: httpx2.Request, address: str) -> httpx2.Request:
    """The same request to one address of its host, whose certificate and name stay those of the host."""
    url = request.url
    headers = httpx2.Headers(request.headers)
    headers["Host"] = url.netloc.decode("ascii")
    headers["Accept-Encoding"] = "identity"
    headers["Connection"] = "close"
    extensions = {**request.extensions, "sni_hostname": url.raw_host.decode("ascii")}
    target = url.copy_with(host=address)
    return httpx2.Request(request.method, target, headers=headers, content=request.content, extensions=extensions)


async def _read(response: httpx2.Response, request: httpx2.Request) -> httpx2.Response:
    """The answer with its body, up to the bound. What was asked for without compression is not unpacked either."""
    try:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused("its authorization server compresses what was asked for without compression")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY:
                raise Refused(f"its authorization server's answer has more than {MAX_BODY:,} bytes")
    finally:
        await response.aclose()
    headers = [(name, value) for name, value in response.headers.items() if name != "transfer-encoding"]
    return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=request)


def _redirected(response: httpx2.Response) -> httpx2.Request | None:
    """The request a redirect asks for, if it stays on its host and asks for reading."""
    request, location = response.request, response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location or request.method != "GET":
        return None
    try:
        url = request.url.join(location)
    except httpx2.InvalidURL:
        return None
    if (url.scheme, url.host, url.port) != (request.url.scheme, request.url.host, request.url.port):
        return None
    return httpx2.Request("GET", url, headers=request.headers)
