"""A client that keeps the raw wire: it stands before any other one, and nobody on either side sees it.

Secrets are left out: the key wherever it stands, headers but a few, the headers of hosted MCP servers. They are
replaced by as many stars, so that every piece of a response keeps its length.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Final, cast

import httpx2

from glm_agent.messages import JsonObject
from glm_agent.models.glm.cassette import CassetteWriter, Exchange, Failure, Piece
from glm_agent.models.glm.clients import Answer, Client, new_client
from glm_agent.models.glm.model import CONNECT_SECONDS, IDLE_SECONDS
from glm_agent.wire.jsontext import an_object

_SHOWN_HEADERS: Final = frozenset({"accept", "accept-encoding", "accept-language", "content-type", "user-agent"})
_SECRET_HEADERS: Final = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})
_SHORTEST_SECRET: Final = 6
"""Characters: what is shorter would be found everywhere."""

LEFT: Final = "Left"
"""Stands where an exception's name does: the reader left, for it had what it wanted or was cancelled."""

_log = logging.getLogger("glm_agent")


class RecordingClient:
    """Takes the place of an ``httpx2.AsyncClient`` as ``client=``, and keeps every exchange in a cassette.

    Without ``client`` the exchanges go where those of a model without one go. One object belongs to one event loop;
    ``aclose`` it there. An exchange is written when it has ended, also by an error or because it was cancelled.
    """

    def __init__(self, cassette: CassetteWriter, *, client: Client | None = None) -> None:
        self._cassette, self._given = cassette, client
        self._made: dict[str, Client] = {}
        self.is_closed = False

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request; the block reads the response."""
        heard = _Heard(url, content, headers)
        try:
            async with self._client(url.host).stream(method, url, content=content, headers=headers) as answer:
                heard.answer = answer
                yield httpx2.Response(answer.status_code, headers=[*_items(answer)], stream=_Tee(answer, heard))
        except BaseException as error:
            if heard.answer is None:  # else it is the reader's own error
                heard.fail(error)
            raise
        finally:
            self._keep(heard)

    async def aclose(self) -> None:
        """Close the cassette and what was made here; a client that was given stays open."""
        self.is_closed = True
        self._cassette.close()
        for client in self._made.values():
            await client.aclose()

    def _client(self, host: str) -> Client:
        if self._given is not None:
            return self._given
        if host not in self._made:
            timeout = httpx2.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS, pool=None)
            self._made[host] = new_client(host, timeout)
        return self._made[host]

    def _keep(self, heard: _Heard) -> None:
        try:
            self._cassette.add(heard.exchange())
        except (OSError, ValueError) as error:
            # The run is worth more than its recording.
            _log.warning("the cassette '%s' is not complete: %s", self._cassette.path, error)


class _Heard:
    """One exchange, as far as it has come."""

    def __init__(self, url: httpx2.URL, content: bytes, headers: httpx2.Headers) -> None:
        self._at, self._started = time(), monotonic()
        self._url, self._content, self._headers = url, content, headers
        self._pieces: list[Piece] = []
        self.answer: Answer | None = None
        self._failure: Failure | None = Failure(type=LEFT, message="the response was not read to its end")

    def fail(self, error: BaseException) -> None:
        self._failure = Failure(type=type(error).__name__, message=str(error))

    def end(self) -> None:
        """The response was read to its end."""
        self._failure = None

    def hear(self, data: bytes) -> None:
        self._pieces.append(Piece(at=monotonic() - self._started, data=data))

    def exchange(self) -> Exchange:
        """What is kept of it."""
        secrets = [*_secrets(self._headers, self._content)]
        shown = {name: value if name in _SHOWN_HEADERS else "(removed)" for name, value in self._headers.items()}
        answer = self.answer
        return Exchange(
            at=self._at,
            url=_starred(str(self._url.copy_with(username=None, password=None)).encode(), secrets).decode(),
            body=_starred(self._content, secrets),
            headers=shown,
            status=answer.status_code if answer is not None else None,
            response_headers=[*_shown(answer, secrets)] if answer is not None else (),
            pieces=self._starred_pieces(secrets),
            failure=self._failure and _starred_failure(self._failure, secrets),
        )

    def _starred_pieces(self, secrets: list[bytes]) -> list[Piece]:
        """A secret may stand across two pieces."""
        whole, at = _starred(b"".join(piece.data for piece in self._pieces), secrets), 0
        kept: list[Piece] = []
        for piece in self._pieces:
            kept.append(Piece(at=piece.at, data=whole[at : at + len(piece.data)]))
            at += len(piece.data)
        return kept


class _Tee(httpx2.AsyncByteStream):
    """The body, heard on its way."""

    def __init__(self, answer: Answer, heard: _Heard) -> None:
        self._answer, self._heard = answer, heard

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        reads = aiter(cast("AsyncIterator[bytes]", self._answer.stream))
        try:
            async for data in reads:
                self._heard.hear(data)
                yield data
        except httpx2.TransportError as error:
            self._heard.fail(error)
            raise
        finally:
            if isinstance(reads, AsyncGenerator):
                await cast("AsyncGenerator[bytes, None]", reads).aclose()
        self._heard.end()


def _items(answer: Answer) -> Iterator[tuple[str, str]]:
    headers = answer.headers
    yield from headers.multi_items() if isinstance(headers, httpx2.Headers) else headers.items()


def _shown(answer: Answer, secrets: list[bytes]) -> Iterator[tuple[str, str]]:
    for name, value in _items(answer):
        if name.lower() not in _SECRET_HEADERS:
            yield name, _starred(value.encode(), secrets).decode(errors="replace")


def _secrets(headers: Mapping[str, str], content: bytes) -> Iterator[bytes]:
    """What must not be kept: the key, and what hosted servers are told."""
    found = [value for name, value in headers.items() if name not in _SHOWN_HEADERS]
    found += [value for entry in _hosted(content) for value in map(str, entry.values())]
    for value in found:
        for secret in (value, value.rpartition(" ")[2]):
            if len(secret) >= _SHORTEST_SECRET:
                yield secret.encode()
                yield json.dumps(secret)[1:-1].encode()


def _hosted(content: bytes) -> Iterator[JsonObject]:
    """The headers of hosted MCP servers in a request."""
    if b'"headers"' not in content:
        return
    for tool in an_object(json.loads(content)).get("tools", ()):
        yield an_object(an_object(an_object(tool).get("mcp")).get("headers"))


def _starred(text: bytes, secrets: list[bytes]) -> bytes:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, b"*" * len(secret))
    return text


def _starred_failure(failure: Failure, secrets: list[bytes]) -> Failure:
    return Failure(type=failure.type, message=_starred(failure.message.encode(errors="replace"), secrets).decode())
