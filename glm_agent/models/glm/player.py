"""A client that answers from a cassette: what came over the wire comes once more, piece by piece."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import anyio.lowlevel
import httpx2

from glm_agent.errors import ConfigurationError
from glm_agent.models.glm.cassette import Cassette, Exchange, Failure, without_request_id

_log = logging.getLogger("glm_agent")


class PlayingClient:
    """Takes the place of an ``httpx2.AsyncClient`` as ``client=``, and answers as it was answered.

    A request gets the answer to the first one with the same body that was not asked for yet; where there is none,
    the first answer that is left, and the difference is logged. Nothing is waited for.
    """

    def __init__(self, cassette: Cassette) -> None:
        self._cassette = cassette
        self._left = list(cassette.exchanges)
        self.is_closed = False

    @asynccontextmanager
    async def stream(
        self,
        method: str,  # noqa: ARG002 (all are POST)
        url: httpx2.URL,
        *,
        content: bytes,
        headers: httpx2.Headers,  # noqa: ARG002
    ) -> AsyncGenerator[httpx2.Response, None]:
        """The recorded response; raises what the client raised."""
        exchange = self._next(str(url), without_request_id(content))
        await anyio.lowlevel.checkpoint()
        if exchange.status is None:
            raise _error(exchange.failure or Failure(type="ReadError"))
        yield httpx2.Response(exchange.status, headers=[*exchange.response_headers], stream=_Played(exchange))

    async def aclose(self) -> None:
        self.is_closed = True

    def _next(self, url: str, question: bytes) -> Exchange:
        here = [exchange for exchange in self._left if exchange.url == url] or self._left
        if not here:
            count = len(self._cassette.exchanges)
            raise ConfigurationError(
                f"the cassette '{self._cassette.path}' holds {count} exchanges, and one more request came: the run is "
                "longer than the one on record"
            )
        found = next((exchange for exchange in here if exchange.question == question), None)
        if found is None:
            found = here[0]
            number = self._cassette.exchanges.index(found) + 1
            _log.warning("the request is not the one of exchange %d in '%s'", number, self._cassette.path)
        self._left.remove(found)
        return found


class _Played(httpx2.AsyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        for piece in self._exchange.pieces:
            await anyio.lowlevel.checkpoint()
            yield piece.data
        if self._exchange.failure is not None:
            raise _error(self._exchange.failure)


def _error(failure: Failure) -> httpx2.TransportError:
    """What the client raised, so that it is met as it was met; a run that was left has its stream broken off here."""
    kinds = {kind.__name__: kind for kind in _kinds(httpx2.TransportError)}
    return kinds.get(failure.type, httpx2.ReadError)(failure.message or "the recording ends here")


def _kinds(kind: type[httpx2.TransportError]) -> Iterator[type[httpx2.TransportError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _kinds(one)
