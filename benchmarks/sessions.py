"""MCP servers: calls through us and through the bare session of the official SDK, or by hand where it takes minutes."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clock import Clock, middle
from glm_agent import Agent
from glm_agent.messages import ModelRequest, ModelResponse
from glm_agent.models.model import ModelEvent

_M_MMAP_THRESHOLD = -3
"""glibc's number for it in ``mallopt``."""

SERVER = [sys.executable, "-m", "benchmarks.echo_server"]


@asynccontextmanager
async def bare_session(command: list[str]) -> AsyncGenerator[Any, None]:
    from mcp import ClientSession, StdioServerParameters, stdio_client

    server = StdioServerParameters(command=command[0], args=command[1:])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.discover()  # the protocol that we speak with it, too
        yield session


@asynccontextmanager
async def caller(system: Any) -> AsyncGenerator[Any, None]:
    """``await call(name, arguments)`` -> text, by the bare session or by our registry of the server's tools."""
    if type(system).__name__ == "Handwritten":
        async with bare_session(SERVER) as session:

            async def bare(name: str, arguments: dict[str, Any]) -> str:
                return str((await session.call_tool(name, arguments)).content[0].text)

            yield bare
        return
    from benchmarks.framework import served_call

    async with served_call(SERVER) as ours:
        yield ours


async def calls(system: Any, *, count: int = 300) -> dict[str, float]:
    async with caller(system) as call:
        for place in range(20):
            await echo(call, place)
        waits = []
        with Clock() as clock:
            for place in range(count):
                began = time.perf_counter()
                await echo(call, place)
                waits.append(time.perf_counter() - began)
    return {"p50_us": median(waits) * 1e6, "cpu_us": clock.cpu / count * 1e6}


async def echo(call: Any, place: int) -> None:
    said = await call("echo", {"text": f"hello {place}"})
    assert said == f"hello {place}", said


async def agent(system: Any, *, steps: int = 50) -> dict[str, float]:
    """A turn whose only tool is the server's."""
    async with system.served(f"loop-{steps}.techo", SERVER) as loop:
        laps = []
        for _ in range(4):
            with Clock() as clock:
                assert await system.run(loop) == "done"
            laps.append(clock)
    return {"cpu_ms_step": middle(laps[1:]).cpu / (steps + 1) * 1e3}


async def together(system: Any, *, count: int = 500) -> dict[str, float]:
    """Calls over one session, all at once."""
    async with caller(system) as call:
        await asyncio.gather(*(echo(call, place) for place in range(count)))
        laps = []
        for _ in range(5):
            with Clock() as clock:
                await asyncio.wait_for(asyncio.gather(*(echo(call, place) for place in range(count))), 60)
            laps.append(clock)
    lap = middle(laps)
    return {"cpu_us": lap.cpu / count * 1e6, "wall_us": lap.wall / count * 1e6}


async def deferred(system: Any, *, few: int = 10, many: int = 500, steps: int = 50) -> dict[str, float]:
    """What a tool costs that is registered, but stands behind the search: in each step, and in each run.

    Without collections of garbage, whose cost is that of everything in the process; turn by turn, so that other
    programs slow all of them alike.
    """
    sizes = [(count, length) for count in (few, many) for length in (1, steps + 1)]
    async with AsyncExitStack() as stack:
        loops = [
            await stack.enter_async_context(
                system.served(f"loop-{length}.tcall_tool", [*SERVER, str(count)], tool_search=0)
            )
            for count, length in sizes
        ]
        laps = [[await cost_of_run(system, loop) for loop in loops] for _ in range(9)]
    costs = dict(zip(sizes, map(min, zip(*laps[1:], strict=True)), strict=True))
    step_few, step_many = [(costs[count, steps + 1] - costs[count, 1]) / steps for count in (few, many)]
    run_few, run_many = [costs[count, 1] for count in (few, many)]
    more = (many - few) / 1e6
    return {"step_us_tool": (step_many - step_few) / more, "run_us_tool": (run_many - run_few) / more}


async def cost_of_run(system: Any, loop: Any) -> float:
    """CPU seconds of one run."""
    with Clock() as clock:
        gc.disable()
        assert await system.run(loop) == "done"
    gc.enable()
    return clock.cpu


async def start(_system: Any, *, seconds: int = 5) -> dict[str, float]:
    """When the model is first asked, where the only server takes that long to start and its tools are locked."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / ".mcp.json"
        await lock(config)
        config.write_text(json.dumps(servers(SERVER, BENCHMARKS_SLEEP=str(seconds))))
        model = Asked()
        agent = Agent(model, mcp_servers=[config])
        began = time.perf_counter()
        with Clock():
            await agent.run("Please do the task.")
    return {"ms_to_model": (model.at - began) * 1e3}


def servers(command: list[str], **env: str) -> dict[str, Any]:
    return {"mcpServers": {"echo": {"command": command[0], "args": command[1:], "env": env, "cwd": os.getcwd()}}}


async def lock(config: Path) -> None:
    """Accept the tools of the server as they are."""
    from glm_agent.mcp.lock import write
    from glm_agent.mcp.servers import MCPServers

    async with MCPServers.read([servers(SERVER)]) as connected:
        write(config.with_name("mcp.lock"), {"echo": await connected.connections[0].tools()})


class Asked:
    """A model that notes when it was first asked, and answers at once."""

    name = "asked"
    at = 0.0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        assert request.tools, "the server's tools are offered"
        self.at = time.perf_counter()
        yield ModelResponse(text="done", finish_reason="stop")


async def big_result(system: Any, *, small: int = 5, large: int = 50) -> dict[str, float]:
    """Results that no model could read; whether the cost grows with the size or with its square."""
    fresh_pages()
    async with pipe(SERVER) if type(system).__name__ == "Handwritten" else caller(system) as call:
        await echo(call, 0)
        costs = [min([await cost_of(call, megabytes) for _ in range(3)]) for megabytes in (small, large)]
    return {"over_linear": costs[1] / costs[0] * small / large, "cpu_s": costs[1], "cpu_ms_mb": costs[1] / large * 1e3}


@asynccontextmanager
async def pipe(command: list[str]) -> AsyncGenerator[Any, None]:
    """The same by hand, without any library: a line out, a line in, ``json`` both ways."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**27
    )
    assert process.stdin is not None
    assert process.stdout is not None
    write, read = process.stdin.write, process.stdout

    async def asked(method: str, params: dict[str, Any]) -> dict[str, Any]:
        write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        pieces = [await read.read(2**20)]
        while not pieces[-1].endswith(b"\n"):
            pieces.append(await read.read(2**20))
        result: dict[str, Any] = json.loads(b"".join(pieces))["result"]
        return result

    async def call(name: str, arguments: dict[str, Any]) -> str:
        return str((await asked("tools/call", {"name": name, "arguments": arguments}))["content"][0]["text"])

    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hand", "version": "1"}}
    await asked("initialize", client)
    write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
    try:
        yield call
    finally:
        process.stdin.close()
        await process.wait()


def fresh_pages() -> None:
    """Have both sizes pay for fresh memory: as it is, glibc keeps blocks of up to 32 MB for the next result."""
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)


async def cost_of(call: Any, megabytes: int) -> float:
    """CPU seconds of one result of that size."""
    with Clock() as clock:
        said = await call("big", {"megabytes": megabytes})
    assert len(said) > 10_000, said
    return clock.cpu
