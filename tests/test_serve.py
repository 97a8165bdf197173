"""Our tools as an MCP server, asked by our own client and by plain HTTP."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest

from glm_agent import Policy, ToolContext, ToolRegistry, tool
from glm_agent.errors import ConfigurationError
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.server import ServerConnection
from glm_agent.messages import ToolCall as Call
from glm_agent.messages import ToolStarted, TurnResult, Usage
from glm_agent.registry import Tools
from glm_agent.registry.permitted import PermittedTools
from glm_agent.serve.agent_tool import AgentTool
from glm_agent.serve.listen import http_app, serve_http
from glm_agent.serve.server import ToolServer

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
}


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail() -> str:
    """Fail."""
    raise ValueError("broken on purpose")


@tool
async def count(context: ToolContext, to: int) -> str:
    """Count with progress."""
    for step in range(to):
        context.progress(f"step {step + 1}", done=step + 1, total=to)
        await anyio.lowlevel.checkpoint()
    return "counted"


@tool
async def forever() -> str:
    """Never end."""
    await anyio.sleep_forever()
    return ""


TOOLS = ToolRegistry([add, fail, count, forever])


@asynccontextmanager
async def served(tools: Tools = TOOLS, **settings: Any) -> AsyncIterator[str]:
    """The address of a running server."""
    server = ToolServer(tools, tasks=["forever", "add"]).server
    found: list[str] = []
    ready = anyio.Event()

    def on_ready(url: str) -> None:
        found.append(url)
        ready.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: serve_http(server, on_ready=on_ready, **settings))
        with anyio.fail_after(60):
            await ready.wait()
            yield found[0]
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[ServerConnection]:
    connection = ServerConnection(ServerConfig(name="s", transport="http", url=url, **settings))
    try:
        yield connection
    finally:
        await connection.aclose()


async def post(url: str, method: str, params: dict[str, Any], name: str = "", **headers: str) -> Any:
    sent = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2026-07-28", "mcp-method": method}
    sent |= {"mcp-name": name} if name else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(url, json=body, headers=sent | headers)


async def ended(url: str, task: str) -> dict[str, Any]:
    """A task gives no sign when it ends: it is polled."""
    with anyio.fail_after(60):
        while True:
            got = (await post(url, "tasks/get", {"taskId": task}, task)).json()["result"]
            if got["status"] != "working":
                return got
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_tools_are_offered_and_run() -> None:
    async with served() as url, connected(url) as server:
        tools = {listed.name: listed for listed in await server.tools()}
        assert set(tools) == {"add", "fail", "count", "forever"}
        assert tools["add"].annotations.read_only_hint is True
        assert (await server.call("add", {"a": 2, "b": 3})).content[0].text == "5"
        result = await server.call("fail", {})
        assert result.is_error
        assert "broken on purpose" in result.content[0].text


@pytest.mark.anyio
async def test_an_unknown_tool_is_an_error_of_the_protocol_and_bad_arguments_are_one_of_the_tool() -> None:
    async with served() as url, connected(url) as server:
        with pytest.raises(Refused, match="Unknown tool: nope"):
            await server.call("nope", {})
        assert (await server.call("add", {"a": "x"})).is_error


@pytest.mark.anyio
async def test_progress_reaches_the_client() -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))

    async with served() as url, connected(url) as server:
        await server.call("count", {"to": 2}, progress=progress)
    assert (2, 2, "step 2") in seen


@pytest.mark.anyio
async def test_what_needs_approval_is_refused() -> None:
    tools = PermittedTools(TOOLS, Policy(ask=("add",)))
    async with served(tools) as url, connected(url) as server:
        result = await server.call("add", {"a": 1, "b": 1})
        assert result.is_error
        assert "approval" in result.content[0].text


@pytest.mark.anyio
async def test_a_task_outlives_its_request_and_is_polled() -> None:
    async with served() as url:
        made = (await post(url, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}, "add")).json()["result"]
        assert made["resultType"] == "task"
        task = made["taskId"]
        got = await ended(url, task)
        assert got["status"] == "completed"
        assert got["result"]["content"][0]["text"] == "3"


@pytest.mark.anyio
async def test_a_task_can_be_cancelled_and_stays_so() -> None:
    async with served() as url:
        made = (await post(url, "tools/call", {"name": "forever", "arguments": {}}, "forever")).json()["result"]
        task = made["taskId"]
        assert (await post(url, "tasks/cancel", {"taskId": task}, task)).json()["result"]["resultType"] == "complete"
        got = (await post(url, "tasks/get", {"taskId": task}, task)).json()["result"]
        assert got["status"] == "cancelled"


@pytest.mark.anyio
async def test_an_unknown_task_and_a_wrong_header_are_errors() -> None:
    async with served() as url:
        assert (await post(url, "tasks/get", {"taskId": "x"}, "x")).json()["error"]["code"] == -32602
        wrong = await post(url, "tasks/get", {"taskId": "x"}, "y")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32020)


@pytest.mark.anyio
async def test_foreign_pages_are_turned_away() -> None:
    async with served() as url:
        assert (await post(url, "tools/list", {}, host="evil.example")).status_code == 421
        assert (await post(url, "tools/list", {}, origin="https://evil.example")).status_code == 403
        assert (await post(url, "tools/list", {})).status_code == 200


@pytest.mark.anyio
async def test_with_a_token_nobody_comes_in_without_it() -> None:
    async with served(token="s3cret") as url:
        assert (await post(url, "tools/list", {})).status_code == 401
        assert (await post(url, "tools/list", {}, authorization="Bearer other")).status_code == 401
        async with connected(url, headers={"Authorization": "Bearer s3cret"}) as server:
            assert len(await server.tools()) == 4


def test_others_are_not_served_without_a_token() -> None:
    server = ToolServer(TOOLS).server
    with pytest.raises(ConfigurationError, match="give a token"):
        http_app(server, host="0.0.0.0")
    http_app(ToolServer(TOOLS).server, host="0.0.0.0", token="t")


@pytest.mark.anyio
async def test_the_command_serves_on_standard_output() -> None:
    command = ServerConfig(name="c", command=sys.executable, args=("-m", "glm_agent.cli", "mcp", "serve", "text"))
    server = ServerConnection(command)
    try:
        with anyio.fail_after(60):
            names = [listed.name for listed in await server.tools()]
            assert names
    finally:
        await server.aclose()


class FakeAgent:
    """Ends as it is told."""

    def __init__(self, stop_reason: Any) -> None:
        self.stop_reason = stop_reason

    async def run(self, prompt: str, *, observers: Any) -> TurnResult:
        observers[0](ToolStarted(call=Call(id="1", name="search", arguments="{}")))
        return TurnResult(
            output=f"did {prompt}", stop_reason=self.stop_reason, usage=Usage(), messages=(), detail="spent"
        )


async def agent_call(agent: FakeAgent, arguments: dict[str, Any]) -> tuple[Any, list[Any]]:
    seen: list[Any] = []
    call = Call(id="c", name="run", arguments=json.dumps(arguments))
    return await ToolRegistry([AgentTool(agent)]).call(call, ToolContext(call=call, emit=seen.append)), seen


@pytest.mark.anyio
async def test_an_agent_is_one_tool_with_progress() -> None:
    result, seen = await agent_call(FakeAgent("end_turn"), {"prompt": "it"})
    assert (result.content, result.is_error) == ("did it", False)
    assert [event.text for event in seen] == ["runs search"]


@pytest.mark.anyio
async def test_an_agent_without_an_answer_says_why() -> None:
    result, _ = await agent_call(FakeAgent("budget"), {"prompt": "it"})
    assert result.is_error
    assert "budget" in result.content
    assert (await agent_call(FakeAgent("end_turn"), {}))[0].is_error


@pytest.mark.anyio
async def test_tasks_that_ended_make_room_and_those_that_run_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glm_agent.serve.tasks.MAX_TASKS", 2)

    async def begin(url: str, name: str, **arguments: int) -> dict[str, Any]:
        return (await post(url, "tools/call", {"name": name, "arguments": arguments}, name)).json()

    async with served() as url:
        first, second = [(await begin(url, "add", a=1, b=b))["result"]["taskId"] for b in (1, 2)]
        await ended(url, first)
        await ended(url, second)
        running = (await begin(url, "forever"))["result"]["taskId"]
        assert (await post(url, "tasks/get", {"taskId": first}, first)).json()["error"]["code"] == -32602
        assert (await ended(url, second))["status"] == "completed"
        await begin(url, "forever")
        assert "are running" in (await begin(url, "forever"))["error"]["message"]
        assert (await post(url, "tasks/get", {"taskId": running}, running)).json()["result"]["status"] == "working"
