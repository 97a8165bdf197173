"""A server that speaks HTTP and is started by us: ``command`` and ``url`` in one entry."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from glm_agent.errors import MCPServerError
from glm_agent.mcp.launch import with_port
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.sources import read_servers
from glm_agent.messages import ToolCall
from glm_agent.registry import ToolContext

SDK = str(Path(__file__).parent / "servers" / "sdk.py")
URL = "http://127.0.0.1:${port}/mcp"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_port_is_one_and_the_same_wherever_the_entry_says_it() -> None:
    entry = {"command": "serve", "args": ["--port=${port}"], "env": {"PORT": "${port}"}, "url": URL}
    ((config,), _) = read_servers([{"mcpServers": {"x": entry}}])
    filled = with_port(config)
    port = filled.env["PORT"]
    assert port.isdigit()
    assert (filled.args, filled.url) == ((f"--port={port}",), f"http://127.0.0.1:{port}/mcp")
    assert with_port(filled) is filled


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
async def test_a_server_is_started_called_over_http_and_ended() -> None:
    entry = {"command": sys.executable, "args": [SDK, "http", "${port}"], "url": URL}
    ((config,), _) = read_servers([{"mcpServers": {"mine": entry}}])
    config = with_port(config)
    async with MCPServers([config]) as servers:
        tools = {tool.spec.name: tool for tool in await servers.tools()}
        call = ToolCall(id="1", name="mine__add", arguments='{"a": 2, "b": 3}')
        assert (await tools["mine__add"].run(call, ToolContext(call=call))).content == "5"
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp("127.0.0.1", urlsplit(config.url).port or 0)


@pytest.mark.anyio
async def test_a_program_that_ends_before_it_listens_is_described_by_its_last_words() -> None:
    script = "import sys; print('missing API_KEY', file=sys.stderr); sys.exit(3)"
    entry = {"command": sys.executable, "args": ["-c", script], "url": URL}
    async with MCPServers.read([{"mcpServers": {"mine": entry}}]) as servers:
        with pytest.raises(MCPServerError, match="missing API_KEY") as raised:
            await servers.tools()
    assert "3" in str(raised.value)
    assert "mine" in str(raised.value)
