"""GLM over HTTP, against real sockets: what is sent, what is read in which cuts, what each failure becomes."""

import inspect
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream

from glm_agent.errors import (
    AgentError,
    AuthenticationError,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    ModelTimeout,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.messages import (
    ImagePart,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    Notice,
    Retrying,
    TextDelta,
    ToolCallDelta,
    ToolCallReady,
    ToolSpec,
    UserMessage,
)
from glm_agent.models.glm import GLMModel, model, reading
from glm_agent.models.glm.faults import retry_after_seconds, transport_error
from glm_agent.models.model import ModelEvent

KEY = "0123456789abcdef.s3cr3tS3cr3t"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


# -- a server that says exactly what it is told to


@dataclass(kw_only=True)
class Answer:
    """What to write for one request; then the connection is closed, held open, or used again."""

    pieces: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "text/event-stream;charset=UTF-8"
    is_cut: bool = False
    """End without the last chunk of the transfer encoding."""
    hangs: bool = False
    """Say nothing more, and keep the socket open."""

    def encoded(self) -> list[bytes]:
        head = {"content-type": self.kind, "transfer-encoding": "chunked", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
        chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in self.pieces if piece]
        end = [] if self.is_cut or self.hangs else [b"0\r\n\r\n"]
        return [f"HTTP/1.1 {self.status} X\r\n{lines}\r\n".encode(), *chunks, *end]


@dataclass
class Server:
    answers: list[Answer]
    url: str = ""
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Headers and body of each."""
    connections: int = 0
    hung_up: anyio.Event = field(default_factory=anyio.Event)
    """Whether a client closed a connection on which an answer was still to come."""

    async def handle(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while (request := await _request(stream)) is not None:
                    self.requests.append(request)
                    answer = self.answers.pop(0)
                    for data in answer.encoded():
                        await stream.send(data)
                    if answer.hangs:
                        await _hang_up(stream)
                        self.hung_up.set()
                        return
                    if answer.is_cut:
                        return
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass


async def _hang_up(stream: SocketStream) -> None:
    """Wait until the other side closes."""
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        await stream.receive()


async def _request(stream: SocketStream) -> tuple[dict[str, str], dict[str, Any]] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None
    head, body = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)} | {":": first}
    while len(body) < int(headers["content-length"]):
        body += await stream.receive()
    return headers, json.loads(body)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server(list(answers))
    with anyio.fail_after(60):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            port = listener.extra(SocketAttribute.local_port)
            server.url = f"http://127.0.0.1:{port}/api/paas/v4"
            tasks.start_soon(listener.serve, server.handle)
            yield server
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def glm(server: Server, **settings: Any) -> AsyncGenerator[GLMModel]:
    made = GLMModel("glm-5.3", api_key=KEY, base_url=server.url, **settings)
    try:
        yield made
    finally:
        await made.aclose()


async def events_of(server: Server, request: ModelRequest | None = None, **settings: Any) -> list[ModelEvent]:
    async with glm(server, **settings) as made:
        return [event async for event in made.stream(request or REQUEST)]


def frame(delta: Any = None, *, id: str = "2026a", finish: str = "", **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}} | ({"finish_reason": finish} if finish else {})
    chunk = {"id": id, "created": 1790000000, "model": "glm-5.3", "choices": [choice], **more}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


REQUEST = ModelRequest(model="glm-5.3", messages=(UserMessage(text="Hi"),))
HELLO, END = frame({"role": "assistant", "content": "Hé"}), frame({"content": "!"}, finish="stop")
DONE = b"data: [DONE]\n\n"
ANSWER = Answer(pieces=[HELLO, END, DONE])


# -- what is sent


@pytest.mark.anyio
async def test_a_request_carries_the_key_the_language_and_a_new_id(anyio_backend: str) -> None:
    async with serving(ANSWER, ANSWER) as server, glm(server) as made:
        for _ in range(2):
            _ = [event async for event in made.stream(REQUEST)]
        (headers, body), (_, second) = server.requests
    assert headers[":"] == "POST /api/paas/v4/chat/completions HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-language"] == "en-US,en"
    assert headers["content-type"] == "application/json"
    assert body["stream"] is True
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert 6 <= len(body["request_id"]) <= 64
    assert body["request_id"] != second["request_id"]
    assert server.connections == 1


@pytest.mark.anyio
async def test_a_fallback_answers_under_its_own_name(anyio_backend: str) -> None:
    async with serving(ANSWER) as server:
        await events_of(server, ModelRequest(model="glm-9", messages=REQUEST.messages))
    assert server.requests[0][1]["model"] == "glm-5.3"


@pytest.mark.anyio
async def test_what_the_model_cannot_take_is_refused_before_any_traffic(anyio_backend: str) -> None:
    picture = UserMessage(text="?", attachments=(ImagePart(url="https://x/y.png"),))
    async with serving() as server:
        for request in (
            ModelRequest(model="glm-5.3", messages=(picture,)),
            ModelRequest(model="glm-5.3", messages=REQUEST.messages, settings=ModelSettings(temperature=2)),
        ):
            with pytest.raises(ConfigurationError):
                await events_of(server, request)
        assert server.connections == 0


# -- what is read


@pytest.mark.anyio
async def test_an_answer_is_the_same_whole_and_byte_by_byte(anyio_backend: str) -> None:
    text = HELLO + END + DONE
    async with serving(Answer(pieces=[text]), Answer(pieces=[text[i : i + 1] for i in range(len(text))])) as server:
        whole, pieces = await events_of(server), await events_of(server)
    assert whole[:-1] == pieces[:-1] == [TextDelta(text="Hé"), TextDelta(text="!")]
    response = whole[-1]
    assert isinstance(response, ModelResponse)
    assert (response.text, response.finish_reason, response.model) == ("Hé!", "stop", "glm-5.3")
    assert response.request_id == server.requests[0][1]["request_id"]


@pytest.mark.anyio
async def test_a_delta_is_yielded_before_the_next_one_is_sent(anyio_backend: str) -> None:
    async with serving(Answer(pieces=[HELLO], hangs=True)) as server, glm(server) as made:
        events = made.stream(REQUEST)
        assert await anext(events) == TextDelta(text="Hé")
        await events.aclose()


@pytest.mark.anyio
async def test_a_call_is_announced_while_the_stream_is_still_coming(anyio_backend: str) -> None:
    call = {"id": "c1", "index": 0, "type": "function", "function": {"name": "add", "arguments": "{}"}}
    async with serving(Answer(pieces=[frame({"tool_calls": [call]})], hangs=True)) as server, glm(server) as made:
        events = made.stream(REQUEST)
        await anext(events)
        ready = await anext(events)
        assert isinstance(ready, ToolCallReady)
        assert ready.call.name == "add"
        await events.aclose()


@pytest.mark.anyio
async def test_a_call_that_comes_with_the_end_of_its_answer_is_in_the_answer_alone(anyio_backend: str) -> None:
    call = {"id": "c1", "index": 0, "type": "function", "function": {"name": "add", "arguments": "{}"}}
    async with serving(Answer(pieces=[frame({"tool_calls": [call]}) + END + DONE])) as server:
        events = await events_of(server)
    assert [type(event) for event in events] == [ToolCallDelta, TextDelta, ModelResponse]
    assert isinstance(events[-1], ModelResponse)
    assert [asked.name for asked in events[-1].tool_calls] == ["add"]


BODY = {"id": "b", "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "whole"}}]}


@pytest.mark.anyio
async def test_a_server_that_does_not_stream_is_understood(anyio_backend: str) -> None:
    answer = Answer(pieces=[json.dumps(BODY, indent=1).encode()], kind="application/json; charset=UTF-8")
    async with serving(answer) as server:
        events = await events_of(server)
    assert events[0] == TextDelta(text="whole")
    assert isinstance(events[-1], ModelResponse)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/octet-stream"])
@pytest.mark.anyio
async def test_a_stream_is_read_whatever_its_content_type(anyio_backend: str, kind: str) -> None:
    async with serving(Answer(pieces=[HELLO, END, DONE], kind=kind)) as server:
        assert isinstance((await events_of(server))[-1], ModelResponse)


@pytest.mark.anyio
async def test_a_second_generation_in_the_stream_is_told_as_a_retry(anyio_backend: str) -> None:
    cut = b'data: {"id":"2026a","object":"chat.c' + frame({"content": "new"}, id="B")
    async with serving(Answer(pieces=[HELLO, cut, frame(id="B", finish="stop"), DONE])) as server:
        events = await events_of(server)
    assert [type(event) for event in events] == [TextDelta, Retrying, TextDelta, ModelResponse]
    assert isinstance(retrying := events[1], Retrying)
    assert (retrying.attempt, retrying.wait_seconds) == (2, 0.0)
    assert isinstance(events[-1], ModelResponse)
    assert events[-1].text == "new"


@pytest.mark.anyio
async def test_calls_rescued_from_the_text_are_noticed(anyio_backend: str) -> None:
    tools = (ToolSpec(name="now", description="", parameters={"type": "object"}),)
    async with serving(
        Answer(pieces=[frame({"content": "<tool_call>now</tool_call>"}, finish="stop"), DONE])
    ) as server:
        events = await events_of(server, ModelRequest(model="glm-5.3", messages=REQUEST.messages, tools=tools))
    assert isinstance(events[-2], Notice)
    assert isinstance(events[-1], ModelResponse)
    assert events[-1].tool_calls[0].name == "now"


COMPLETE = {
    "cut after the last chunk": Answer(pieces=[HELLO, END], is_cut=True),
    "cut after [DONE]": Answer(pieces=[HELLO, END, DONE], is_cut=True),
    "held open after the last chunk": Answer(pieces=[HELLO, END], hangs=True),
    "held open after [DONE]": Answer(pieces=[HELLO, END, DONE], hangs=True),
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.anyio
async def test_a_complete_answer_counts_however_its_stream_ends(
    anyio_backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "GRACE_SECONDS", 0.05)
    async with serving(COMPLETE[name]) as server:
        assert isinstance((await events_of(server))[-1], ModelResponse)


# -- what fails


async def failure_of(answer: Answer, **settings: Any) -> ModelError:
    async with serving(answer) as server:
        with pytest.raises(ModelError) as caught:
            await events_of(server, **settings)
    assert KEY not in f"{caught.value!r}"
    return caught.value


def problem(code: str, message: str = "no") -> list[bytes]:
    return [json.dumps({"error": {"code": code, "message": message}}).encode()]


FAILURES: dict[str, tuple[Answer, type[ModelError], bool]] = {
    "1113 with 429": (Answer(status=429, pieces=problem("1113"), kind="application/json"), QuotaExhausted, False),
    "1302 with 429": (Answer(status=429, pieces=problem("1302"), kind="application/json"), RateLimited, True),
    "1000 with 401": (Answer(status=401, pieces=problem("1000", f"bad {KEY}")), AuthenticationError, False),
    "1261 with 400": (Answer(status=400, pieces=problem("1261")), ContextOverflow, False),
    "1301 with 400": (Answer(status=400, pieces=problem("1301")), ContentFiltered, False),
    "a gateway's page": (Answer(status=502, pieces=[b"<html>Bad"], kind="text/html"), ModelStatusError, True),
    "no body": (Answer(status=503), ModelStatusError, True),
    "moved": (Answer(status=301, headers={"location": "https://x.invalid/"}), ModelStatusError, False),
    "1302 with 200, as JSON": (Answer(pieces=problem("1302"), kind="application/json"), RateLimited, True),
    "1302 in the stream": (Answer(pieces=[HELLO, b"data: " + problem("1302")[0] + b"\n\n"]), RateLimited, True),
    "a page with 200": (Answer(pieces=[b"<html>Sign in"], kind="text/html"), ModelProtocolError, False),
    "JSON that is no answer": (Answer(pieces=[b"[1]"], kind="application/json"), ModelProtocolError, True),
    "JSON that is cut": (Answer(pieces=[b'{"id":'], kind="application/json"), ModelProtocolError, True),
    "JSON without choices": (Answer(pieces=[b'{"id":"x"}'], kind="application/json"), ModelProtocolError, True),
    "no stream at all": (Answer(), ModelProtocolError, True),
    "cut in the middle": (Answer(pieces=[HELLO], is_cut=True), ModelConnectionError, True),
    "over in the middle": (Answer(pieces=[HELLO]), ModelProtocolError, True),
    "over with [DONE]": (Answer(pieces=[HELLO, DONE]), ModelProtocolError, True),
    "no frame": (Answer(pieces=[b"data: {nothing\n\n", END, DONE]), ModelProtocolError, True),
    "another encoding": (Answer(pieces=[HELLO], headers={"content-encoding": "gzip"}), ModelProtocolError, True),
    "no HTTP": (Answer(headers={"x": "y\r\nbroken"}), ModelConnectionError, True),
    "silence": (Answer(pieces=[HELLO], hangs=True), ModelTimeout, True),
    "silence after the head": (Answer(hangs=True), ModelTimeout, True),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.anyio
async def test_every_failure_is_an_error_of_ours_that_says_whether_to_try_again(anyio_backend: str, name: str) -> None:
    answer, kind, is_retryable = FAILURES[name]
    error = await failure_of(answer, idle_timeout_seconds=0.2 if answer.hangs else 300.0)
    assert type(error) is kind
    assert error.is_retryable is is_retryable


FINISHES: list[tuple[str, type[ModelError], bool]] = [
    ("network_error", ModelConnectionError, True),
    ("model_context_window_exceeded", ContextOverflow, False),
    ("sensitive", ContentFiltered, False),
]


@pytest.mark.parametrize(("finish", "kind", "is_retryable"), FINISHES)
@pytest.mark.anyio
async def test_a_failing_finish_reason_is_raised_with_the_answer(
    anyio_backend: str, finish: str, kind: type[ModelError], is_retryable: bool
) -> None:
    error = await failure_of(Answer(pieces=[HELLO, frame(finish=finish), DONE]))
    assert (type(error), error.is_retryable) == (kind, is_retryable)
    assert isinstance(error.response, ModelResponse)
    assert (error.response.text, error.response.finish_reason) == ("Hé", finish)


@pytest.mark.anyio
async def test_the_wait_that_the_server_asks_for_is_passed_on(anyio_backend: str) -> None:
    error = await failure_of(Answer(status=429, headers={"retry-after": "7"}))
    assert isinstance(error, ModelStatusError)
    assert error.retry_after_seconds == 7


@pytest.mark.anyio
async def test_noise_does_not_keep_a_dead_answer_alive(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10**6, 120))
    monkeypatch.setattr(model, "monotonic", lambda: float(next(now)))
    answer = Answer(pieces=[HELLO, *[b": alive\n\n"] * 50], hangs=True)
    error = await failure_of(answer)
    assert type(error) is ModelTimeout


@pytest.mark.anyio
async def test_nobody_listening_is_worth_another_try(anyio_backend: str) -> None:
    async with serving() as server:
        pass
    with pytest.raises(ModelConnectionError, match="no connection to 'http://127") as caught:
        await events_of(server)
    assert caught.value.is_retryable


@pytest.mark.anyio
async def test_cancelling_closes_the_connection(anyio_backend: str) -> None:
    async with serving(Answer(pieces=[HELLO], hangs=True)) as server, glm(server) as made:
        with anyio.move_on_after(10) as scope:
            async for _ in made.stream(REQUEST):
                scope.cancel()
        assert scope.cancelled_caught
        await server.hung_up.wait()


# -- the client


@pytest.mark.anyio
async def test_many_requests_at_once_go_side_by_side_and_leave_connections_for_later_ones(anyio_backend: str) -> None:
    async with serving(*[ANSWER] * 12) as server, glm(server) as made:

        async def one() -> None:
            assert isinstance([event async for event in made.stream(REQUEST)][-1], ModelResponse)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
        await one()
        await one()
        assert server.connections <= 10


@pytest.mark.anyio
async def test_a_client_that_was_passed_in_is_used_and_left_open(anyio_backend: str) -> None:
    async with serving(ANSWER) as server, httpx2.AsyncClient(headers={"x-mine": "1"}, trust_env=False) as client:
        await events_of(server, client=client)
        assert server.requests[0][0]["x-mine"] == "1"
        assert not client.is_closed
    with pytest.raises(ConfigurationError, match="client= is closed"):
        await events_of(server, client=client)


@pytest.mark.anyio
async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serving(ANSWER) as server:
        assert isinstance((await events_of(server))[-1], ModelResponse)


@pytest.mark.parametrize("key", ["", "  "])
def test_without_a_key_the_error_names_the_variables_and_the_simulator(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GLMModel("glm-5.3", api_key=key)
    for word in ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY", "simulate:"):
        assert word in str(caught.value)
    assert GLMModel("glm-5.3", api_key=key, dialect="vllm").name == "glm-5.3"


@pytest.mark.parametrize("key", ["a b", "schlüssel", "a\nb"])
def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError, match="copy it again") as caught:
        GLMModel("glm-5.3", api_key=key)
    assert key not in str(caught.value)


def test_the_key_is_in_no_representation() -> None:
    made = GLMModel("glm-5.3", api_key=KEY)
    assert "s3cr3t" not in f"{made!r}{made}"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", "https://api.z.ai/api/paas/v4/chat/completions"),
        ("http://x/v1/", "http://x/v1/chat/completions"),
        ("http://x/v1/chat/completions", "http://x/v1/chat/completions"),
    ],
)
def test_the_address_is_completed(given: str, url: str) -> None:
    assert f"url='{url}'" in repr(GLMModel("glm-5.3", api_key=KEY, base_url=given))


@pytest.mark.parametrize("url", ["api.z.ai", "ftp://x", "http://", "https://[", "file:///x"])
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        GLMModel("glm-5.3", api_key=KEY, base_url=url)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="known are zai"):
        GLMModel("glm-5.3", api_key=KEY, dialect="nobody")


# -- foreign exceptions


def exceptions_of_httpx2() -> list[type[Exception]]:
    public = (getattr(httpx2, name) for name in dir(httpx2))
    return [
        item
        for item in public
        if inspect.isclass(item) and issubclass(item, Exception) and not issubclass(item, Warning)
    ]


def raised(kind: type[Exception]) -> Exception:
    if issubclass(kind, httpx2.HTTPStatusError):
        request = httpx2.Request("POST", "http://x")
        return kind("bad", request=request, response=httpx2.Response(429, request=request))
    error = kind.__new__(kind)
    Exception.__init__(error, f"said with {KEY}")
    return error


MAPPED: dict[type[Exception], tuple[type[AgentError], bool]] = {
    httpx2.ConnectTimeout: (ModelTimeout, True),
    httpx2.ReadTimeout: (ModelTimeout, True),
    httpx2.WriteTimeout: (ModelTimeout, True),
    httpx2.PoolTimeout: (ModelTimeout, True),
    httpx2.ConnectError: (ModelConnectionError, True),
    httpx2.ReadError: (ModelConnectionError, True),
    httpx2.WriteError: (ModelConnectionError, True),
    httpx2.CloseError: (ModelConnectionError, True),
    httpx2.RemoteProtocolError: (ModelConnectionError, True),
    httpx2.ProxyError: (ModelConnectionError, True),
    httpx2.DecodingError: (ModelProtocolError, True),
    httpx2.TooManyRedirects: (ModelConnectionError, False),
    httpx2.HTTPStatusError: (RateLimited, True),
    httpx2.LocalProtocolError: (ConfigurationError, False),
    httpx2.UnsupportedProtocol: (ConfigurationError, False),
    httpx2.InvalidURL: (ConfigurationError, False),
}


@pytest.mark.parametrize("kind", exceptions_of_httpx2())
def test_every_exception_of_the_http_client_becomes_ours(kind: type[Exception]) -> None:
    assert issubclass(kind, (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, httpx2.CookieConflict))
    error = transport_error(raised(kind), url="https://x", request_id="r1", secrets=(KEY,))
    assert isinstance(error, (ModelError, ConfigurationError))
    assert "s3cr3t" not in str(error)
    expected, is_retryable = MAPPED.get(kind, (AgentError, False))
    assert isinstance(error, expected)
    if kind in MAPPED:
        assert getattr(error, "is_retryable", False) is is_retryable


def test_a_certificate_that_is_not_accepted_is_not_tried_again() -> None:
    error = httpx2.ConnectError("handshake")
    error.__cause__ = OSError("x")
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    mapped = transport_error(error, url="https://x")
    assert isinstance(mapped, ModelConnectionError)
    assert not mapped.is_retryable
    assert "certificate" in str(mapped)


@pytest.mark.parametrize(("said", "is_retryable"), [("407 Proxy Authentication Required", False), ("503 Busy", True)])
def test_a_proxy_that_refuses_the_user_is_not_asked_again(said: str, is_retryable: bool) -> None:
    mapped = transport_error(httpx2.ProxyError(said), url="https://x")
    assert isinstance(mapped, ModelConnectionError)
    assert mapped.is_retryable is is_retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": "nonsense"}, None),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds
