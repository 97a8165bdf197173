"""Sockets as streams of bytes with timeouts: on asyncio our own, elsewhere those of ``httpcore2``."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
import httpx2

from glm_agent.models.glm.asyncio_socket import AsyncioStream, is_readable

if TYPE_CHECKING:
    import httpcore2

_READ_BYTES = 65_536


class ByteStream(Protocol):
    """A connected socket, with or without TLS. Seconds are bounds; None: none."""

    async def read(self, seconds: float | None) -> bytes:
        """What came; nothing at the end. ``ReadTimeout``, ``ReadError``."""
        ...

    async def write(self, data: bytes, seconds: float | None) -> None:
        """Send it, or leave it to the system to be sent. ``WriteTimeout``, ``WriteError``."""
        ...

    def is_alive(self) -> bool:
        """Whether an idle one can be used again: what can be read now was closed by the server."""
        ...

    async def aclose(self) -> None:
        """Close it, also while being cancelled."""
        ...


async def connect(
    host: str, port: int, *, seconds: float | None, certificates: Callable[[], ssl.SSLContext] | None
) -> ByteStream:
    """Connect; with TLS where there are ``certificates``. ``ConnectTimeout``, ``ConnectError``."""
    if _is_asyncio():
        return await AsyncioStream.open(host, port, seconds=seconds, certificates=certificates)
    return await _AnyStream.open(host, port, seconds=seconds, certificates=certificates)


def _is_asyncio() -> bool:
    try:
        # As a guest on asyncio's loop, trio has no task of asyncio's.
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


class _AnyStream:
    """``httpcore2``'s stream, its exceptions translated."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket: socket.socket | None = stream.get_extra_info("socket")

    @staticmethod
    async def open(
        host: str, port: int, *, seconds: float | None, certificates: Callable[[], ssl.SSLContext] | None
    ) -> _AnyStream:
        import httpcore2

        backend: httpcore2.AsyncNetworkBackend = cast("Any", httpcore2).AnyIOBackend()  # there with anyio
        with _translated():
            stream = await backend.connect_tcp(host, port, timeout=seconds)
            if certificates is None:
                return _AnyStream(stream)
            try:
                return _AnyStream(await stream.start_tls(certificates(), server_hostname=host, timeout=seconds))
            except BaseException:
                await _AnyStream(stream).aclose()  # the library forgets it when it is cancelled
                raise

    async def read(self, seconds: float | None) -> bytes:
        with _translated():
            return await self._stream.read(_READ_BYTES, timeout=seconds)

    async def write(self, data: bytes, seconds: float | None) -> None:
        with _translated():
            await self._stream.write(data, timeout=seconds)

    def is_alive(self) -> bool:
        return self._socket is None or not is_readable(self._socket.fileno())

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


@contextmanager
def _translated() -> Generator[None]:
    """Exceptions of ``httpcore2`` as those of ``httpx2``, which have the same names."""
    import httpcore2

    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError) as error:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__, httpx2.TransportError)
        raise kind(str(error)) from error
