"""Our own connections: which one a request gets, and what becomes of it, against real sockets."""

import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener

from glm_agent.models.glm import clients, transport
from glm_agent.models.glm.clients import Clients
from glm_agent.models.glm.transport import PooledClient, PooledResponse

TIMEOUT = httpx2.Timeout(60)


LOOPS = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return LOOPS[request.param]


def plain(body: bytes, *, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


class Server:
    """Answers every request with the number of its connection, unless told otherwise."""

    def __init__(self) -> None:
        self.url = httpx2.URL("")
        self.opened = self.requests = self.most_open = self._open = 0
        self.ended = anyio.Event()
        """A connection has ended."""
        self.answer: Callable[[int], bytes] = lambda number: plain(b"%d" % number)
        self.closes_after = False
        self.may_answer = anyio.Event()
        self.may_answer.set()
        self.was_asked = anyio.Event()

    async def handle(self, stream: ByteStream) -> None:
        number = self.opened
        self.opened += 1
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        async with stream:
            try:
                while await read_request(stream):
                    self.requests += 1
                    self.was_asked.set()
                    await self.may_answer.wait()
                    await stream.send(self.answer(number))
                    if self.closes_after:
                        break
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
        self._open -= 1
        self.ended.set()


async def read_request(stream: ByteStream) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
            return False
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += await stream.receive()
    return True


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    with anyio.fail_after(60):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as plainly,
            anyio.create_task_group() as tasks,
        ):
            scheme, listener = (
                ("https", TLSListener(plainly, context, standard_compatible=False)) if context else ("http", plainly)
            )
            server.url = httpx2.URL(f"{scheme}://127.0.0.1:{plainly.extra(SocketAttribute.local_port)}/v1?a=b")
            tasks.start_soon(listener.serve, server.handle)
            yield server
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def client(timeout: httpx2.Timeout = TIMEOUT, **options: Any) -> AsyncIterator[PooledClient]:
    made = PooledClient(timeout=timeout, **({"certificates": ssl.create_default_context} | options))
    try:
        yield made
    finally:
        await made.aclose()


Handle = Callable[[SocketStream], Awaitable[None]]


@contextmanager
def deaf(scheme: str = "http") -> Generator[httpx2.URL]:
    """A server that accepts connections and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield httpx2.URL(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/")


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[httpx2.URL]:
    """A server that does what ``handle`` does with every connection."""

    async def handled(stream: SocketStream) -> None:
        async with stream:
            await handle(stream)

    with anyio.fail_after(60):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, handled)
            yield httpx2.URL(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/")
            tasks.cancel_scope.cancel()


async def body(answer: PooledResponse) -> bytes:
    return b"".join([piece async for piece in answer.aiter_bytes()])


async def post(made: PooledClient, url: httpx2.URL, content: bytes = b"{}") -> tuple[int, bytes]:
    async with made.stream("POST", url, content=content, headers=httpx2.Headers()) as answer:
        return answer.status_code, await body(answer)


async def ask(made: PooledClient, server: Server, content: bytes = b"{}") -> str:
    async with made.stream("POST", server.url, content=content, headers=httpx2.Headers({"X-A": "b"})) as answer:
        return (await body(answer)).decode()


# -- which connection a request gets


@pytest.mark.anyio
async def test_one_request_after_the_other_uses_one_connection(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        assert [await ask(made, server) for _ in range(5)] == ["0"] * 5
        assert (server.opened, server.requests) == (1, 5)


@pytest.mark.anyio
async def test_requests_at_once_have_a_connection_each_and_the_newest_goes_on(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.may_answer = anyio.Event()
        answers: list[str] = []

        async def one() -> None:
            answers.append(await ask(made, server))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(one)
            while server.requests < 20:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            server.may_answer.set()
        assert sorted(map(int, answers)) == list(range(20))
        assert [await ask(made, server) for _ in range(3)] == [answers[-1]] * 3


@pytest.mark.anyio
async def test_hundreds_at_once_all_get_their_answer(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        async with anyio.create_task_group() as tasks:
            for _ in range(150):
                tasks.start_soon(ask, made, server)
        assert server.requests == 150
        assert server.opened <= 150


@pytest.mark.anyio
async def test_a_connection_that_the_server_closed_meanwhile_is_replaced(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.closes_after = True
        assert await ask(made, server) == "0"
        await server.ended.wait()
        await anyio.wait_all_tasks_blocked()
        assert await ask(made, server) == "1"


@pytest.mark.anyio
async def test_a_server_that_says_goodbye_is_believed(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.answer = lambda number: plain(b"%d" % number, more=b"Connection: close\r\n")
        assert [await ask(made, server) for _ in range(2)] == ["0", "1"]


@pytest.mark.anyio
async def test_an_old_connection_is_not_used_and_an_unused_one_let_go(
    anyio_backend: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as server, client() as made:
        assert await ask(made, server) == "0"
        monkeypatch.setattr(transport, "KEEP_SECONDS", -1.0)
        assert await ask(made, server) == "1"


@pytest.mark.anyio
async def test_two_servers_do_not_share_connections(anyio_backend: object) -> None:
    async with serving() as one, serving() as other, client() as made:
        other.answer = lambda _: plain(b"other")
        assert [await ask(made, server) for server in (one, other, one, other)] == ["0", "other"] * 2
        assert (one.opened, other.opened) == (1, 1)


@pytest.mark.anyio
async def test_a_connection_that_was_opened_beforehand_serves_the_first_request(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        await made.connect(server.url)
        await made.connect(server.url)
        assert (server.requests, await ask(made, server)) == (0, "0")
        assert server.opened == 1


@pytest.mark.anyio
async def test_a_client_that_closes_while_it_connects_keeps_nothing(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        await made.aclose()
        await made.connect(server.url)
        await server.ended.wait()


# -- what becomes of it


@pytest.mark.anyio
async def test_an_answer_that_is_left_early_costs_its_connection(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
        async with made.stream("POST", server.url, content=b"", headers=httpx2.Headers()) as answer:
            assert answer.status_code == 200
        await server.ended.wait()


@pytest.mark.anyio
async def test_cancelling_closes_the_connection(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, made, server)
            await server.was_asked.wait()
            tasks.cancel_scope.cancel()
        await server.ended.wait()


@pytest.mark.anyio
async def test_closing_the_client_closes_what_is_idle_at_once_and_the_rest_when_it_is_done(
    anyio_backend: object,
) -> None:
    async with serving() as server, client() as made:
        async with made.stream("POST", server.url, content=b"", headers=httpx2.Headers()) as answer:
            await made.aclose()
            assert await body(answer) == b"0"
        await server.ended.wait()
        server.ended = anyio.Event()
    async with serving() as server, client() as made:
        await ask(made, server)
        await made.aclose()
        await server.ended.wait()


# -- what is sent and read


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
async def test_the_body_is_the_same_in_any_cuts(anyio_backend: object, cut: int) -> None:
    said = b"data: one\n\ndata: two\n\n" * 9
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(said[at : at + cut]), said[at : at + cut]) for at in range(0, len(said), cut)
    )
    async with serving() as server, client() as made:
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        assert [await ask(made, server) for _ in range(2)] == [said.decode()] * 2
        assert server.opened == 1


@pytest.mark.anyio
async def test_a_body_without_a_length_ends_with_the_connection(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.closes_after = True
        server.answer = lambda _: b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
        assert await ask(made, server) == "until the end"


@pytest.mark.anyio
async def test_hints_before_the_answer_are_passed_over(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.answer = lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + plain(b"after")
        assert await ask(made, server) == "after"


@pytest.mark.anyio
async def test_megabytes_are_sent_and_read(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.answer = lambda _: plain(b"x" * 3_000_000)
        assert len(await ask(made, server, content=b"y" * 5_000_000)) == 3_000_000
        assert server.requests == 1


@pytest.mark.anyio
async def test_over_tls_the_server_must_be_the_one_that_was_meant(anyio_backend: object, tmp_path: Path) -> None:
    own, trusted = certificates(tmp_path)
    async with serving(own) as server:
        async with client(certificates=lambda: trusted) as made:
            assert [await ask(made, server) for _ in range(2)] == ["0", "0"]
        async with client() as made:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask(made, server)


# -- what goes wrong


@pytest.mark.anyio
async def test_nobody_there_is_a_connect_error(anyio_backend: object) -> None:
    async with serving() as server:
        pass
    async with client() as made:
        with pytest.raises(httpx2.ConnectError):
            await ask(made, server)


@pytest.mark.anyio
async def test_silence_is_a_read_timeout(anyio_backend: object) -> None:
    async with serving() as server, client(httpx2.Timeout(60, read=0.05)) as made:
        server.may_answer = anyio.Event()
        with pytest.raises(httpx2.ReadTimeout):
            await ask(made, server)
        server.may_answer.set()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", id="a cut body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a broken chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, id="an endless head"),
    ],
)
async def test_what_is_no_http_is_a_protocol_error(anyio_backend: object, answer: bytes) -> None:
    async with serving() as server, client() as made:
        server.closes_after, server.answer = True, lambda _: answer
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(made, server)


@pytest.mark.anyio
async def test_a_server_that_reads_nothing_is_a_write_timeout(anyio_backend: object) -> None:
    with deaf() as url, anyio.fail_after(60):
        async with client(httpx2.Timeout(60, write=0.05)) as made:
            with pytest.raises(httpx2.WriteTimeout):
                await post(made, url, content=b"x" * 30_000_000)


@pytest.mark.anyio
async def test_a_server_that_never_greets_is_a_connect_timeout(anyio_backend: object) -> None:
    with deaf("https") as url, anyio.fail_after(60):
        async with client(httpx2.Timeout(60, connect=0.05)) as made:
            with pytest.raises(httpx2.ConnectTimeout):
                await post(made, url)


@pytest.mark.anyio
async def test_a_connection_that_is_reset_is_a_read_error(anyio_backend: object) -> None:
    async def reset(stream: SocketStream) -> None:
        await stream.receive()
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with listening(reset) as url, client() as made:
        with pytest.raises(httpx2.ReadError):
            await post(made, url)


@pytest.mark.anyio
async def test_what_a_server_says_before_it_has_read_everything_is_heard(anyio_backend: object) -> None:
    async def refuse(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        await stream.send_eof()
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()

    async with listening(refuse) as url, client() as made:
        assert await post(made, url, content=b"x" * 2_000_000) == (413, b"big")


@pytest.mark.anyio
async def test_a_reader_that_takes_its_time_makes_the_server_wait(anyio_backend: object) -> None:
    sent = 0

    async def pour(stream: SocketStream) -> None:
        nonlocal sent
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while sent < 200_000_000:
                await stream.send(b"x" * 100_000)
                sent += 100_000

    async with (
        listening(pour) as url,
        client() as made,
        made.stream("POST", url, content=b"", headers=httpx2.Headers()) as answer,
        nullcontext(answer.stream) as pieces,
    ):
        await anext(pieces)
        await anyio.wait_all_tasks_blocked()
        held_at = sent
        assert held_at < 100_000_000
        while sent == held_at:
            await anext(pieces)


@pytest.mark.anyio
async def test_a_name_with_several_addresses_is_connected_to_where_somebody_listens(anyio_backend: object) -> None:
    async with serving() as server, client() as made:
        server.url = server.url.copy_with(host="localhost")
        assert await ask(made, server) == "0"


@pytest.mark.anyio
async def test_a_name_that_nobody_has_is_a_connect_error(anyio_backend: object) -> None:
    async with client() as made:
        with pytest.raises(httpx2.ConnectError):
            await post(made, httpx2.URL("http://no-such-host.invalid/"))


# -- which client it is


def test_behind_a_proxy_the_librarys_client_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "getproxies", lambda: {"no": "localhost"})
    assert isinstance(Clients(None, host="api.z.ai", timeout=TIMEOUT).get(), PooledClient)
    monkeypatch.setattr(clients, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert isinstance(Clients(None, host="api.z.ai", timeout=TIMEOUT).get(), httpx2.AsyncClient)
    assert isinstance(Clients(None, host="127.0.0.1", timeout=TIMEOUT).get(), PooledClient)


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate of its own for 127.0.0.1, and a client's that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=True)
        .sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(secret + certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=certificate.decode())
