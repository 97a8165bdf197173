"""Connections to real servers that behave badly: what a fault costs, what is said, and what is left over."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from glm_agent.errors import MCPServerError
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Refused, ServerDied
from glm_agent.mcp.restarts import Restarts
from glm_agent.mcp.server import ServerConnection, ToolTimeout
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.tools import IDEMPOTENCY_KEY, MCPTool
from glm_agent.messages import Event, Notice, ToolCall, ToolResult
from glm_agent.registry import ToolContext

NASTY = str(Path(__file__).parent / "servers" / "nasty.py")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    path = tmp_path / "starts"
    path.touch()
    return path


def nasty(fault: str, starts: Path | None = None, **settings: object) -> ServerConfig:
    args = (NASTY, fault, *([str(starts)] if starts else []))
    limits = {"timeout_seconds": 60.0, "startup_timeout_seconds": 60.0}
    return ServerConfig(name="n", command=sys.executable, args=args, **(limits | settings))  # type: ignore[arg-type]


@asynccontextmanager
async def running(config: ServerConfig, *, events: list[Event] | None = None) -> AsyncIterator[dict[str, MCPTool]]:
    on_event = (events if events is not None else []).append
    async with MCPServers([config], on_event=on_event) as servers:
        with anyio.fail_after(60):
            yield {tool.listed.name: tool for tool in await servers.tools()}


async def run(
    tool: MCPTool, arguments: str = '{"n": 1}', *, key: str = "", seen: list[Event] | None = None
) -> ToolResult:
    call = ToolCall(id="c", name=tool.spec.name, arguments=arguments)
    emit = (seen if seen is not None else []).append
    with anyio.fail_after(60):
        return await tool.run(call, ToolContext(call=call, idempotency_key=key, emit=emit))


async def until(is_so: Callable[[], bool]) -> None:
    """Processes give no event when they end; the wait is bounded."""
    with anyio.fail_after(60):
        while not is_so():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids(starts: Path) -> list[int]:
    return [int(line) for line in starts.read_text().splitlines()]


# -- one fault costs one thing --------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "fault",
    [
        *("empty_schema", "no_schema", "null_schema", "any_root", "array_root", "bad_output_schema"),
        *("bad_annotations", "bad_properties", "long_description"),
    ],
)
async def test_an_odd_tool_is_mended_and_the_good_one_works(fault: str) -> None:
    async with running(nasty(fault)) as tools:
        assert set(tools) == {"good", "bad"}
        assert tools["bad"].spec.parameters["type"] == "object"
        assert len(tools["bad"].spec.description) <= 4096
        assert json.loads((await run(tools["good"])).content) == {"n": 1}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("unknown_block", '{"type": "hologram", "x": 1}'),
        ("no_content", "(the tool returned nothing)"),
        ("null_content", "(the tool returned nothing)"),
        ("text_content", "plain"),
        ("one_block", "alone"),
        ("image_without_type", '{"type": "image", "data": "AAAA"}'),
        ("structured_only", '{"sum": 3}'),
        ("structured_list", "[1, 2]"),
        ("structured_both", "3"),
        ("bad_meta", "kept"),
        ("bad_block_field", "kept"),
        ("surrogate", "a\ufffdb"),
        ("no_version", '{"n": 1}'),
        ("batch", '{"n": 1}'),
        ("text_id", '{"n": 1}'),
        ("noise", '{"n": 1}'),
        ("bare_handshake", '{"n": 1}'),
        ("empty_cursor", '{"n": 1}'),
        ("breaks_output_schema", '{"n": 1}'),
    ],
)
async def test_an_odd_answer_is_read(fault: str, expected: str) -> None:
    async with running(nasty(fault)) as tools:
        result = await run(tools["good"])
    assert (result.content, result.is_error, result.is_untrusted) == (expected, False, True)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("fault", "expected"), [("error_text", "just text"), ("error_code", "not today"), ("odd_error_flag", "no")]
)
async def test_errors_of_the_server_are_results(fault: str, expected: str) -> None:
    async with running(nasty(fault)) as tools:
        for _ in range(2):
            result = await run(tools["good"])
            assert result.is_error
            assert result.content.endswith(expected)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_media_become_attachments_or_are_named() -> None:
    async with running(nasty("media")) as tools:
        result = await run(tools["good"])
    assert [part.kind for part in result.attachments] == ["image", "audio"]
    assert result.content.splitlines() == [
        "[image of type image/png, 8 bytes]",
        "[image of type image/png: its data is broken]",
        "[audio of type audio/wav, 3 bytes]",
        "[link file:///x (text/plain)]",
        "[resource file:///y]",
        "words",
        "[resource file:///z of type application/octet-stream, 3 bytes: cannot be shown]",
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_tool_lists_end_even_if_the_server_does_not_end_them() -> None:
    events: list[Event] = []
    async with running(nasty("endless_pages"), events=events) as tools:
        assert len(tools) == 100
    assert "more than 100 pages" in str(events)
    async with running(nasty("repeating_cursor")) as tools:
        assert list(tools) == ["good"]
    async with running(nasty("null_tools")) as tools:
        assert tools == {}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nameless_and_doubled_tools_are_noticed() -> None:
    events: list[Event] = []
    async with running(nasty("no_name"), events=events) as tools:
        assert list(tools) == ["good"]
    assert "a tool without a name was left out" in str(events)
    async with running(nasty("two_names"), events=events) as tools:
        assert tools["good"].spec.description == "Works."


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_names_fit_the_wire_stay_apart_and_hide_nothing() -> None:
    async with running(nasty("odd_names")) as tools:
        names = [tool.spec.name for tool in tools.values()]
    assert names[:2] == ["n__good", "n__a_b_c"]
    assert names[2].startswith("n__a_b_c_")
    assert len(set(names)) == 4
    assert all(len(name) <= 64 for name in names)
    async with running(nasty("hidden_text")) as tools:
        (hidden,) = (tool.spec for name, tool in tools.items() if name != "good")
    assert (hidden.name, hidden.description) == ("n__b_ad", "See red it.")


# -- what is believed -----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_hints_count_only_for_a_trusted_server() -> None:
    async with running(nasty("hints")) as tools:
        assert {tool.spec.effect for tool in tools.values()} == {"write"}
        assert all(tool.spec.is_untrusted for tool in tools.values())
    async with running(nasty("hints", is_trusted=True)) as tools:
        effects = {name: tool.spec.effect for name, tool in tools.items()}
        assert effects == {"good": "write", "reads": "read", "sets": "idempotent"}
        assert not (await run(tools["good"])).is_untrusted


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_filters_and_prefix_shape_what_is_offered() -> None:
    async with running(nasty("hints", allow=("*s",), deny=("set*",), prefix="")) as tools:
        assert [tool.spec.name for tool in tools.values()] == ["reads"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_sees_nothing_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "secret")
    async with running(nasty("environment", env={"OWN": "1"})) as tools:
        seen = json.loads((await run(tools["good"])).content)
    assert seen["OWN"] == "1"
    assert "ZAI_API_KEY" not in seen


@pytest.mark.anyio
async def test_the_idempotency_key_travels_in_meta() -> None:
    async with running(nasty("meta")) as tools:
        assert json.loads((await run(tools["good"], key="k1")).content)[IDEMPOTENCY_KEY] == "k1"


@pytest.mark.anyio
async def test_progress_is_shown() -> None:
    seen: list[Event] = []
    async with running(nasty("progress")) as tools:
        await run(tools["good"], seen=seen)
        # What came a moment before may be passed over, and trio hears both in any order.
        end = ("step 2", 2.0, 2.0)
        await until(lambda: end in [(event.text, event.done, event.total) for event in seen])  # type: ignore[union-attr]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_changed_tool_list_is_asked_for_again() -> None:
    connection = ServerConnection(nasty("grows"))
    assert [tool.name for tool in await connection.tools()] == ["good"]
    await connection.call("good", {})
    assert [tool.name for tool in await connection.tools()] == ["better"]
    await connection.aclose()


# -- dying, hanging, flooding ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_server_that_dies_at_its_start_is_an_error_with_its_last_words() -> None:
    connection = ServerConnection(nasty("die_at_start"))
    with pytest.raises(MCPServerError) as caught:
        await connection.tools()
    said = str(caught.value)
    assert "MCP server 'n'" in said
    assert "exited with code 3" in said
    assert "missing API_KEY" in said
    assert "\x1b" not in said
    assert (caught.value.server, connection.state) == ("n", "failed")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_words_on_standard_output_are_last_words_too() -> None:
    with pytest.raises(MCPServerError, match="Usage: nasty --key KEY"):
        await ServerConnection(nasty("usage_on_stdout")).tools()


@pytest.mark.anyio
async def test_a_missing_program_is_named() -> None:
    with pytest.raises(MCPServerError, match="'no-such-program' was not found"):
        await ServerConnection(ServerConfig(name="n", command="no-such-program")).tools()


@pytest.mark.anyio
async def test_a_write_that_died_half_way_is_not_run_again(starts: Path) -> None:
    events: list[Event] = []
    async with running(nasty("die_once", starts), events=events) as tools:
        result = await run(tools["good"])
        assert result.is_error
        assert "exited with code 9" in result.content
        assert "out of memory" in result.content
        assert "unknown" in result.content
        assert len(pids(starts)) == 1
        assert json.loads((await run(tools["good"])).content) == {"n": 1}
        assert len(pids(starts)) == 2
    assert [event.level for event in events if isinstance(event, Notice) and event.level != "info"] == ["warning"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_read_that_died_half_way_is_run_again(starts: Path) -> None:
    async with running(nasty("die_once_reading", starts, is_trusted=True)) as tools:
        assert tools["good"].spec.effect == "read"
        assert json.loads((await run(tools["good"])).content) == {"n": 1}
        assert len(pids(starts)) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_keeps_dying_is_started_ever_more_rarely(starts: Path) -> None:
    now = [0.0]
    connection = ServerConnection(
        nasty("die_in_call", starts), clock=lambda: now[0], restarts=Restarts(chance=lambda: 1.0)
    )
    for _ in range(2):
        with pytest.raises(ServerDied):
            await connection.call("good", {})
    with pytest.raises(MCPServerError, match="not started again for 1 s"):
        await connection.call("good", {})
    assert len(pids(starts)) == 2
    now[0] += 1.5
    with pytest.raises(ServerDied):
        await connection.call("good", {})
    with pytest.raises(MCPServerError, match="not started again for 2 s"):
        await connection.call("good", {})


@pytest.mark.anyio
async def test_a_call_of_a_server_that_is_left_alone_does_not_promise_its_start(starts: Path) -> None:
    async with running(nasty("die_in_call", starts)) as tools:
        said = [(await run(tools["good"])).content for _ in range(3)][-1]
    assert "It is not started again for 1 s." in said
    assert said.endswith("The call was not run.")


@pytest.mark.anyio
async def test_a_call_that_hangs_is_given_up_and_the_server_lives(starts: Path) -> None:
    async with running(nasty("hang_call", starts, timeout_seconds=2)) as tools:
        result = await run(tools["good"])
        assert result.is_error
        assert "no answer within 2 s" in result.content
        assert "unknown" in result.content
        assert not (await run(tools["good"], '{"n": 2}')).is_error
    assert len(pids(starts)) == 1


@pytest.mark.anyio
async def test_a_server_that_no_longer_listens_is_noticed_at_once_and_started_again(starts: Path) -> None:
    async with running(nasty("deaf", starts, timeout_seconds=600.0)) as tools:
        assert not (await run(tools["good"])).is_error
        lost = await run(tools["good"], json.dumps({"n": "x" * (1 << 20)}))
        assert lost.is_error
        assert "unknown" in lost.content
        assert json.loads((await run(tools["good"])).content) == {"n": 1}
    assert len(pids(starts)) == 2


@pytest.mark.anyio
async def test_a_call_that_is_given_up_while_it_is_written_leaves_no_half_message(starts: Path) -> None:
    connection = ServerConnection(nasty("slow_reader", starts))
    await connection.start()
    with anyio.move_on_after(0.2):
        await connection.call("good", {"n": "x" * (8 << 20)})
    with anyio.fail_after(60):
        assert (await connection.call("good", {"n": 2})).content
    await connection.aclose()


@pytest.mark.anyio
async def test_a_server_that_never_answers_is_given_up(starts: Path) -> None:
    connection = ServerConnection(nasty("hang_start", starts, startup_timeout_seconds=1.0))
    with pytest.raises(MCPServerError, match="did not answer within 1 s"):
        await connection.tools()
    await until(lambda: not any(is_alive(pid) for pid in pids(starts)))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_large_answers_arrive_and_too_large_ones_fail_the_call_only() -> None:
    async with running(nasty("big")) as tools:
        assert len((await run(tools["good"])).content) == 10 << 20

    connection = ServerConnection(nasty("id_last"))
    with pytest.raises(Refused, match="its answer has more than"):
        await connection.call("good", {"n": 65 << 20})
    assert (await connection.call("good", {"n": 3})).content
    await connection.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_flood_of_log_lines_is_logged_and_does_not_stop_the_server(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="glm_agent.mcp.n"):
        async with running(nasty("flood")) as tools:
            assert not (await run(tools["good"])).is_error
    assert sum(record.name == "glm_agent.mcp.n" for record in caplog.records) == 3_000


# -- who may open and close -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_many_callers_share_one_start(starts: Path) -> None:
    connection = ServerConnection(nasty("ok", starts))
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(connection.call, "good", {})
    assert len(pids(starts)) == 1
    await connection.aclose()
    assert connection.state == "closed"


@pytest.mark.anyio
async def test_a_caller_that_gives_up_does_not_end_the_start(starts: Path) -> None:
    connection = ServerConnection(nasty("ok", starts))
    with anyio.move_on_after(0):
        await connection.tools()
    assert await connection.tools()
    assert len(pids(starts)) == 1
    await connection.aclose()


@pytest.mark.anyio
async def test_servers_close_in_any_order_from_any_task() -> None:
    first, second = ServerConnection(nasty("ok")), ServerConnection(nasty("ok"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.start)
        tasks.start_soon(second.start)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.aclose)
    assert await second.tools()
    await second.aclose()
    assert await first.tools(), "closed is not forever"
    await first.aclose()


@pytest.mark.anyio
async def test_closing_in_a_cancelled_scope_still_closes(starts: Path) -> None:
    servers = MCPServers([nasty("ok", starts)])
    await servers.tools()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await servers.aclose()
    await until(lambda: not is_alive(pids(starts)[0]))


@pytest.mark.anyio
async def test_a_call_whose_caller_is_cancelled_leaves_the_server_usable() -> None:
    connection = ServerConnection(nasty("hang_call"))
    await connection.start()
    with anyio.move_on_after(0.1) as scope:
        await connection.call("good", {"n": 1})
    assert scope.cancelled_caught
    assert (await connection.call("good", {"n": 2})).content
    await connection.aclose()


def test_one_connection_serves_one_event_loop_after_another(starts: Path) -> None:
    connection = ServerConnection(nasty("ok", starts))

    async def use() -> None:
        await connection.call("good", {})

    anyio.run(use)
    anyio.run(use, backend="trio")
    assert len(pids(starts)) == 2
    assert not any(is_alive(pid) for pid in pids(starts)), "the end of a loop ends its servers"


# -- what is left over ----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["ok", "ignores_eof", "child"])
async def test_no_process_is_left(fault: str, starts: Path) -> None:
    async with running(nasty(fault, starts)) as tools:
        assert not (await run(tools["good"])).is_error
        assert all(is_alive(pid) for pid in pids(starts))
    await until(lambda: not any(is_alive(pid) for pid in pids(starts)))


@pytest.mark.anyio
async def test_an_error_in_the_callers_block_comes_out_as_it_is(starts: Path) -> None:
    async def use() -> None:
        async with MCPServers([nasty("ok", starts)]) as servers:
            await servers.tools()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    await until(lambda: not is_alive(pids(starts)[0]))


@pytest.mark.parametrize("fault", ["ok", "ignores_eof", "ignores_term", "child"])
def test_a_killed_agent_leaves_no_server(fault: str, starts: Path) -> None:
    server = {"command": sys.executable, "args": [NASTY, fault, str(starts)]}
    code = (
        "import anyio\n"
        "from glm_agent.mcp.servers import MCPServers\n"
        "async def main():\n"
        f"    servers = MCPServers.read([{server!r}])\n"
        "    await servers.tools(); print('up', flush=True); await anyio.sleep(60)\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"up\n"
        os.kill(agent.pid, signal.SIGKILL)
    anyio.run(until, lambda: not any(is_alive(pid) for pid in pids(starts)))


# -- several --------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_one_server_that_fails_leaves_the_others_running(starts: Path) -> None:
    bad = ServerConfig(name="bad", command="no-such-program")
    servers = MCPServers([bad, nasty("ok", starts)])
    with pytest.raises(MCPServerError, match="'bad'") as caught:
        await servers.tools()
    assert caught.value.server == "bad"
    assert [connection.state for connection in servers.connections] == ["failed", "ready"]
    await servers.aclose()


@pytest.mark.anyio
async def test_an_optional_server_that_fails_is_a_notice() -> None:
    events: list[Event] = []
    bad = ServerConfig(name="bad", command="no-such-program", is_optional=True)
    async with MCPServers([bad, nasty("ok")], on_event=events.append) as servers:
        assert [tool.spec.name for tool in await servers.tools()] == ["n__good"]
    assert "going on without it" in str(events)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_servers_may_offer_the_same_name() -> None:
    configs = [ServerConfig(name=name, command=sys.executable, args=(NASTY, "ok"), prefix="") for name in ("a", "b")]
    async with MCPServers(configs) as servers:
        names = [tool.spec.name for tool in await servers.tools()]
        assert names[0] == "good"
        assert names[1].startswith("b__good_")


@pytest.mark.anyio
async def test_disabled_servers_are_not_started(starts: Path) -> None:
    async with MCPServers([nasty("ok", starts, is_disabled=True)]) as servers:
        assert await servers.tools() == ()
    assert pids(starts) == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_timeout_of_the_raw_call_says_so() -> None:
    connection = ServerConnection(nasty("hang_call"))
    with pytest.raises(ToolTimeout):
        await connection.call("good", {"n": 1}, timeout_seconds=0.2)
    await connection.aclose()
