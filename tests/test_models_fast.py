"""The client of the extra ``fast``: the same answers and the same errors as the others, against real sockets."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from glm_agent.errors import ConfigurationError
from glm_agent.models.glm.fast import FastClient

HEADERS = httpx2.Headers({"Authorization": "Bearer x", "Content-Type": "application/json"})


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'glm-agent\[fast\]'"):
        FastClient()


class Server:
    """Says the same to everybody."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        self.answer, self.closes = answer, closes
        self.url = httpx2.URL("")
        self.opened = 0
        self.heads: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                self.heads.append(head)
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(self.answer)
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: bytes, *, closes: bool = False) -> AsyncIterator[Server]:
    server = Server(answer, closes=closes)
    async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as listener:
        server.url = httpx2.URL(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1")
        yield server


@asynccontextmanager
async def client(timeout: httpx2.Timeout | None = None) -> AsyncIterator[FastClient]:
    pytest.importorskip("aiohttp")
    made = FastClient(timeout=timeout)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(made: FastClient, url: httpx2.URL) -> tuple[int, bytes]:
    async with asyncio.timeout(20), made.stream("POST", url, content=b"{}", headers=HEADERS) as answer:
        return answer.status_code, await answer.aread()


@pytest.mark.anyio
async def test_one_connection_serves_one_request_after_the_other(anyio_backend: str) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with serving(said) as server, client() as made:
        assert [await ask(made, server.url) for _ in range(3)] == [(200, b"abcde")] * 3
        assert server.opened == 1
        assert b"authorization: bearer x" in server.heads[0]


@pytest.mark.anyio
async def test_a_redirect_is_shown_and_not_followed(anyio_backend: str) -> None:
    said = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with serving(said) as server, client() as made:
        assert await ask(made, server.url) == (302, b"")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", httpx2.RemoteProtocolError),
    ],
)
async def test_what_goes_wrong_is_an_error_of_httpx2(anyio_backend: str, answer: bytes, error: type[Exception]) -> None:
    async with serving(answer, closes=True) as server, client() as made:
        with pytest.raises(error):
            await ask(made, server.url)


@pytest.mark.anyio
async def test_nobody_there_and_silence_are_told_apart(anyio_backend: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    async with serving(head) as server, client(httpx2.Timeout(5, read=0.05)) as made:
        with pytest.raises(httpx2.ReadTimeout):
            await ask(made, server.url)
    async with client() as made:
        with pytest.raises(httpx2.ConnectError):
            await ask(made, server.url)
