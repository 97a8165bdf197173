"""HTTP of the toolbox: real servers on loopback, and every way to reach what must not be reached."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import zlib
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from glm_agent_tools import http
from glm_agent_tools.addresses import is_public, is_within
from glm_agent_tools.http_rules import HttpRules, http_rules_of
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import ConfigurationError, ToolContext, ToolError
from glm_agent.messages import ToolCall

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from threaded import threaded

pytestmark = pytest.mark.anyio


class Site:
    """A server that answers as told and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                site.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, answer = site.answers.get(self.path, (404, {}, b"nothing here"))
                self.send_response(status)
                for name, value in {
                    "content-type": "text/plain",
                    "content-length": str(len(answer)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(answer)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def page(self, path: str, body: bytes | str = b"", status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, named, body.encode() if isinstance(body, str) else body)


@pytest.fixture
def site() -> Generator[Site]:
    site = Site()
    with threaded(site.server):
        yield site


def rules(site: Site, **more: Any) -> HttpRules:
    return HttpRules(**({"allow": (f"127.0.0.1:{site.port}",), "private": ("127.0.0.1",)} | more))


def context(rules: HttpRules | None = None) -> ToolContext:
    return ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=rules, idempotency_key="key-1")


async def get(url: str, rules: HttpRules | None = None, **options: Any) -> dict[str, Any]:
    with anyio.fail_after(60):
        return dict(await http.http_get(context(rules), url, **options))


# -- what comes back


async def test_text_comes_back_with_its_status_and_the_headers_that_matter(site: Site) -> None:
    site.page("/a?b=c", "grüße".encode("latin-1"), content_type="text/plain; charset=latin-1", etag="1", x_other="2")
    site.page("/broken", '{"error": 1}', 503, content_type="application/problem+json", retry_after="7")
    answer = await get(f"{site.url}/a?b=c", rules(site), headers={"X-Mine": "1"})
    assert answer == {
        "status": 200,
        "url": f"{site.url}/a?b=c",
        "headers": {"content-type": "text/plain; charset=latin-1", "etag": "1"},
        "body": "grüße",
        "note": None,
    }
    assert site.asked[0][2]["x-mine"] == "1"
    assert site.asked[0][2]["host"] == f"127.0.0.1:{site.port}"
    broken = await get(f"{site.url}/broken", rules(site))
    assert (broken["status"], broken["body"], broken["headers"]["retry-after"]) == (503, '{"error": 1}', "7")


async def test_what_is_not_text_is_only_described(site: Site) -> None:
    site.page("/picture", b"\x89PNG\0\0", content_type="image/png")
    answer = await get(f"{site.url}/picture", rules(site))
    assert (answer["body"], answer["note"]) == ("", "6 bytes of 'image/png' are not shown")


async def test_json_and_text_are_posted(site: Site) -> None:
    site.page("/in", "ok", 201)
    with anyio.fail_after(60):
        await http.http_post(context(rules(site)), f"{site.url}/in", json={"ä": [1]})
        await http.http_post(context(rules(site)), f"{site.url}/in", text="a,b", headers={"Content-Type": "text/csv"})
        await http.http_post(context(rules(site)), f"{site.url}/in", json=[])
        with pytest.raises(ToolError, match="send one of them"):
            await http.http_post(context(rules(site)), f"{site.url}/in", json={}, text="")
    sent = [(method, headers["content-type"], body.decode()) for method, _, headers, body in site.asked]
    assert sent == [
        ("POST", "application/json", '{"ä": [1]}'),
        ("POST", "text/csv", "a,b"),
        ("POST", "application/json", "[]"),
    ]
    assert {headers["idempotency-key"] for _, _, headers, _ in site.asked} == {"key-1"}


# -- bounds


async def test_a_long_body_is_cut(site: Site) -> None:
    site.page("/long", b"x" * 5000)
    answer = await get(f"{site.url}/long", rules(site, max_bytes=1000))
    assert (answer["body"], answer["note"]) == ("x" * 1000, "cut after 1,000 bytes")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_packed_body_that_unpacks_to_a_huge_one_is_cut(site: Site, pack: Any) -> None:
    site.page("/small", pack(b"hello"), content_encoding="gzip" if pack is gzip.compress else "deflate")
    site.page("/bomb", pack(b"\x20" * 50_000_000), content_encoding="gzip")
    assert (await get(f"{site.url}/small", rules(site)))["body"] == "hello"
    answer = await get(f"{site.url}/bomb", rules(site))
    assert (len(answer["body"]), answer["note"]) == (1_000_000, "cut after 1,000,000 bytes")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd", "gzip"])
async def test_a_body_packed_in_another_way_is_not_read(site: Site, encoding: str) -> None:
    site.page("/odd", b"no gzip", content_encoding=encoding)
    with pytest.raises(ToolError, match=r"it is not read|is not gzip"):
        await get(f"{site.url}/odd", rules(site))


async def test_a_server_that_never_ends_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        allowed = HttpRules(allow=(f"127.0.0.1:{port}",), private=("127.0.0.1",))
        with pytest.raises(ToolError, match=r"took longer than 0\.2 seconds"):
            await get(f"http://127.0.0.1:{port}/", allowed, timeout_seconds=0.2)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"Content-Length": "9"},
        {"Transfer-Encoding": "chunked"},
        {"a b": "x"},
        {"a": "x\r\nb: c"},
        {"": "x"},
    ],
)
async def test_headers_that_would_forge_a_request_are_refused(site: Site, headers: dict[str, str]) -> None:
    with pytest.raises(ToolError, match=r"is set by the connection|is no header"):
        await get(f"{site.url}/a", rules(site), headers=headers)
    assert site.asked == []


# -- where it may go


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ((), "http://example.com/"),
        (("example.com",), "http://evil-example.com/"),
        (("example.com",), "http://example.com.evil.net/"),
        (("example.com",), "http://example.com:8080/"),
        (("example.com",), "http://sub.example.com/"),
        (("*.example.com",), "http://example.com/"),
        (("example.com:8080",), "http://example.com/"),
        (("example.com",), "http://127.0.0.1/?example.com"),
        (("example.com",), "http://127.0.0.1#@example.com/"),
    ],
)
async def test_only_hosts_that_are_allowed_are_asked(allow: tuple[str, ...], url: str) -> None:
    with pytest.raises(ToolError, match="is not among the hosts that may be asked"):
        await get(url, HttpRules(allow=allow))


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.com/", "gopher://x/", "http://", "//x", "", "http://a:b@example.com/", "http://[::1",
     "http://example.com:99999/", "http://exa mple.com/", "javascript:alert(1)", "http:///path"],
)  # fmt: skip
async def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ToolError):
        await get(url, HttpRules(allow=("*", "*:*")))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "0.0.0.0", "[::1]", "[::]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "10.0.0.1", "169.254.169.254", "[fe80::1]", "192.168.1.1", "LOCALHOST."],
)  # fmt: skip
async def test_no_spelling_of_an_own_address_is_asked(site: Site, host: str) -> None:
    with pytest.raises(ToolError, match=r"an address of this machine or its network|cannot be fetched|has no address"):
        await get(f"http://{host}:{site.port}/", HttpRules(allow=("*:*",)))
    assert site.asked == []


async def test_a_redirect_is_followed_only_to_where_one_may_go(site: Site) -> None:
    site.page("/ok", status=302, location="/end")
    site.page("/end", "arrived")
    assert (await get(f"{site.url}/ok", rules(site)))["url"] == f"{site.url}/end"
    site.page("/inside", status=302, location="http://127.0.0.2/")
    site.page("/other", status=307, location="http://example.com/")
    site.page("/file", status=301, location="file:///etc/passwd")
    site.page("/round", status=301, location="/round")
    both = rules(site, allow=(f"127.0.0.1:{site.port}", "127.0.0.2"))
    with pytest.raises(ToolError, match=r"'127\.0\.0\.2' is 127\.0\.0\.2, an address of this machine"):
        await get(f"{site.url}/inside", both)
    with pytest.raises(ToolError, match=r"'example\.com' .*is not among the hosts"):
        await get(f"{site.url}/other", rules(site))
    with pytest.raises(ToolError):
        await get(f"{site.url}/file", rules(site))
    with pytest.raises(ToolError, match="redirects more than 5 times"):
        await get(f"{site.url}/round", rules(site))


def answers(*addresses: list[str]) -> Any:
    """A resolver that says something else each time."""
    rest = iter(addresses)

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in next(rest)]

    return resolve


async def test_a_name_is_resolved_once_and_the_checked_address_is_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the name were asked again for the connection, the second answer would be used: no server is there.
    monkeypatch.setattr(anyio, "getaddrinfo", answers(["127.0.0.1"], ["127.0.0.9"]))
    site.page("/", "hello")
    allowed = HttpRules(allow=("rebind.example:*",), private=("127.0.0.1",))
    answer = await get(f"http://rebind.example:{site.port}/", allowed)
    assert (answer["body"], answer["url"]) == ("hello", f"http://rebind.example:{site.port}/")
    assert site.asked[0][2]["host"] == f"rebind.example:{site.port}"


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["64:ff9b::7f00:1"], ["::ffff:10.0.0.1"]]
)
async def test_a_name_that_means_an_own_address_is_not_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", answers(addresses))
    with pytest.raises(ToolError, match="an address of this machine or its network"):
        await get(f"http://inside.example:{site.port}/", HttpRules(allow=("*:*",)))
    assert site.asked == []


async def test_proxies_of_the_environment_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.page("/", "direct")
    assert (await get(site.url + "/", rules(site)))["body"] == "direct"


async def test_a_hosts_key_goes_to_that_host_alone(site: Site) -> None:
    site.page("/a", "ok")
    keys = {"http://127.0.0.1": {"authorization": "Bearer s3cret"}}
    own = rules(site, secrets=keys)
    await get(f"{site.url}/a", own)
    assert site.asked[0][2]["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(own)
    assert HttpRules(secrets={"api.example": {"k": "v"}}).secrets_for("api.example", is_encrypted=False) == {}
    assert HttpRules(secrets={"api.example": {"k": "v"}}).secrets_for("api.example", is_encrypted=True) == {"k": "v"}


def test_a_key_that_cannot_be_a_header_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"the header 'k' for 'api\.example' is empty, or holds") as raised:
        HttpRules(secrets={"api.example": {"k": "s3cret\n"}})
    assert "s3cret" not in str(raised.value)


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_rules_of(context()) == HttpRules()
    monkeypatch.setenv("GLM_AGENT_HTTP_ALLOW", "a.example, *.b.example:8080,")
    monkeypatch.setenv("GLM_AGENT_HTTP_PRIVATE", "10.0.0.0/8")
    assert http_rules_of(context()) == HttpRules(allow=("a.example", "*.b.example:8080"), private=("10.0.0.0/8",))
    with pytest.raises(ConfigurationError, match="'ten' is no network"):
        HttpRules(private=("ten",))


# -- addresses


NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
    "localhost",
    "1.2.3",
    "x",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_of_the_public_internet_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8",
     "64:ff9b::808:808"]
)  # fmt: skip
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_no_form_of_a_private_address_is_public(address: Any) -> None:
    number = int(address)
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    forms = (
        f"::ffff:{address}",
        f"64:ff9b::{high}:{low}",
        f"2002:{high}:{low}::1",
        f"::{high}:{low}",
        f"2a00::5efe:{address}",
    )
    assert [form for form in (str(address), *forms) if is_public(form)] == []


def test_an_allowed_network_holds_for_mapped_addresses_too() -> None:
    assert is_within("::ffff:10.1.2.3", ["10.0.0.0/8"])
    assert is_within("fd00::1", ["fd00::/8"])
    assert not is_within("11.1.2.3", ["10.0.0.0/8", "::/0"])
    assert not is_within("x", ["0.0.0.0/0"])


def test_what_the_tools_say_of_themselves() -> None:
    assert (http.http_get.spec.effect, http.http_post.spec.effect) == ("read", "write")
    assert http.http_get.spec.is_untrusted
    assert http.http_post.spec.is_untrusted
    assert json.dumps(http.http_get.spec.parameters).count("description") == 3
