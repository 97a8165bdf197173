"""Latency that is hidden: the model's connection is opened while the servers of tools still start."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glm_agent import Agent, ModelResponse, ToolCall, tool
from glm_agent.errors import ModelConnectionError
from glm_agent.messages import ModelRequest, UserMessage
from glm_agent.models.glm import GLMModel
from glm_agent.simulate import ScriptedModel

SERVER = Path(__file__).parent / "servers" / "asking.py"
ANSWER = {"id": "a", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hello."}}]}


class Provider:
    """Answers every request alike; ``on_connection`` is called before anything is read."""

    def __init__(self, on_connection: Callable[[], object] = lambda: None) -> None:
        self.on_connection = on_connection
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.on_connection()
        body = json.dumps(ANSWER).encode()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def agent(port: int, command: list[str]) -> Agent:
    servers = {"mcpServers": {"slow": {"command": command[0], "args": command[1:]}}}
    return Agent("glm-5.3", api_key="x.y", base_url=f"http://127.0.0.1:{port}/v4", mcp_servers=[servers])


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
async def test_the_connection_is_open_before_the_servers_are_ready(anyio_backend: str, tmp_path: Path) -> None:
    # The server starts only once somebody has connected to the provider.
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = os.open(gate, os.O_RDWR)
    provider = Provider(on_connection=lambda: os.write(held, b"go\n"))
    command = ["sh", "-c", f'read -r line < "{gate}"; exec "{sys.executable}" "{SERVER}"']
    try:
        async with (
            asyncio.timeout(60),
            await asyncio.start_server(provider, "127.0.0.1", 0) as listener,
            agent(listener.sockets[0].getsockname()[1], command) as made,
        ):
            assert (await made.run("Hi")).output == "Hello."
            assert (await made.run("Hi")).output == "Hello."
            assert provider.connections == 1
    finally:
        os.close(held)


@pytest.mark.anyio
async def test_nobody_to_connect_to_is_left_to_the_request_that_needs_it(anyio_backend: str) -> None:
    async with asyncio.timeout(20), await asyncio.start_server(Provider(), "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
    model = GLMModel("glm-5.3", api_key="x.y", base_url=f"http://127.0.0.1:{port}/v4")
    await model.connect()
    with pytest.raises(ModelConnectionError):
        [event async for event in model.stream(ModelRequest(model="glm-5.3", messages=(UserMessage(text="Hi"),)))]


def test_a_loop_that_lives_is_uvloops_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    loops = list[str]()

    @tool
    async def look() -> str:
        """Look at the loop."""
        loops.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        return "seen"

    script = [
        ModelResponse(tool_calls=(ToolCall(id="c", name="look", arguments="{}"),), finish_reason="tool_calls"),
        "done",
    ]
    with Agent(ScriptedModel(script), tools=[look]) as made:
        assert made.run_sync("Look.").output == "done"
    assert Agent(ScriptedModel(script), tools=[look]).run_sync("Look.").output == "done"
    assert loops == ["uvloop", "asyncio"]
