"""``glm-agent mcp serve``, a process of its own, used by clients that others wrote: the SDKs of Python and of Node."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from node import Unavailable, node, package
from serving import TOOLS, command, served

SECONDS = 120
TASK = """---
model: simulate:directive
tools: [./tools.py]
---
call add {"a": 20, "b": 3}
"""
ERAS = ["legacy", "2026-07-28"]
CALLS = [
    ["add", {"a": 2, "b": 3}],
    ["count", {"to": 2}],
    ["fail", {"why": "on purpose"}],
    ["add", {"a": "x"}],
    ["no", {}],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "TASK.md").write_text(TASK)
    return tmp_path


def by_node(plan: dict[str, Any], *, folder: Path) -> dict[str, Any]:
    """What the client in JavaScript saw."""
    try:
        program = [node(), str(Path(__file__).parent / "servers" / "client.mjs")]
        program.append(str(package("@modelcontextprotocol/client")))
    except Unavailable as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [*program, json.dumps(plan)], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def judge_node(seen: dict[str, Any], era: str) -> None:
    added, counted, failed, misfit, unknown = seen["results"]
    assert seen["protocol"] == ("2025-11-25" if era == "legacy" else era)
    assert seen["server"] == "mine"
    assert seen["tools"] == ["add", "fail", "count", "forever"]
    assert (added["text"], added["isError"]) == ("5", False)
    assert counted["text"] == "counted to 2"
    # This client drops progress that it reads together with the result: on a busy machine, all of it.
    assert all(step in ([1, 2, "step 1"], [2, 2, "step 2"]) for step in counted["progress"])
    assert failed["isError"]
    assert "on purpose" in failed["text"]
    assert misfit["isError"]
    assert "Unknown tool: no" in unknown["error"]


@pytest.mark.parametrize("era", ERAS)
def test_the_client_of_node_uses_it_over_standard_output(era: str, folder: Path) -> None:
    program, *arguments = command("./tools.py", "--name", "mine")
    judge_node(by_node({"mode": era, "command": program, "args": arguments, "calls": CALLS}, folder=folder), era)


@pytest.mark.parametrize("era", ERAS)
def test_the_client_of_node_uses_it_over_http_with_a_token(era: str, folder: Path) -> None:
    with served("./tools.py", "--name", "mine", "--token-env", "KEY", folder=folder, KEY="s3cret") as server:
        plan = {"mode": era, "url": server.url, "token": "s3cret", "calls": CALLS}
        judge_node(by_node(plan, folder=folder), era)


async def judge_python(client: Client, era: str) -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append((done, total, message))

    assert client.protocol_version == ("2025-11-25" if era == "legacy" else era)
    assert [tool.name for tool in (await client.list_tools()).tools] == ["add", "fail", "count", "forever"]
    assert (await client.call_tool("add", {"a": 2, "b": 3})).content[0].text == "5"  # type: ignore[union-attr]
    await client.call_tool("count", {"to": 3}, progress_callback=progress)
    assert (3, 3, "step 3") in steps
    assert (await client.call_tool("fail", {"why": "x"})).is_error
    with pytest.raises(MCPError, match="Unknown tool"):
        await client.call_tool("no", {})
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.2):
            await client.call_tool("forever", {})
    assert not (await client.call_tool("add", {"a": 1, "b": 1})).is_error


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_the_client_of_python_uses_it_over_standard_output(era: str, folder: Path) -> None:
    program, *arguments = command("./tools.py")
    server = StdioServerParameters(command=program, args=arguments, cwd=folder)
    with anyio.fail_after(SECONDS):
        async with Client(server, mode=era) as client:
            await judge_python(client, era)


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_the_client_of_python_uses_it_over_http(era: str, folder: Path) -> None:
    with served("./tools.py", folder=folder) as server:
        with anyio.fail_after(SECONDS):
            async with Client(server.url, mode=era) as client:
                await judge_python(client, era)


@pytest.mark.anyio
@pytest.mark.parametrize("era", ERAS)
async def test_an_agent_is_one_tool_and_what_it_does_is_progress(era: str, folder: Path) -> None:
    steps: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(message)

    with served("--task", "TASK.md", folder=folder) as server:
        with anyio.fail_after(SECONDS):
            async with Client(server.url, mode=era) as client:
                (tool,) = (await client.list_tools()).tools
                prompt = {"prompt": 'call add {"a": 4, "b": 5}\nthen call fail {"why": "x"}\nthen say It is 9.'}
                result = await client.call_tool(tool.name, prompt, progress_callback=progress)
    assert tool.name == "run"
    assert result.content[0].text == "It is 9."  # type: ignore[union-attr]
    assert any("add" in (step or "") for step in steps)
    assert any("fail" in (step or "") for step in steps)


@pytest.mark.anyio
async def test_with_a_token_strangers_see_nothing(folder: Path) -> None:
    with served("./tools.py", "--token-env", "KEY", folder=folder, KEY="s3cret") as server:
        async with httpx2.AsyncClient(trust_env=False) as stranger:
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}):
                refused = await stranger.post(server.url, json={}, headers=headers)
                assert refused.status_code == 401
                assert "add" not in refused.text
        headers = {"authorization": "Bearer s3cret"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(server.url, http_client=http)) as client,
        ):
            assert (await client.list_tools()).tools


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_without_noise(number: signal.Signals, folder: Path) -> None:
    with served("./tools.py", folder=folder) as server:
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        httpx2.post(server.url, json=body, headers={"accept": "application/json, text/event-stream"}, trust_env=False)
        server.process.send_signal(number)
        code, said = server.ended()
    assert code == 128 + number
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 3, said
