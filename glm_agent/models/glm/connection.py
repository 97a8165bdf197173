"""One HTTP/1.1 connection, for one request at a time.

Bytes come and go through ``httpcore2``'s streams (TLS, timeouts, asyncio and trio), ``h11`` says what they
mean. What the library's own connection adds beside that, locks, traces and six generators per read, is half the
CPU of a request; nothing of it is needed where a connection has one user.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, TypeAlias, cast

import anyio
import h11
import httpcore2
import httpx2

_READ_BYTES = 65_536
_COPY_BYTES = 65_536
_HEAD_LIMIT = 100 * 1024
"""Bytes of a response's head, or of a chunk's; more is no honest server."""

Timeouts: TypeAlias = Mapping[str, float | None]
"""httpx2's: ``connect``, ``read``, ``write``, in seconds."""


class Connection:
    """An open connection. Whoever ends a response calls ``recycle`` and, where that says no, ``aclose``."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket: socket.socket | None = stream.get_extra_info("socket")
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        self.idle_since = 0.0
        """When it was last used, on the monotonic clock."""

    @staticmethod
    async def open(url: httpx2.URL, timeouts: Timeouts, *, certificates: Callable[[], ssl.SSLContext]) -> Connection:
        """Connect to the URL's server; ``certificates`` is asked for where it speaks TLS."""
        seconds, port = timeouts.get("connect"), url.port or (443 if url.scheme == "https" else 80)
        with translated():
            stream = await _network().connect_tcp(url.host, port, timeout=seconds)
            if url.scheme == "https":
                try:
                    stream = await stream.start_tls(certificates(), server_hostname=url.host, timeout=seconds)
                except BaseException:
                    await _close(stream)  # the library forgets it when it is cancelled
                    raise
        return Connection(stream)

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes, headers: httpx2.Headers, timeouts: Timeouts
    ) -> h11.Response:
        """Send a request and wait for the head of the response."""
        said = [(b"Host", url.netloc), *headers.raw, (b"Content-Length", b"%d" % len(content))]
        with translated():
            head = self._http.send(h11.Request(method=method, target=url.raw_path, headers=said)) or b""
            self._http.send(h11.Data(data=content))
            self._http.send(h11.EndOfMessage())
            # A server may refuse a request before it has read it: its answer says why.
            with suppress(httpcore2.WriteError):
                # One packet for both, unless copying the body costs more than another call of the system.
                for data in (head, content) if len(content) > _COPY_BYTES else (head + content,):
                    await self._stream.write(data, timeout=timeouts.get("write"))
            while not isinstance(event := await self._next(timeouts.get("read")), h11.Response):
                pass
        return event

    async def body(self, timeouts: Timeouts) -> AsyncGenerator[bytes, None]:
        """The response's body, one piece for each read of the socket."""
        seconds = timeouts.get("read")
        with translated():
            while (data := await self._data(seconds)) is not None:
                yield data

    def recycle(self) -> bool:
        """Make ready for the next request; False where the response was not read to its end, or says goodbye."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self.idle_since = monotonic()
        return True

    def is_alive(self) -> bool:
        """Whether it can be used again: an idle socket that can be read was closed by the server."""
        return self._socket is None or not _is_readable(self._socket.fileno())

    async def aclose(self) -> None:
        """Close it, also while being cancelled."""
        await _close(self._stream)

    async def _data(self, seconds: float | None) -> bytes | None:
        """All that one read brought; None at the end of the body."""
        pieces: list[bytes] = []
        while self._http.their_state is h11.SEND_BODY:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                pieces.append(event.data)
            elif event is h11.NEED_DATA:
                if pieces:
                    break
                await self._read(seconds)
        return b"".join(pieces) or None

    async def _next(self, seconds: float | None) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            await self._read(seconds)
        return event

    async def _read(self, seconds: float | None) -> None:
        data = await self._stream.read(_READ_BYTES, timeout=seconds)
        if not data and self._http.their_state is h11.SEND_RESPONSE:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        self._http.receive_data(data)


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return True  # it was closed on this side
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    # Not select: it takes no descriptor above 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def _close(stream: httpcore2.AsyncNetworkStream) -> None:
    with anyio.CancelScope(shield=True):
        await stream.aclose()


def _network() -> httpcore2.AsyncNetworkBackend:
    backend: httpcore2.AsyncNetworkBackend = cast("Any", httpcore2).AnyIOBackend()  # defined where anyio is installed
    return backend


@contextmanager
def translated() -> Generator[None]:
    """Exceptions of ``httpcore2`` and ``h11`` as those of ``httpx2``, which have the same names."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, h11.ProtocolError) as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind(str(error)) from error
