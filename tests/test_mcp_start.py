"""A start without waiting: what is known of a server is offered at once, and what turns out otherwise is told."""

import json
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from glm_agent import Agent
from glm_agent.errors import MCPServerError
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Definition
from glm_agent.mcp.lock import write
from glm_agent.mcp.remembered import DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS, Memory, key, of_user
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.tools import MCPTool
from glm_agent.messages import Event, ModelRequest, Notice, ToolCall, ToolResult
from glm_agent.registry import ToolContext
from glm_agent.simulate.scripted import ScriptedModel

GATED = str(Path(__file__).parent / "servers" / "gated.py")
ECHO = Definition(name="echo", description="Echo.", input_schema={"type": "object"})


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory")


def gated(gate: Path, *, lock: Path | None = None) -> ServerConfig:
    """A server that says nothing before the gate is there, and then offers the tools that the gate names."""
    limits = {"timeout_seconds": 60.0, "startup_timeout_seconds": 60.0}
    return ServerConfig(name="g", command=sys.executable, args=(GATED, str(gate)), lock=str(lock or ""), **limits)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    config: ServerConfig, memory: Memory | None, events: list[Event] | None = None
) -> AsyncGenerator[MCPServers]:
    on_event = (events if events is not None else []).append
    with anyio.fail_after(60):
        async with MCPServers([config], on_event=on_event, memory=memory) as servers:
            yield servers


async def names(servers: MCPServers) -> list[str]:
    return [tool.spec.name for tool in await servers.tools()]


async def call(servers: MCPServers, name: str) -> ToolResult:
    tool = next(tool for tool in await servers.tools() if tool.spec.name == name)
    assert isinstance(tool, MCPTool)
    return await run(tool)


async def run(tool: MCPTool) -> ToolResult:
    asked = ToolCall(id="c", name=tool.spec.name, arguments="{}")
    return await tool.run(asked, ToolContext(call=asked))


async def said(events: list[Event], words: str) -> None:
    with anyio.fail_after(60):
        while not any(isinstance(event, Notice) and words in event.text for event in events):  # noqa: ASYNC110
            await anyio.sleep(0.01)


def offer(gate: Path, tools: str) -> None:
    """Let the server start, with these tools."""
    gate.write_text(tools)


async def learn(gate: Path, memory: Memory, *tools: str) -> None:
    """One run with the server, so that it is known."""
    offer(gate, " ".join(tools))
    async with opened(gated(gate), memory) as servers:
        assert await names(servers) == [f"g__{tool}" for tool in tools]
    os.unlink(gate)


# -- the first request waits for nobody -------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_tools_of_the_last_time_are_offered_while_the_server_starts(gate: Path, memory: Memory) -> None:
    await learn(gate, memory, "echo")
    async with opened(gated(gate), memory) as servers:
        (tool,) = await servers.tools()
        assert tool.spec.name == "g__echo"
        assert servers.connections[0].state == "starting"
        results: list[ToolResult] = []
        async with anyio.create_task_group() as tasks:

            async def use() -> None:
                assert isinstance(tool, MCPTool)
                results.append(await run(tool))

            tasks.start_soon(use)
            offer(gate, "echo")  # the call has waited for its server
        assert results[0].content == "echo"


@pytest.mark.anyio
async def test_the_model_is_asked_before_a_locked_server_has_started(gate: Path, tmp_path: Path) -> None:
    file, lock = tmp_path / ".mcp.json", tmp_path / "mcp.lock"
    file.write_text(json.dumps({"mcpServers": {"g": {"command": sys.executable, "args": [GATED, str(gate)]}}}))
    write(lock, {"g": [Definition(name="echo", input_schema={"type": "object"})]})
    offered: list[str] = []

    def ask(request: ModelRequest) -> ToolCall:
        # A server that has to be waited for would never have been there.
        offered.extend(tool.name for tool in request.tools)
        offer(gate, "echo")
        return ToolCall(id="1", name="g__echo", arguments="{}")

    model = ScriptedModel([ask, "done"])
    with anyio.fail_after(60):
        result = await Agent(model, mcp_servers=[str(file)]).run("Go.")
    assert [message.content for message in result.messages if isinstance(message, ToolResult)] == ["echo"]
    assert offered == ["g__echo"]


# -- what turns out otherwise -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_changed_is_told_and_holds_from_the_next_turn(gate: Path, memory: Memory) -> None:
    await learn(gate, memory, "echo", "old")
    events: list[Event] = []
    async with opened(gated(gate), memory, events) as servers:
        assert await names(servers) == ["g__echo", "g__old"]
        offer(gate, "echo new")
        await said(events, "'old' is gone, 'new' is new")
        assert await names(servers) == ["g__echo", "g__new"]


@pytest.mark.anyio
async def test_a_call_of_a_tool_that_is_gone_says_so(gate: Path, memory: Memory) -> None:
    await learn(gate, memory, "echo", "old")
    async with opened(gated(gate), memory) as servers:
        tools = {tool.spec.name: tool for tool in await servers.tools()}
        offer(gate, "echo")
        old = tools["g__old"]
        assert isinstance(old, MCPTool)
        result = await run(old)
    assert result.is_error
    assert "its tool 'old' is gone. It has 'echo'" in result.content


@pytest.mark.anyio
async def test_a_known_server_that_does_not_start_costs_its_tools_and_the_next_run_waits_for_it(
    gate: Path, memory: Memory
) -> None:
    await learn(gate, memory, "echo")
    offer(gate, "!broken")
    events: list[Event] = []
    async with opened(gated(gate), memory, events) as servers:
        result = await call(servers, "g__echo")
        assert result.is_error
        assert "exited with code 4" in result.content
        assert "The call was not run" in result.content
    await said(events, "it is not there yet")
    with pytest.raises(MCPServerError, match="exited with code 4"):
        async with opened(gated(gate), memory) as servers:
            await servers.tools()


@pytest.mark.anyio
async def test_a_second_turn_before_the_server_is_there_is_offered_the_same(gate: Path, memory: Memory) -> None:
    await learn(gate, memory, "echo")
    async with opened(gated(gate), memory) as servers:
        assert await names(servers) == await names(servers) == ["g__echo"]


@pytest.mark.anyio
async def test_a_server_that_was_never_waited_for_is_ended_at_once(gate: Path, memory: Memory) -> None:
    await learn(gate, memory, "echo")
    events: list[Event] = []
    async with opened(gated(gate), memory, events) as servers:
        await servers.tools()
    states = [event.text for event in events if isinstance(event, Notice)]
    assert states == ["starting", "closed"]


@pytest.mark.anyio
async def test_states_are_told_as_they_come(gate: Path) -> None:
    offer(gate, "echo")
    events: list[Event] = []
    async with opened(gated(gate), None, events) as servers:
        await servers.tools()
    texts = [event.text for event in events if isinstance(event, Notice)]
    assert [text.partition(":")[0] for text in texts] == ["starting", "ready", "closed"]
    assert "2025-11-25, 1 tool" in texts[1]
    assert {event.source for event in events if isinstance(event, Notice)} == {"mcp:g"}


# -- what is kept -----------------------------------------------------------------------------------------


def test_what_is_kept_is_for_the_user_alone_and_holds_no_setting(memory: Memory) -> None:
    config = ServerConfig(
        name="s", command="srv", args=("--key", "k-1234567"), env={"TOKEN": "t-1234567"}, headers={"X": "h-1234567"}
    )
    memory.keep(config, tools=[ECHO], ttl_seconds=None, is_legacy=False)
    (file,) = memory.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.folder.stat().st_mode) == 0o700
    assert not any(secret in f"{file.name}{file.read_text()}" for secret in ("k-1234567", "t-1234567", "h-1234567"))
    assert memory.load(config).tools == (ECHO,)


@pytest.mark.parametrize(
    ("ttl", "holds_for"), [(None, DEFAULT_TTL_SECONDS), (5.0, 5.0), (1e9, MAX_TTL_SECONDS), (0.0, 0.0)]
)
def test_a_list_holds_as_long_as_the_server_said(tmp_path: Path, ttl: float | None, holds_for: float) -> None:
    now = [1e9]
    memory = Memory(tmp_path, clock=lambda: now[0])
    config = ServerConfig(name="s", command="srv")
    memory.keep(config, tools=[ECHO], ttl_seconds=ttl, is_legacy=True)
    now[0] += max(holds_for - 0.1, 0)
    assert (memory.load(config).tools is not None) == (holds_for > 0)
    now[0] += 0.2
    assert memory.load(config).tools is None
    assert memory.load(config).is_legacy, "which protocol is spoken holds for longer"


def test_every_setting_and_every_edit_of_the_program_makes_another_server(tmp_path: Path) -> None:
    program = tmp_path / "srv.py"
    program.write_text("1")
    config = ServerConfig(name="s", command="python3", args=(str(program),), env={"A": "1"})
    others = [
        config,
        replace(config, args=(str(program), "x")),
        replace(config, env={"A": "2"}),
        replace(config, cwd="/"),
        ServerConfig(name="s", transport="http", url="http://a/"),
        ServerConfig(name="s", transport="http", url="http://a/", headers={"A": "1"}),
    ]
    keys = {key(other) for other in others}
    assert len(keys) == len(others)
    program.write_text("22")
    assert key(config) not in keys
    assert key(replace(config, name="t", timeout_seconds=1)) == key(config)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "tools": 3, "toolsUntil": 9e99}'])
def test_a_damaged_record_is_none(memory: Memory, text: str) -> None:
    config = ServerConfig(name="s", command="srv")
    memory.folder.mkdir()
    (memory.folder / f"{key(config)}.json").write_text(text)
    assert memory.load(config).tools is None


def test_nothing_is_kept_where_that_is_said_or_nobody_is_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_AGENT_CACHE_DIR", "")
    assert of_user() is None
    monkeypatch.delenv("GLM_AGENT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    known = of_user()
    assert known is not None
    assert known.folder == Path("/somewhere/glm-agent/mcp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", str)  # no HOME, and no entry for this user
    assert of_user() is None


def test_a_folder_that_cannot_be_used_remembers_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memory = Memory(tmp_path / "file")
    config = ServerConfig(name="s", command="srv")
    memory.keep(config, tools=[ECHO], ttl_seconds=None, is_legacy=False)
    assert memory.load(config).tools is None
    memory.forget(config)
