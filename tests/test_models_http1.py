"""HTTP/1.1 without sockets: what is said, and what is understood in whichever cuts it comes."""

import itertools

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.models.glm.http1 import NOISE_LIMIT, ResponseReader, request_head

URL = httpx2.URL("https://api.z.ai:8443/v4/chat?a=b%20c")


def read(*pieces: bytes) -> ResponseReader:
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def in_cuts(said: bytes, places: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    edges = sorted({place % (len(said) + 1) for place in places} | {0, len(said)})
    return [said[a:b] for a, b in itertools.pairwise(edges)]


# -- what is said


def test_a_request_head_names_host_target_headers_and_size() -> None:
    head = request_head("POST", URL, [(b"X-A", b"b")], size=12)
    assert head == b"POST /v4/chat?a=b%20c HTTP/1.1\r\nHost: api.z.ai:8443\r\nX-A: b\r\nContent-Length: 12\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nX-B: c", b"a\nb", b"a\0"])
def test_a_header_that_would_begin_another_is_refused_and_not_repeated(value: bytes) -> None:
    with pytest.raises(httpx2.LocalProtocolError) as error:
        request_head("POST", URL, [("X-Ä".encode("latin-1"), value)], size=0)
    assert str(error.value) == "the header 'X-Ä' holds a line break"


# -- what is understood

CHUNKED = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Padded:  a b \t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\ndata\r\n3;ext=1\r\n: x\r\n0\r\nTrailer: t\r\n\r\n"
)


@given(st.lists(st.integers(0, len(CHUNKED)), max_size=12))
def test_a_response_is_the_same_in_any_cuts(places: list[int]) -> None:
    reader = read(*in_cuts(CHUNKED, places))
    assert (reader.status_code, reader.take(), reader.is_complete, reader.is_last) == (200, b"data: x", True, False)
    assert reader.headers == [(b"x-empty", b""), (b"x-padded", b"a b"), (b"transfer-encoding", b"chunked")]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_bytes_that_are_no_http_are_an_error_or_wait_for_more(said: bytes, places: list[int]) -> None:
    try:
        reader = read(*in_cuts(said, places))
    except httpx2.RemoteProtocolError:
        return
    with pytest.raises(httpx2.RemoteProtocolError):
        reader.feed(b"")


def test_one_response_follows_the_other() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
    assert (reader.is_complete, reader.is_last, reader.take()) == (True, False, b"ab")
    assert reader.take() == b""
    reader.start()
    assert (reader.status_code, reader.headers, reader.is_complete, reader.is_last) == (0, [], False, False)
    reader.feed(b"HTTP/1.1 429 Too Many\r\nContent-Length: 1\r\n\r\n")
    assert (reader.status_code, reader.is_complete, reader.take()) == (429, False, b"")
    reader.feed(b"c")
    assert (reader.take(), reader.is_complete) == (b"c", True)
    reader.start()
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    reader.feed(b"")
    assert (reader.take(), reader.is_complete, reader.is_last) == (b"until the end", True, True)
    reader.start()
    assert not reader.is_last


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", b"junk", b"\0"])
def test_what_nobody_asked_for_ends_the_connection_and_not_the_response(more: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" + more)
    assert (reader.take(), reader.status_code, reader.is_complete, reader.is_last) == (b"ab", 200, True, True)


@pytest.mark.parametrize(
    "said", [b"Connection: close\r\nContent-Length: 2\r\n", b"Connection: Close\r\nContent-Length: 2\r\n"]
)
def test_a_goodbye_is_believed(said: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + said + b"\r\nab")
    assert (reader.is_complete, reader.is_last) == (True, True)


@pytest.mark.parametrize(
    "said", [b"", b"Connection: keep-alive\r\n", b"Transfer-Encoding: identity\r\n", b"X-How: chunked\r\n"]
)
def test_a_body_without_a_length_ends_with_the_connection(said: bytes) -> None:
    reader = read(b"HTTP/1.1 103 Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n" + said + b"\r\nab", b"cd")
    assert not reader.is_complete
    reader.feed(b"")
    assert (reader.take(), reader.is_complete, reader.is_last) == (b"abcd", True, True)


def test_an_end_after_the_end_only_says_that_nothing_follows() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
    assert not reader.is_last
    reader.feed(b"")
    assert (reader.take(), reader.is_complete, reader.is_last) == (b"ab", True, True)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status: int) -> None:
    reader = read(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert (reader.status_code, reader.is_complete, reader.is_last) == (status, True, False)


def test_lines_of_old_servers_are_read() -> None:
    reader = read(b"HTTP/1.1 200\nContent-Type: a\nTransfer-Encoding: chunked\n\n", b"2  \r\nab\r\n0\r\n\r\n")
    assert (reader.status_code, reader.take(), reader.is_complete) == (200, b"ab", True)


NO_HTTP, CUT, NOTHING = (
    "^no HTTP response: ",
    "^the connection ended before the response was complete$",
    "^Server disconnected without sending a response.$",
)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param([b"SSH-2.0-OpenSSH_9.6\r\n"], NO_HTTP + "[A-Z]", id="another protocol"),
        pytest.param(
            [b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"], NO_HTTP, id="a switch"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], NO_HTTP, id="no size"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"], NO_HTTP, id="two lengths"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
            NO_HTTP,
            id="a length and chunks",
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", b""], CUT, id="a body cut short"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n", b""], CUT, id="no last chunk"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nConte", b""], NOTHING, id="a head cut short"),
        pytest.param([b"HTTP/1.1 103 Hints\r\n\r\n", b""], NOTHING, id="a hint alone"),
        pytest.param([b""], NOTHING, id="nothing"),
    ],
)
def test_what_is_broken_is_an_error(said: list[bytes], error: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match=error):
        read(*said)


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param((b"HTTP/1.1 200 OK\r\nX: ", b"y"), id="a header"),
        pytest.param((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"y"), id="an extension of a chunk"),
        pytest.param((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX:", b"y"), id="a trailer"),
        pytest.param((b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"), id="hints"),
    ],
)
def test_nothing_but_bodies_may_be_endless(endless: tuple[bytes, bytes]) -> None:
    head, more = endless
    with pytest.raises(httpx2.RemoteProtocolError, match=r"^over 102,400 bytes came that are no body$"):
        read(head, *[more * 100] * (NOISE_LIMIT // len(more) // 100 + 2))


@pytest.mark.parametrize(
    ("said", "more"),
    [
        pytest.param(b"", b"HTTP/1.1 200 OK\r\nX: ", id="a head"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na", b"\r\n1;", id="between two chunks"
        ),
    ],
)
def test_the_bound_may_be_reached_and_not_passed(said: bytes, more: bytes) -> None:
    reader = read(*filter(None, [said]), more + b"y" * (NOISE_LIMIT - len(more)))
    with pytest.raises(httpx2.RemoteProtocolError, match="no body"):
        reader.feed(b"y")


def test_a_body_may_be_of_any_length_and_in_any_chunks() -> None:
    chunks = b"1\r\na\r\n" * NOISE_LIMIT
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, chunks, b"0\r\n\r\n")
    assert len(reader.take()) == 2 * NOISE_LIMIT
    assert reader.is_complete
