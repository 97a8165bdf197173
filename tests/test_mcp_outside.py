"""Requests to hosts that a server names: which addresses are judged how, and what an attacker's answers get."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from glm_agent.mcp import outside, url_policy
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.outside import Outside
from glm_agent.mcp.url_policy import Place, UrlPolicy, network

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from threaded import threaded

PUBLIC = "https://1.1.1.1/mcp"


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("1.1.1.1", "public"),
        ("2606:4700:4700::1111", "public"),
        ("10.0.0.1", "private"),
        ("172.16.3.4", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "nowhere"),
        ("::", "nowhere"),
        ("169.254.169.254", "nowhere"),
        ("fe80::1", "nowhere"),
        ("fe80::1%eth0", "nowhere"),
        ("::ffff:169.254.169.254", "nowhere"),
        ("224.0.0.1", "nowhere"),
        ("239.1.2.3", "nowhere"),
        ("ff02::1", "nowhere"),
        ("255.255.255.255", "nowhere"),
        ("64:ff9b::1.1.1.1", "public"),
        ("64:ff9b::10.0.0.1", "nowhere"),
        ("64:ff9b::127.0.0.1", "nowhere"),
        ("64:ff9b:1::1.1.1.1", "nowhere"),
        ("2002:7f00:1::", "nowhere"),
        ("2002:101:101::", "nowhere"),
        ("2001:0:1:2::3", "nowhere"),
        ("::7f00:1", "nowhere"),
    ],
)
def test_an_address_lies_in_one_network_also_inside_another(address: str, reach: str) -> None:
    assert network(address) == reach


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/", "https://[fd00::1]/", "https://127.0.0.1/", "http://localhost/", "https://x.localhost/",
        "https://169.254.169.254/latest/meta-data/", "https://[64:ff9b::a00:1]/", "https://[2002:7f00:1::]/",
        "https://224.0.0.1/", "https://0.0.0.0/", "http://1.1.1.1/", "ftp://1.1.1.1/", "https://u:p@1.1.1.1/",
        "https://:80/", "https://[::1", "https://1.1.1.1:0/", "https:///x", "javascript:alert(1)",
    ],
)  # fmt: skip
@pytest.mark.anyio
async def test_a_public_server_sends_us_nowhere_else(url: str) -> None:
    with pytest.raises(Refused):
        await UrlPolicy(PUBLIC).check(url)


@pytest.mark.parametrize("server", ["http://127.0.0.1:1/mcp", "https://10.0.0.1/mcp"])
@pytest.mark.parametrize(
    "url", ["https://169.254.169.254/", "https://0.0.0.0/", "https://[ff02::1]/", "http://1.1.1.1/"]
)
@pytest.mark.anyio
async def test_what_leads_nowhere_is_closed_to_local_servers_too(server: str, url: str) -> None:
    with pytest.raises(Refused):
        await UrlPolicy(server).check(url)


@pytest.mark.anyio
async def test_an_authorization_server_that_the_user_names_may_be_inside() -> None:
    policy = UrlPolicy(PUBLIC, issuer="https://10.0.0.1/issuer")
    assert (await policy.check("https://10.0.0.1/token")).reach == "private"
    for url in ("https://10.0.0.2/", "http://10.0.0.1/"):
        with pytest.raises(Refused):
            await policy.check(url)


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names mean these addresses, one answer after the other; the names that were looked up."""
    asked: list[str] = []
    left = iter(answers)

    async def lookup(host: str, _port: object) -> list[Any]:
        asked.append(host)
        return [(None, None, None, "", (address, 0)) for address in next(left)]

    monkeypatch.setattr(url_policy.anyio, "getaddrinfo", lookup)
    monkeypatch.setattr(url_policy.urllib.request, "getproxies", dict)
    return asked


@pytest.mark.parametrize(
    "answer", [["1.1.1.1", "10.0.0.1"], ["127.0.0.1"], ["::ffff:192.168.0.1"], ["64:ff9b::7f00:1"]]
)
@pytest.mark.anyio
async def test_a_name_is_as_far_inside_as_its_innermost_address(
    monkeypatch: pytest.MonkeyPatch, answer: list[str]
) -> None:
    names(monkeypatch, answer)
    with pytest.raises(Refused):
        await UrlPolicy(PUBLIC).check("https://login.example/")


@pytest.mark.anyio
async def test_a_name_that_cannot_be_found_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lookup(*_: object) -> Any:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(url_policy.urllib.request, "getproxies", dict)
    monkeypatch.setattr(url_policy.anyio, "getaddrinfo", lookup)
    with pytest.raises(Refused, match=r"'login.example' cannot be found: Name or service not known"):
        await UrlPolicy(PUBLIC).check("https://login.example/")


@pytest.mark.anyio
async def test_behind_a_proxy_names_are_the_proxys_and_literal_addresses_are_still_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(url_policy.urllib.request, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert await UrlPolicy(PUBLIC).check("https://login.example/") == Place("login.example", (), "public")
    with pytest.raises(Refused):
        await UrlPolicy(PUBLIC).check("https://10.0.0.1/")


# -- what is sent


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append((self.headers["Host"], self.path))
        status, headers, body = self.server.reply(self.path)
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


Reply = Callable[[str], tuple[int, dict[str, str], bytes]]


def host(reply: Reply, *, context: ssl.SSLContext | None = None) -> AbstractContextManager[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.seen, server.reply = [], reply  # type: ignore[attr-defined]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return threaded(server)


def ok(path: str) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, path.encode()


def sender(server: Any) -> Outside:
    return Outside(UrlPolicy(f"http://127.0.0.1:{server.server_address[1]}/mcp"))


async def get(server: Any, path: str, name: str = "127.0.0.1") -> httpx2.Response:
    with anyio.fail_after(60):
        return await sender(server).send(httpx2.Request("GET", f"http://{name}:{server.server_address[1]}{path}"))


@pytest.mark.anyio
async def test_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with host(ok) as server:
        port = server.server_address[1]
        asked = names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
        policy = UrlPolicy("http://127.0.0.1/mcp")
        with anyio.fail_after(60):
            response = await Outside(policy).send(httpx2.Request("GET", f"http://moving.example:{port}/x"))
        assert response.text == "/x"
        assert str(response.request.url) == f"http://moving.example:{port}/x"
        assert server.seen == [(f"moving.example:{port}", "/x")]
    assert asked == ["moving.example"]


@pytest.mark.anyio
async def test_the_next_address_is_tried_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with host(ok) as server:
        names(monkeypatch, ["::1", "127.0.0.1"])
        assert (await get(server, "/x", "two.example")).text == "/x"


@pytest.mark.anyio
async def test_redirects_stay_on_their_host_and_end() -> None:
    def reply(path: str) -> tuple[int, dict[str, str], bytes]:
        number = path.rpartition("/")[2]
        if path.startswith("/away"):
            return 302, {"location": "http://169.254.169.254/latest"}, b""
        if path.startswith("/odd"):
            return 302, {"location": "http://[::1"}, b"odd"
        return (302, {"location": f"/hop/{int(number) - 1}"}, b"") if number != "0" else (200, {}, b"there")

    with host(reply) as server:
        assert (await get(server, "/hop/3")).text == "there"
        with pytest.raises(Refused, match="more than 3 times"):
            await get(server, "/hop/4")
        assert (await get(server, "/away/1")).status_code == 302
        assert (await get(server, "/odd/1")).status_code == 302


@pytest.mark.anyio
async def test_answers_are_bounded_and_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "MAX_BODY", 1000)
    bomb = gzip.compress(b"x" * 1_000_000)

    def reply(path: str) -> tuple[int, dict[str, str], bytes]:
        return (200, {"content-encoding": "gzip"}, bomb[:900]) if path == "/bomb" else (200, {}, b"x" * 1001)

    with host(reply) as server:
        with pytest.raises(Refused, match="more than 1,000 bytes"):
            await get(server, "/long")
        with pytest.raises(Refused, match="compresses"):
            await get(server, "/bomb")


@pytest.mark.anyio
async def test_a_host_that_is_silent_or_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def silent(path: str) -> tuple[int, dict[str, str], bytes]:
        ended.wait(60)
        return 200, {}, b""

    with host(silent) as server:
        monkeypatch.setattr(outside, "SECONDS", 0.2)
        with pytest.raises(Refused, match=r"'127.0.0.1' (did not answer|cannot be reached)"):
            await get(server, "/x")
        ended.set()
    monkeypatch.setattr(outside, "SECONDS", 20)
    with pytest.raises(Refused, match=r"'127.0.0.1' cannot be reached"):
        await get(server, "/x")


def certificate(folder: Path, name: str) -> Path:
    """A certificate of its own for one name, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    pem = serialization.Encoding.PEM
    key = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + key)
    return path


@pytest.mark.parametrize(("asked", "is_taken"), [("login.example", True), ("other.example", False)])
@pytest.mark.anyio
async def test_the_certificate_must_be_the_names_though_an_address_is_connected_to(
    tmp_path: Path, asked: str, is_taken: bool
) -> None:
    pem = certificate(tmp_path, "login.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    with host(ok, context=context) as server:
        request = httpx2.Request("GET", f"https://{asked}:{server.server_address[1]}/x")
        place = Place(asked, ("127.0.0.1",), "loopback")
        async with httpx2.AsyncClient(verify=trusting, trust_env=False) as client:
            with anyio.fail_after(60):
                if is_taken:
                    assert (await outside._sent(client, request, place)).text == "/x"
                else:
                    with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
                        await outside._sent(client, request, place)


def test_every_network_that_leads_nowhere_is_a_network() -> None:
    assert all(isinstance(block, (ipaddress.IPv4Network, ipaddress.IPv6Network)) for block in url_policy._NOWHERE)
