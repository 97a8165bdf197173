"""Who comes in over HTTP, what becomes of sessions nobody uses, and how a server that is told to stop ends."""

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream
from mcp import Client, StdioServerParameters

from glm_agent import ToolRegistry, tool
from glm_agent.errors import AgentError, ConfigurationError
from glm_agent.serve.listen import is_loopback, serve_http
from glm_agent.serve.server import ToolServer
from glm_agent.serve.sessions import Sessions
from glm_agent.serve.stdin import lines

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from serving import TOOLS, command, served

SECONDS = 120
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CALL = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": META}
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL})
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "add",
}
RAN: list[int] = []


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    RAN.append(a + b)
    return a + b


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[int]:
    """The port of a server."""
    found: list[str] = []
    ready = anyio.Event()

    def on_ready(url: str) -> None:
        found.append(url)
        ready.set()

    server = ToolServer(ToolRegistry([add])).server
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: serve_http(server, on_ready=on_ready, **settings))
        with anyio.fail_after(SECONDS):
            await ready.wait()
            yield int(found[0].split(":")[2].partition("/")[0])
        tasks.cancel_scope.cancel()


async def status(port: int, *lines: str, without: str = "", body: str = BODY, method: str = "POST") -> int:
    """The status of a request as these bytes say it: no client mends what is sent."""
    given = {line.partition(":")[0].lower() for line in lines} | {without.lower()}
    standard = {"Host": f"127.0.0.1:{port}", **HEADERS, "Content-Length": str(len(body)), "Connection": "close"}
    kept = [f"{name}: {value}" for name, value in standard.items() if name.lower() not in given]
    request = "\r\n".join([f"{method} /mcp HTTP/1.1", *kept, *lines, "", body])
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request.encode("latin-1"))
        return int((await everything_from(stream)).split(b" ", 2)[1])


async def everything_from(stream: SocketStream) -> bytes:
    parts: list[bytes] = []
    with anyio.fail_after(SECONDS):
        while True:
            try:
                parts.append(await stream.receive())
            except anyio.EndOfStream:
                return b"".join(parts)


HOSTS = (
    "evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1:80@evil.example",
    "localhost.evil.example",
    "localhost:80.evil.example",
    "[::1].evil.example",
    "0.0.0.0",
    "127.1",
    "",
)
ORIGINS = (
    "https://evil.example",
    "http://localhost.evil.example",
    "http://localhost:80.evil.example",
    "http://127.0.0.1@evil.example",
    "http://user@localhost",
    "file://",
    "null",
    "",
)


@pytest.mark.anyio
async def test_what_was_sent_to_another_name_or_by_a_foreign_page_is_turned_away() -> None:
    before = len(RAN)
    async with listening() as port:
        assert {host: await status(port, f"Host: {host}") for host in HOSTS} == dict.fromkeys(HOSTS, 421)
        assert {origin: await status(port, f"Origin: {origin}") for origin in ORIGINS} == dict.fromkeys(ORIGINS, 403)
        assert await status(port, "Origin: http://localhost", "Origin: https://evil.example") == 403
        assert await status(port, f"Host: localhost:{port}", "Host: evil.example") == 400
        assert await status(port, without="Host") == 400
        assert len(RAN) == before
        for host in (f"127.0.0.1:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "localhost"):
            assert await status(port, f"Host: {host}", "Origin: http://localhost:3000") == 200
    assert len(RAN) == before + 4


@pytest.mark.anyio
async def test_what_a_form_of_a_page_can_send_is_no_request() -> None:
    before = len(RAN)
    async with listening() as port:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            assert await status(port, f"Content-Type: {kind}") == 400
        assert await status(port, "Origin: http://localhost", method="OPTIONS") == 405
    assert len(RAN) == before


@pytest.mark.anyio
async def test_white_space_around_a_header_does_not_count() -> None:
    async with listening() as port:
        assert await status(port, "Mcp-Name:   add  ") == 200


@pytest.mark.anyio
async def test_only_the_token_opens_the_door() -> None:
    before = len(RAN)
    wrong = ("", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "Basic s3cret", "Bearer \xff")
    async with listening(token="s3cret") as port:
        assert {given: await status(port, f"Authorization: {given}") for given in wrong} == dict.fromkeys(wrong, 401)
        assert await status(port, "Authorization: Bearer s3cret", "Authorization: Bearer s3cret") == 401
        assert await status(port, f"Authorization: Bearer {'x' * 20_000}") == 401
        assert await status(port, "Authorization: Bearer s3cret", "Host: evil.example") == 421
        assert len(RAN) == before
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert await status(port, f"Authorization: {scheme} s3cret") == 200


@pytest.mark.anyio
async def test_what_cannot_be_read_is_refused_and_the_next_request_is_answered() -> None:
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    before = len(RAN)
    async with listening() as port:
        for body in ("", "{", f"[{BODY}]", "[" * 100_000, BODY.replace('{"a": 1, "b": 2}', deep), "null", "\xff"):
            assert await status(port, body=body) == 400
        for method in ("PUT", "GET", "DELETE"):
            assert await status(port, method=method) == 405
        assert await status(port, "Mcp-Session-Id: guessed", "MCP-Protocol-Version: 2025-11-25") == 404
        assert len(RAN) == before
        assert await status(port) == 200


def test_this_machine_is_known_by_its_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")))


class Stub:
    """Opens a session for who has none, ends one when told to, and answers others once they may."""

    def __init__(self) -> None:
        self.open: list[bytes] = []
        self.may_answer = anyio.Event()
        self._numbers = itertools.count()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        session = dict(scope["headers"]).get(b"mcp-session-id")
        if scope["method"] == "DELETE":
            self.open.remove(session)
        elif session is None:
            session = b"%d" % next(self._numbers)
            self.open.append(session)
        elif scope["method"] == "GET":
            await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"mcp-session-id", session)]})


async def request(app: Any, method: str = "POST", session: str = "") -> None:
    async def nothing(*_: Any) -> Any:
        return {"type": "http.request"}

    headers = [(b"mcp-session-id", session.encode())] if session else []
    await app({"type": "http", "method": method, "headers": headers}, nothing, nothing)


@pytest.mark.anyio
async def test_the_session_that_was_used_longest_ago_makes_room_for_a_new_one() -> None:
    stub = Stub()
    app = Sessions(stub, limit=3)
    for _ in range(3):
        await request(app)
    await request(app, session="0")
    for _ in range(2):
        await request(app)
    assert stub.open == [b"0", b"3", b"4"]
    await request(app, "DELETE", session="3")
    await request(app)
    assert stub.open == [b"0", b"4", b"5"]


@pytest.mark.anyio
async def test_a_session_in_use_is_not_ended() -> None:
    stub = Stub()
    app = Sessions(stub, limit=2)
    await request(app)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(request, app, "GET", "0")
        await anyio.wait_all_tasks_blocked()
        for _ in range(4):
            await request(app)
        assert stub.open == [b"0", b"4"]
        stub.may_answer.set()


def say(process: subprocess.Popen[bytes], message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


@contextmanager
def opened(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A server that has answered its client's first message; in the end it has left without a word."""
    (folder / "tools.py").write_text(TOOLS)
    pipe = subprocess.PIPE
    with subprocess.Popen(command("./tools.py"), cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            say(process, OPENING)
            assert b"protocolVersion" in process.stdout.readline()
            yield process
        finally:
            process.kill()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_whose_input_stays_open(number: signal.Signals, tmp_path: Path) -> None:
    with opened(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(SECONDS) == 128 + number


@pytest.mark.anyio
async def test_a_program_that_a_tool_starts_eats_no_messages(tmp_path: Path) -> None:
    drain = "import subprocess\nfrom glm_agent import tool\n\n@tool\ndef drain() -> str:\n"
    drain += '    """Read standard input."""\n    return f"{subprocess.check_output([\'cat\'])}"\n'
    await anyio.Path(tmp_path / "tools.py").write_text(drain)
    program, *arguments = command("./tools.py")
    with anyio.fail_after(SECONDS):
        async with Client(StdioServerParameters(command=program, args=arguments, cwd=tmp_path)) as client:
            for _ in range(2):
                result = await client.call_tool("drain", {})
                assert result.content[0].text == "b''"  # type: ignore[union-attr]


def test_what_a_file_holds_is_answered_also_without_a_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "requests").write_text(json.dumps(OPENING))
    with (tmp_path / "requests").open() as given:
        done = subprocess.run(
            command("./tools.py"), cwd=tmp_path, stdin=given, capture_output=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 0
    assert b"protocolVersion" in done.stdout


def test_an_input_that_holds_nothing_ends_the_server_at_once(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    done = subprocess.run(
        command("./tools.py"),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_client_that_leaves_before_its_answer_ends_the_server_without_a_word(tmp_path: Path) -> None:
    with opened(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        say(process, {"jsonrpc": "2.0", "id": 2, "method": "ping"})
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("stdout", "code", "said"),
    [
        ("/dev/full", 1, "error: the answers cannot be written to standard output: No space left on device\n"),
        ("/dev/null", 2, "error: standard output is closed, or leads nowhere: no client can read the answers"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing_is_one_line(stdout: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    with open(stdout, "wb") as nowhere:
        done = subprocess.run(
            command("./tools.py"),
            cwd=tmp_path,
            input=json.dumps(OPENING).encode() + b"\n",
            stdout=nowhere,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (code, 1)
    assert done.stderr.decode().startswith(said)


@pytest.mark.anyio
async def test_an_input_without_lines_ends_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glm_agent.serve.stdin.MAX_MESSAGE", 1 << 20)
    with open("/dev/zero", "rb") as endless, pytest.raises(AgentError, match="a line of more than 1 MiB"):  # noqa: ASYNC230
        await anext(lines(endless.fileno()))


@pytest.mark.anyio
@pytest.mark.parametrize("where", [{"port": 99_999}, {"host": "é" * 80, "token": "t", "port": 0}])
async def test_an_address_that_cannot_be_listened_on_is_named(where: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be listened on"):
        await serve_http(ToolServer(ToolRegistry([add])).server, **where)


OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", "forever"])
async def test_a_signal_ends_a_server_that_somebody_listens_to_or_calls(name: str, tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "tools.py").write_text(TOOLS)
    accept = {"accept": "application/json, text/event-stream"}
    with served("./tools.py", folder=tmp_path) as server:
        async with httpx2.AsyncClient(trust_env=False, headers=accept, timeout=SECONDS) as client:
            opened = await client.post(server.url, json=OPENING)
            session = {"mcp-session-id": opened.headers["mcp-session-id"]}
            await client.post(
                server.url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session
            )
            call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name, "arguments": {}}}
            method, body = ("POST", call) if name else ("GET", None)
            async with client.stream(method, server.url, json=body, headers=session) as listening:
                server.process.send_signal(signal.SIGTERM)
                with anyio.fail_after(SECONDS):
                    await listening.aread()
        code, said = await anyio.to_thread.run_sync(server.ended)
    assert code == 128 + signal.SIGTERM
    assert len(said.splitlines()) == 1, said
