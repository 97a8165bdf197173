"""A socket on asyncio's event loop, or ``uvloop``'s: its transport and a protocol, without a stream library between.

A read costs a future and a timer. The cancel scopes, locks and checkpoints that a library adds for every read and
write were a fifth of a request's CPU.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, cast

import aiohappyeyeballs
import anyio
import httpx2

_BUFFERED_BYTES = 1_048_576
"""Bytes that wait for a reader before the sender is made to wait."""
_NEXT_ADDRESS_SECONDS = 0.25
"""How long one address of a host is tried before another one is, beside it. Source: RFC 8305, 5, 2017-12."""


class AsyncioStream(asyncio.Protocol):
    """A connected socket, see ``sockets.ByteStream``; one reader and one writer at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received: list[bytes] = []
        self._size = 0
        self._is_held = False
        """Whether the sender is made to wait."""
        self._is_full = False
        """Whether we are, before we write more."""
        self._has_ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[bool] | None = None
        self._writer: asyncio.Future[bool] | None = None

    @staticmethod
    async def open(
        host: str, port: int, *, seconds: float | None, certificates: Callable[[], ssl.SSLContext] | None
    ) -> AsyncioStream:
        context = certificates() if certificates is not None else None
        try:
            async with asyncio.timeout(seconds):
                _, made = await asyncio.get_running_loop().create_connection(
                    AsyncioStream,
                    sock=await _connected(host, port),
                    ssl=context,
                    server_hostname=host if context else None,
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection to {host!r} in time") from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
        return made

    async def read(self, seconds: float | None) -> bytes:
        while not self._received:
            if self._error is not None:
                raise httpx2.ReadError(str(self._error)) from self._error
            if self._has_ended:
                return b""
            self._reader = self._loop.create_future()
            if not await self._in_time(self._reader, seconds):
                raise httpx2.ReadTimeout(f"nothing came for {seconds:g} seconds")
        data = self._received[0] if len(self._received) == 1 else b"".join(self._received)
        self._received, self._size = [], 0
        if self._is_held:
            self._is_held = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes, seconds: float | None) -> None:
        if not self._transport.is_closing():  # uvloop raises an error of its own
            self._transport.write(data)
        if self._is_full and not self._has_ended:
            self._writer = self._loop.create_future()
            if not await self._in_time(self._writer, seconds):
                raise httpx2.WriteTimeout(f"nothing could be sent for {seconds:g} seconds")
        if self._has_ended or self._transport.is_closing():
            raise httpx2.WriteError(str(self._error or "the server has closed the connection"))

    def is_alive(self) -> bool:
        if self._has_ended or self._received:
            return False
        return not is_readable(self._transport.get_extra_info("socket").fileno())

    async def aclose(self) -> None:
        self._transport.abort()  # what was not sent by now is of no use to anybody
        with anyio.CancelScope(shield=True):
            await asyncio.sleep(0)  # the socket closes in the loop's next round

    async def _in_time(self, done: asyncio.Future[bool], seconds: float | None) -> bool:
        timer = None if seconds is None else self._loop.call_later(seconds, _settle, done, False)
        try:
            return await done
        finally:
            if timer is not None:
                timer.cancel()

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        self._size += len(data)
        if self._size > _BUFFERED_BYTES and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()
        _settle(self._reader, True)

    def eof_received(self) -> None:
        self._has_ended = True
        _settle(self._reader, True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended, self._error = True, exc
        _settle(self._reader, True)
        _settle(self._writer, True)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        _settle(self._writer, True)


def _settle(future: asyncio.Future[bool] | None, value: bool) -> None:
    if future is not None and not future.done():
        future.set_result(value)


async def _connected(host: str, port: int) -> socket.socket:
    """A socket connected to whichever address of the host answers first."""
    loop = asyncio.get_running_loop()
    addresses = _numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    start: Any = cast("Any", aiohappyeyeballs).start_connection  # asyncio can do it by itself, uvloop cannot
    connected: socket.socket = await start(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS)
    return connected


def _numeric(host: str, port: int) -> list[Any]:
    """The address itself where the host is one: asking the system for it takes a thread."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return []
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


def is_readable(descriptor: int) -> bool:
    """Whether a read of this socket would not wait; also where it is closed."""
    if descriptor < 0:
        return True  # it was closed on this side
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    # Not select: it takes no descriptor above 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
