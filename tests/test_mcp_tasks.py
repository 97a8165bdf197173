"""Calls that a server runs as tasks outlive their connection and this process, and are run once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from legacy_http import LegacyServer, legacy_server

from glm_agent import Agent, ToolCall, ToolContext, ToolResult, tool
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import ServerDied, UnknownTask
from glm_agent.mcp.handle import TaskHandle, from_json, to_json
from glm_agent.mcp.server import ServerConnection, ToolTimeout
from glm_agent.registry.handles import Handles
from glm_agent.simulate import ScriptedModel

WORKING = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": None}


class Desk:
    """What a server of protocol 2025-11-25 does with its tasks."""

    def __init__(self, *, support: str = "required", polls: int = 2) -> None:
        self.polls, self.support = polls, support
        self.begun: list[Any] = []
        self.cancelled: list[str] = []
        self.asked = 0
        self.status = "completed"
        self.result: Any = {"content": [{"type": "text", "text": "done"}]}

    def open(self, server: LegacyServer) -> None:
        """Let the server work like this."""
        server.capabilities = {"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}}
        execution = {"taskSupport": self.support}
        server.tools = [{"name": "bake", "inputSchema": {"type": "object"}, "execution": execution}]
        server.answers = {
            "tools/call": self._begin,
            "tasks/get": self._get,
            "tasks/result": lambda _: self.result,
            "tasks/cancel": self._cancel,
        }

    def _begin(self, params: Any) -> Any:
        self.begun.append(params)
        if "task" not in params:
            return {"content": [{"type": "text", "text": "at once"}]}
        return {"task": {"taskId": f"t{len(self.begun)}", "status": "working", "pollInterval": 60, **WORKING}}

    def _get(self, params: Any) -> Any:
        if params["taskId"] != f"t{len(self.begun)}":
            raise ValueError("Unknown task")
        self.asked += 1
        status = self.status if self.asked > self.polls else "working"
        return {"taskId": params["taskId"], "status": status, "statusMessage": f"step {min(self.asked, 2)}", **WORKING}

    def _cancel(self, params: Any) -> Any:
        self.cancelled.append(params["taskId"])
        return {"taskId": params["taskId"], "status": "cancelled", **WORKING}


@asynccontextmanager
async def baking(desk: Desk) -> AsyncIterator[tuple[ServerConnection, LegacyServer]]:
    with legacy_server() as server:
        desk.open(server)
        connection = ServerConnection(ServerConfig(name="b", transport="http", url=server.url))
        try:
            yield connection, server
        finally:
            await connection.aclose()


@pytest.mark.anyio
async def test_a_tool_that_only_runs_as_a_task_is_asked_for_one_and_polled():
    desk = Desk()
    said: list[str | None] = []
    kept: list[TaskHandle] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        said.append(message)

    async with baking(desk) as (server, _):
        result = await server.call("bake", {"n": 1}, on_task=kept.append, progress=progress)
    assert result.content[0].text == "done"
    assert desk.begun[0]["arguments"] == {"n": 1}
    assert said == ["step 1", "step 2"]
    assert kept == [TaskHandle(task_id="t1", is_modern=False, poll_interval_ms=60)]


@pytest.mark.parametrize(("is_kept", "is_task"), [(True, True), (False, False)])
@pytest.mark.anyio
async def test_a_tool_that_may_run_as_a_task_does_where_that_is_kept(is_kept: bool, is_task: bool):
    desk = Desk(support="optional")
    kept: list[TaskHandle] = []
    async with baking(desk) as (server, _):
        result = await server.call("bake", {}, on_task=kept.append if is_kept else None)
    assert result.content[0].text == ("done" if is_task else "at once")


@pytest.mark.anyio
async def test_a_result_that_a_task_is_late_with_is_repaired_like_any_other():
    desk = Desk()
    desk.result = {"content": "plain words", "isError": "yes"}
    async with baking(desk) as (server, _):
        result = await server.call("bake", {})
    assert (result.content[0].text, result.is_error) == ("plain words", True)


@pytest.mark.anyio
async def test_a_lost_connection_asks_again_and_does_not_begin_again():
    desk = Desk(polls=1)
    async with baking(desk) as (server, http):

        def drop(task: TaskHandle) -> None:
            http.drops = 1

        result = await server.call("bake", {}, on_task=drop)
    assert result.content[0].text == "done"
    assert len(desk.begun) == 1


@pytest.mark.anyio
async def test_a_session_that_is_forgotten_over_a_task_is_begun_anew():
    desk = Desk(polls=1)
    async with baking(desk) as (server, http):
        result = await server.call("bake", {}, on_task=lambda _: http.sessions.clear())
    assert result.content[0].text == "done"
    assert len(desk.begun) == 1


@pytest.mark.anyio
async def test_who_gives_up_has_the_task_cancelled():
    desk = Desk(polls=10**9)
    async with baking(desk) as (server, _):
        with pytest.raises(ToolTimeout, match="the task has not ended within"):
            await server.call("bake", {}, timeout_seconds=2)
    assert desk.cancelled == ["t1"]


@pytest.mark.anyio
async def test_a_task_that_the_server_has_forgotten_is_no_result():
    async with baking(Desk()) as (server, _):
        with pytest.raises(UnknownTask, match="Unknown task"):
            await server.task_result(TaskHandle(task_id="gone", is_modern=False))

        def forget(task: TaskHandle) -> None:
            desk.begun.append("another life")

        desk = Desk()
        async with baking(desk) as (other, _):
            with pytest.raises(ServerDied) as died:
                await other.call("bake", {}, on_task=forget)
            assert died.value.may_have_run


def test_a_handle_is_only_for_the_server_that_has_the_task(tmp_path: Path):
    task = TaskHandle(task_id="secret", is_modern=False, poll_interval_ms=7)
    handles = Handles(tmp_path / "made" / "late")
    assert handles.load("key") is None
    handles.save("key", to_json(task, server="a"))
    assert from_json(handles.load("key"), server="a") == task
    assert from_json(handles.load("key"), server="b") is None
    assert from_json(handles.load("other"), server="a") is None
    (path,) = (tmp_path / "made" / "late").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("torn")
    assert handles.load("key") is None
    assert "secret" not in repr(task)


# -- a process that dies

TOOLS = """
import os, pathlib, time
from glm_agent import tool

@tool
def bake(folder: str) -> str:
    '''Bake.'''
    place = pathlib.Path(folder)
    with (place / "runs").open("a") as runs:
        runs.write("run ")
    end = time.monotonic() + 60
    while not (place / "go").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return "baked"
"""

CHILD = """
import json, sys
from glm_agent import Agent, ToolCall
from glm_agent.simulate import ScriptedModel

url, folder = sys.argv[1:]
call = ToolCall(id="1", name="bakery__bake", arguments=json.dumps({"folder": folder}))
servers = [{"mcpServers": {"bakery": {"url": url}}}]
Agent(ScriptedModel([call, "done"]), mcp_servers=servers, journal=folder + "/j.db").run_sync("go", session="s")
"""


@contextmanager
def bakery(folder: Path) -> Iterator[str]:
    """A server over HTTP that bakes in tasks; its address."""
    (folder / "tools.py").write_text(TOOLS)
    command = [sys.executable, "-m", "glm_agent.cli", "mcp", "serve", str(folder / "tools.py"), "--http", "--port", "0"]
    with subprocess.Popen([*command, "--as-task", "bake"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "listening on" in line)
            yield line.rpartition(" ")[2].strip()
        finally:
            (folder / "go").touch()
            process.terminate()


def wait_until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_a_process_that_is_killed_over_a_task_leaves_it_to_the_next_one(tmp_path: Path):
    with bakery(tmp_path) as url:
        with subprocess.Popen([sys.executable, "-c", CHILD, url, str(tmp_path)]) as child:
            wait_until((tmp_path / "runs").exists)
            wait_until(lambda: list(tmp_path.glob("results/s/h*.json")))
            child.send_signal(signal.SIGKILL)
            child.wait(60)
        (tmp_path / "go").touch()
        servers = [{"mcpServers": {"bakery": {"url": url}}}]
        agent = Agent(ScriptedModel(["done"]), mcp_servers=servers, journal=str(tmp_path / "j.db"))
        result = anyio.run(agent.resume, "s")
    (answer,) = [message for message in result.messages if isinstance(message, ToolResult)]
    assert (answer.content, answer.is_error) == ("baked", False)
    assert (tmp_path / "runs").read_text() == "run "


# -- handles for tools of one's own


@pytest.mark.anyio
async def test_a_tool_of_ones_own_finds_its_job_again(tmp_path: Path):
    found: list[Any] = []

    @tool
    async def job(context: ToolContext) -> str:
        """Do a job."""
        found.append(context.kept_handle())
        context.keep_handle({"job": 7})
        found.append(context.kept_handle())
        return "ok"

    call = ToolCall(id="1", name="job", arguments="{}")
    stored = Agent(ScriptedModel([call, "done"]), tools=[job], journal=str(tmp_path / "j.db"))
    await stored.run("go", session="s")
    await Agent(ScriptedModel([call, "done"]), tools=[job]).run("go")
    assert found == [None, {"job": 7}, None, None]
