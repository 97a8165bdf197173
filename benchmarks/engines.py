"""The durable engine: a record kept as our step against a bare step of the engine with the same bytes, on SQLite."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clock import Clock
from benchmarks.stores import CONTENT

Keep = Callable[[], Awaitable[Any]]


async def steps(system: Any, *, count: int = 400) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        store = bare if type(system).__name__ == "Handwritten" else ours
        async with store(Path(folder) / "runs.db") as keep:
            for _ in range(40):
                await keep()
            waits = []
            with Clock() as clock:
                for _ in range(count):
                    began = time.perf_counter()
                    await keep()
                    waits.append(time.perf_counter() - began)
    return {"cpu_us": clock.cpu / count * 1e6, "p50_us": median(waits) * 1e6}


@asynccontextmanager
async def bare(path: Path) -> AsyncGenerator[Keep]:
    """The engine as its manual shows it, on a database opened as ours is: WAL, synchronous=NORMAL."""
    import dbos

    from glm_agent.durable.address import Address
    from glm_agent.durable.database import Database
    from glm_agent.messages import ToolResult, fact_to_json

    database = Database(Address.parse(f"sqlite:///{path}"))
    await asyncio.to_thread(database.prepare)
    outcome = json.loads(fact_to_json(ToolResult(call_id="call_17", name="get_item", content=CONTENT)))
    wanted, kept, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer() -> Any:
        return outcome

    @dbos.DBOS.workflow(name="measured")
    async def workflow() -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            if ended.is_set():
                return
            await dbos.DBOS.run_step_async({"name": "tool_result"}, answer)
            kept.set()

    async def keep() -> None:
        kept.clear()
        wanted.set()
        await kept.wait()

    dbos.DBOS(
        config={
            "name": "measured",
            "system_database_url": database.address.url,
            "system_database_engine": database.engine,
            "serializer": dbos.DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            "use_listen_notify": False,
        }
    )
    dbos.DBOS.listen_queues([])
    dbos.DBOS.launch()
    handle = await dbos.DBOS.start_workflow_async(workflow)
    try:
        yield keep
    finally:
        ended.set()
        wanted.set()
        await handle.get_result()
        await asyncio.to_thread(dbos.DBOS.destroy)
        database.close()


@asynccontextmanager
async def ours(path: Path) -> AsyncGenerator[Keep]:
    from glm_agent.durable import engine, sessions_in
    from glm_agent.messages import ToolResult

    result = ToolResult(call_id="call_17", name="get_item", content=CONTENT)

    async def answer() -> ToolResult:
        return result

    store = sessions_in(f"sqlite:///{path}")
    session = await asyncio.to_thread(store.open, "measured")

    async def keep() -> None:
        await session.reserve().run(answer)

    try:
        yield keep
    finally:
        await asyncio.to_thread(session.close)
        await asyncio.to_thread(engine.close)
