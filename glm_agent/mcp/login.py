"""A person at a browser: the address is shown, and opened where there is a screen; the answer comes to a port here.

Where the browser is on another machine, the page it is sent back to does not load there; what stands in its address
line may be pasted instead.
"""

from __future__ import annotations

import os
import socket
import sys
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

import anyio
import anyio.to_thread
from anyio.abc import SocketStream

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.failure import Refused

PATH = "/callback"
WAIT_SECONDS = 300.0
_MAX_REQUEST = 16 << 10
"""Anything on this machine may write to the port."""
_PAGE = "<!doctype html><meta charset=utf-8><title>glm-agent</title><p>{said} You may close this page.\n"


class LoopbackLogin:
    """Waits on a port of this machine for what the browser brings back. It is a ``Login``."""

    def __init__(
        self,
        *,
        show: Callable[[str], None],
        port: int = 0,
        opens_browser: bool = True,
        paste: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """``paste`` takes an address from the person, None when there will be none."""
        self._show, self._opens_browser, self._paste = show, opens_browser, paste
        self._socket = socket.socket()
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(f"the callback port {port} is taken ({error.strerror}): choose another") from None
        self._socket.listen()
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}{PATH}"

    async def authorize(self, url: str) -> Mapping[str, str]:
        """Show the address and wait. Raises ``Refused`` for one that is no web page, and when nobody comes."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("its login address is no web page")
        self._show(f"Log in at {parts.hostname}, in a browser:\n{url}")
        if self._paste is not None:
            self._show(
                f"Is the browser on another machine? Then the last page, {self.redirect_uri}…, does not load: "
                "paste its address here."
            )
        if self._opens_browser and _has_screen():
            await anyio.to_thread.run_sync(webbrowser.open, url, abandon_on_cancel=True)
        state = dict(parse_qsl(parts.query)).get("state")
        with anyio.move_on_after(WAIT_SECONDS):
            return await self._first(state)
        raise Refused(f"nobody logged in within {WAIT_SECONDS:.0f} s")

    async def _first(self, state: str | None) -> Mapping[str, str]:
        """What the browser brings, or what is pasted: whichever comes first."""
        if self._paste is None:
            return await self._answer(state)
        found: list[Mapping[str, str]] = []

        async def take(answer: Callable[[str | None], Awaitable[Mapping[str, str]]]) -> None:
            found.append(await answer(state))
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, self._answer)
            tasks.start_soon(take, self._pasted)
        return found[0]

    async def _pasted(self, state: str | None) -> Mapping[str, str]:
        """The query of an address that belongs to this login; waits for ever where nothing more is pasted."""
        assert self._paste is not None, "the caller has looked"
        while (text := await self._paste()) is not None:
            answer = dict(parse_qsl(text.strip().partition("?")[2]))
            if _belongs(answer, state):
                return answer
            if text.strip():
                self._show("That is not the address of this login: it ends in ?code=… and state=…")
        await anyio.sleep_forever()
        raise AssertionError("for ever is cancelled")

    async def _answer(self, state: str | None) -> Mapping[str, str]:
        """The query of the first request that belongs to this login; others get an error page."""
        while True:
            await anyio.wait_readable(self._socket)
            connection, _ = self._socket.accept()
            connection.setblocking(False)
            async with await SocketStream.from_socket(connection) as stream:
                with anyio.move_on_after(10):
                    answer = dict(parse_qsl(await _query(stream)))
                    is_ours = _belongs(answer, state)
                    await _reply(stream, "Done." if is_ours and "code" in answer else "That did not work.")
                    if is_ours:
                        return answer


def _belongs(answer: Mapping[str, str], state: str | None) -> bool:
    return answer.get("state") == state and ("code" in answer or "error" in answer)


async def _query(stream: SocketStream) -> str:
    """The query of a GET of our path; empty for anything else."""
    received = b""
    while b"\r\n\r\n" not in received and len(received) < _MAX_REQUEST:
        try:
            received += await stream.receive()
        except anyio.EndOfStream:
            break
    method, _, rest = received.decode("latin-1").partition(" ")
    target = urlsplit(rest.partition(" ")[0])
    return target.query if method == "GET" and target.path == PATH else ""


async def _reply(stream: SocketStream, said: str) -> None:
    body = _PAGE.format(said=said).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
    await stream.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def _has_screen() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
