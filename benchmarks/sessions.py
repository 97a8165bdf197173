"""MCP servers: one call through us and through the bare session of the official SDK."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

from benchmarks.clock import Clock, middle

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


async def big_result(system: Any, *, small: int = 5, large: int = 50) -> dict[str, float]:
    """Results that no model could read; whether the cost grows with the size or with its square."""
    async with caller(system) as call:
        await echo(call, 0)
        costs = [await cost_of(call, megabytes) for megabytes in (small, large)]
    return {"over_linear": costs[1] / costs[0] * small / large, "cpu_ms_mb": costs[1] / large * 1e3}


async def cost_of(call: Any, megabytes: int) -> float:
    """CPU seconds of one result of that size."""
    with Clock() as clock:
        said = await call("big", {"megabytes": megabytes})
    assert len(said) > 10_000, said
    return clock.cpu
