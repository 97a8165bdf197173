"""Connections over HTTP, to real servers on loopback: both protocols, the older transport, and failures."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from glm_agent.errors import MCPServerError
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Refused, ServerDied
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.servers import MCPServers
from glm_agent.messages import ImagePart, ToolCall, ToolProgress, ToolResult
from glm_agent.registry import ToolContext

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from legacy_http import legacy_server
from threaded import threaded

# The SDK leaves the streams of HTTP responses to the garbage collector; trio warns of that.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <async_generator object .*(aiter|__aiter__):pytest.PytestUnraisableExceptionWarning"
)

SDK = str(Path(__file__).parent / "servers" / "sdk.py")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@contextmanager
def sdk_server(kind: str, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of an SDK server, and its process."""
    with subprocess.Popen([sys.executable, SDK, kind, str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    with sdk_server("http") as (port, _):
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(scope="module")
def sse_url() -> Iterator[str]:
    with sdk_server("sse") as (port, _):
        yield f"http://127.0.0.1:{port}/sse"


def config(url: str, **settings: object) -> ServerConfig:
    settings = {"timeout_seconds": 60.0, "startup_timeout_seconds": 60.0, "transport": "http", **settings}
    return ServerConfig(name="h", url=url, **settings)  # type: ignore[arg-type]


async def call_all(source: object) -> tuple[dict[str, ToolResult], list[ToolProgress]]:
    """The results of one call to each of the SDK server's tools."""
    seen: list[ToolProgress] = []
    results: dict[str, ToolResult] = {}
    arguments = {
        "add": '{"a": 1, "b": "2"}',
        "repeat": '{"text": "x", "times": 2000000}',
        "fail": '{"reason": "on purpose"}',
        "picture": "{}",
        "count": '{"to": 2}',
    }
    async with MCPServers.read([source]) as servers:
        with anyio.fail_after(60):
            tools = {tool.listed.name: tool for tool in await servers.tools()}
            for name, text in arguments.items():
                call = ToolCall(id=name, name=tools[name].spec.name, arguments=text)
                results[name] = await tools[name].run(call, ToolContext(call=call, emit=seen.append))  # type: ignore[arg-type]
            while len(seen) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.01)
    return results, seen


def check(results: dict[str, ToolResult], seen: list[ToolProgress]) -> None:
    assert results["add"].content == "3"
    assert len(results["repeat"].content) == 2_000_000
    assert results["fail"].is_error
    assert "on purpose" in results["fail"].content
    assert isinstance(results["picture"].attachments[0], ImagePart)
    assert results["count"].content == "counted to 2"
    assert [(event.text, event.done) for event in seen] == [("step 1", 1.0), ("step 2", 2.0)]


@pytest.mark.anyio
async def test_a_streamable_server_gives_text_pictures_errors_progress_and_large_results(http_url: str) -> None:
    check(*await call_all(http_url))


@pytest.mark.anyio
async def test_an_address_of_the_older_transport_is_found_out(sse_url: str) -> None:
    check(*await call_all(sse_url))


@pytest.mark.anyio
async def test_the_older_transport_can_be_said(sse_url: str) -> None:
    check(*await call_all({"type": "sse", "url": sse_url}))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["http", "sse", "stdio"])
async def test_an_answer_that_is_too_long_says_so_on_every_transport_and_the_next_call_is_answered(
    kind: str, http_url: str, sse_url: str
) -> None:
    program = {"command": sys.executable, "args": [SDK, "stdio"]}
    entry = {"http": {"url": http_url}, "sse": {"type": "sse", "url": sse_url}, "stdio": program}[kind]
    await check_limit({**entry, "name": "s", "max_message_mb": 1}, "repeat", {"text": "x", "times": 1 << 20})


@pytest.mark.anyio
async def test_an_answer_in_json_that_is_too_long_says_the_same() -> None:
    with legacy_server() as server:
        await check_limit({"url": server.url, "name": "s", "max_message_mb": 1}, "echo", {"text": "x" * (1 << 20)})


async def check_limit(source: object, name: str, large: dict[str, object]) -> None:
    async with MCPServers.read([source]) as servers:
        with anyio.fail_after(60):
            tools = {tool.listed.name: tool for tool in await servers.tools()}
            call = ToolCall(id="c", name=name, arguments=json.dumps(large))
            refused = await tools[name].run(call, ToolContext(call=call))
            small = ToolCall(id="d", name=name, arguments='{"text": "x", "times": 3}')
            answered = await tools[name].run(small, ToolContext(call=small))
    said = 'its answer has more than 1 MiB. To allow more, put "max_message_mb": 2 into its entry'
    assert refused.content == f"the call ran, but {said}."
    assert refused.is_error
    assert not answered.is_error
    assert "x" in answered.content


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_sdk_over_standard_input_gives_the_same() -> None:
    check(*await call_all({"command": sys.executable, "args": [SDK, "stdio"]}))


@pytest.mark.anyio
async def test_a_server_object_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdk import build

    server = build("mine")
    check(*await call_all(server))
    async with MCPServers.read([server]) as servers:
        assert (await servers.tools())[0].spec.name == "mine__add"


@pytest.mark.anyio
async def test_calls_run_side_by_side(http_url: str) -> None:
    connection = ServerConnection(config(http_url))
    await connection.start()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(connection.call, "meet", {"count": 20})
    await connection.aclose()


@pytest.mark.anyio
async def test_a_server_that_comes_back_is_used_again() -> None:
    with sdk_server("http") as (port, _):
        connection = ServerConnection(config(f"http://127.0.0.1:{port}/mcp"))
        assert (await connection.call("add", {"a": 1, "b": 1})).structured_content == {"result": 2}
    with pytest.raises(ServerDied, match="cannot be reached") as caught:
        await connection.call("add", {"a": 1, "b": 1})
    assert not caught.value.may_have_run
    with sdk_server("http", port):
        assert (await connection.call("add", {"a": 2, "b": 1})).structured_content == {"result": 3}
        await connection.aclose()


@pytest.mark.anyio
async def test_a_server_that_dies_in_a_call_may_have_run_it() -> None:
    with sdk_server("http") as (port, process):
        connection = ServerConnection(config(f"http://127.0.0.1:{port}/mcp"))
        await connection.start()
        outcomes: list[ServerDied] = []
        is_under_way = anyio.Event()

        async def progress(done: float, total: float | None, message: str | None) -> None:
            is_under_way.set()

        async def call() -> None:
            try:
                await connection.call("wait", {}, progress=progress)
            except ServerDied as error:
                outcomes.append(error)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await is_under_way.wait()
                process.kill()
        assert [outcome.may_have_run for outcome in outcomes] == [True]
        await connection.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("status", [404, 400])
async def test_a_lost_session_is_begun_anew_and_the_call_runs_once(status: int) -> None:
    with legacy_server() as server:
        server.lost_status = status
        connection = ServerConnection(config(server.url, headers={"X-Key": "k"}))
        assert [tool.name for tool in await connection.tools()] == ["echo", "odd"]
        server.sessions.clear()
        assert (await connection.call("echo", {"n": 1})).content
        assert server.calls == [{"n": 1}]
        assert all(headers["x-key"] == "k" for headers in server.headers)
        await connection.aclose()
        assert server.sessions == set(), "closing ends the session on the server"


@pytest.mark.anyio
async def test_what_is_read_is_asked_again_in_a_new_session() -> None:
    with legacy_server() as server:
        connection = ServerConnection(config(server.url))
        await connection.start()
        link = connection.openings.link
        assert link is not None
        link.changes.heard()
        server.sessions.clear()
        with anyio.fail_after(60):
            assert [tool.name for tool in await connection.tools()] == ["echo", "odd"]
        await connection.aclose()


@pytest.mark.anyio
async def test_a_failed_request_costs_that_request_only() -> None:
    with legacy_server() as server:
        connection = ServerConnection(config(server.url))
        await connection.start()
        server.failures = [
            (500, "text/html", b"<html>" + b"x" * 5000),
            (503, "text/plain", b"down \x1b[31mfor\x1b[0m repairs"),
            (200, "application/json", b"{not json"),
            (200, "text/html", b"<html>"),
            (202, "application/json", b""),
        ]
        said: list[str] = []
        for _ in range(5):
            with pytest.raises(Refused) as caught:
                await connection.call("echo", {})
            said.append(str(caught.value))
        assert said[0] == "HTTP 500 Internal Server Error"
        assert said[1] == "HTTP 503 Service Unavailable: down for repairs"
        server.drops = 1
        with pytest.raises(ServerDied) as died:
            await connection.call("echo", {})
        assert died.value.may_have_run
        assert (await connection.call("echo", {"n": 2})).content
        assert connection.state == "ready"
        await connection.aclose()


@pytest.mark.anyio
async def test_a_refused_key_says_what_to_do() -> None:
    with legacy_server() as server:
        server.is_locked = True
        with pytest.raises(MCPServerError, match="HTTP 401 Unauthorized: put a valid key into 'headers'"):
            await ServerConnection(config(server.url + "?key=hidden")).tools()


@pytest.mark.anyio
async def test_nobody_listening_is_an_error_without_secrets() -> None:
    with pytest.raises(MCPServerError, match="cannot be reached") as caught:
        await ServerConnection(config("http://me:hidden@127.0.0.1:9/mcp?key=hidden")).tools()
    assert "hidden" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_time_server_answers() -> None:
    async with MCPServers.read(["mcp-server-time --local-timezone UTC"]) as servers:
        with anyio.fail_after(60):
            tools = {tool.spec.name: tool for tool in await servers.tools()}
            assert set(tools) == {"time__get_current_time", "time__convert_time"}
            call = ToolCall(id="1", name="time__get_current_time", arguments='{"timezone": "UTC"}')
            result = await tools[call.name].run(call, ToolContext(call=call))
    assert not result.is_error
    assert '"timezone": "UTC"' in result.content


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_git_server_reads_a_repository(tmp_path: Path) -> None:
    await anyio.run_process(["git", "init", "-q", str(tmp_path)])
    (tmp_path / "new.txt").write_text("new", encoding="utf-8")
    async with MCPServers.read([f"mcp-server-git --repository {tmp_path}"]) as servers:
        with anyio.fail_after(60):
            tools = {tool.spec.name: tool for tool in await servers.tools()}
            call = ToolCall(id="1", name="git__git_status", arguments=f'{{"repo_path": "{tmp_path}"}}')
            result = await tools[call.name].run(call, ToolContext(call=call))
    assert len(tools) == 12
    assert "new.txt" in result.content


class Moving(BaseHTTPRequestHandler):
    """Sends every POST to another address: ``/mcp`` to ``/mcp/``, and ``/away`` to another host."""

    seen: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(self.path)
        if self.path != "/mcp/":
            port = self.server.server_address[1]
            self.send_response(307)
            self.send_header("location", "/mcp/" if self.path == "/mcp" else f"http://localhost:{port}/mcp/")
            self.end_headers()
            return
        request = json.loads(body)
        error = {"code": -32601, "message": f"not here: {request['method']}"}
        answer = json.dumps({"jsonrpc": "2.0", "id": request.get("id"), "error": error}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "said"),
    [("mcp", "not here: initialize"), ("away", r"HTTP 307 .*: it has moved to 'http://localhost:\d+/mcp/'")],
)
async def test_a_redirect_is_followed_on_the_same_server_and_named_elsewhere(path: str, said: str) -> None:
    handler = type("Handler", (Moving,), {"seen": []})
    with threaded(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        connection = ServerConnection(config(f"http://127.0.0.1:{server.server_port}/{path}"))
        with anyio.fail_after(60), pytest.raises(MCPServerError, match=said):
            await connection.start()
    assert ("/mcp/" in handler.seen) == (path == "mcp")


JSON = "application/json"
DEEP = (
    b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ok"}],"x":' + b"[" * 300 + b"]" * 300 + b"}}"
)
RESULT = b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"ok"}]}}'
UNREAD = "the call ran, but its answer cannot be read: "
NO_MCP = "which is no MCP. Check the address in 'url'"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "kind", "body", "said"),
    [
        (200, "text/html; charset=utf-8", b"<!doctype html>", f"it answers with a web page, {NO_MCP}"),
        (200, "", b"", f"it answers with something without a type, {NO_MCP}"),
        (200, JSON, b"", f"{UNREAD}Expecting value."),
        (200, JSON, b'{"jsonrpc":"2.0","id":', f"{UNREAD}Expecting value."),
        (200, JSON, b'{"hello": "world"}', f"{UNREAD}it is no message of the protocol."),
        (200, JSON, RESULT % (b"9" * 5000), f"{UNREAD}it has a number that is too long."),
        (200, JSON, b"[" * 5000, f"{UNREAD}it is nested too deeply."),
        (200, "text/event-stream", b"data: {]\n\n", f"{UNREAD}it is no message of the protocol."),
        (404, "text/html", b"<html>", "HTTP 404"),
    ],
)
async def test_an_answer_that_is_none_is_one_sentence_and_the_next_call_is_answered(
    status: int, kind: str, body: bytes, said: str
) -> None:
    with legacy_server() as server:
        async with MCPServers.read([{"url": server.url, "name": "s"}]) as servers:
            with anyio.fail_after(120):
                tool = next(iter(await servers.tools()))
                for failures, expected in (([(status, kind, body)], said), ([], '{"n": 1}')):
                    server.failures = failures
                    call = ToolCall(id="c", name=tool.spec.name, arguments='{"n": 1}')
                    content = (await tool.run(call, ToolContext(call=call))).content
                    assert expected in content or status == 404
                    assert "pydantic" not in content


@pytest.mark.anyio
@pytest.mark.parametrize("body", [RESULT % b"777", RESULT % b"null", b"[" + RESULT % b"1" + b"]", DEEP], ids=range(4))
async def test_an_answer_that_is_nearly_right_is_taken(body: bytes) -> None:
    with legacy_server() as server:
        server.failures = [(200, JSON, body)]
        async with MCPServers.read([{"url": server.url, "name": "s"}]) as servers:
            with anyio.fail_after(120):
                tool = next(iter(await servers.tools()))
                call = ToolCall(id="c", name=tool.spec.name, arguments="{}")
                assert (await tool.run(call, ToolContext(call=call))).content == "ok"
