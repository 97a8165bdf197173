"""The journal: a kept fact against a bare commit of the same bytes, an intent against a bare synced one."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clock import Clock

CONTENT = '{"item_id":17,"price":12.5,"stock":3,"note":"' + "a short note, as tools write them " * 12 + '"}'


async def facts(system: Any, *, count: int = 2000) -> dict[str, float]:
    with opened(system) as (keep, _):
        for place in range(50):
            await keep(place)
        with Clock() as clock:
            for place in range(50, 50 + count):
                await keep(place)
    return {"cpu_us": clock.cpu / count * 1e6, "wall_us": clock.wall / count * 1e6}


async def intents(system: Any, *, count: int = 300) -> dict[str, float]:
    waits = []
    with opened(system) as (_, keep):
        for place in range(10):
            await keep(place)
        for place in range(10, 10 + count):
            began = time.perf_counter()
            await keep(place)
            waits.append(time.perf_counter() - began)
    return {"p50_us": median(waits) * 1e6}


Keep = Callable[[int], Awaitable[Any]]


@contextmanager
def opened(system: Any) -> Generator[tuple[Keep, Keep]]:
    """What keeps fact number n, and what keeps intent number n."""
    with tempfile.TemporaryDirectory() as folder:
        store = bare if type(system).__name__ == "Handwritten" else journal
        with store(Path(folder) / "journal.db") as keeps:
            yield keeps


@contextmanager
def bare(path: Path) -> Generator[tuple[Keep, Keep]]:
    from glm_agent.messages import ToolResult, fact_to_json

    text = fact_to_json(ToolResult(call_id="call_17", name="get_item", content=CONTENT)).decode()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE records (number INTEGER PRIMARY KEY, data TEXT NOT NULL)")

    async def keep(_: int) -> None:
        connection.execute("INSERT INTO records (data) VALUES (?)", (text,))

    async def keep_fact(place: int) -> None:
        if place == 0:
            connection.execute("PRAGMA synchronous = NORMAL")
        await keep(place)

    async def keep_synced(place: int) -> None:
        if place == 0:
            connection.execute("PRAGMA synchronous = FULL")
        await keep(place)

    try:
        yield keep_fact, keep_synced
    finally:
        connection.close()


@contextmanager
def journal(path: Path) -> Generator[tuple[Keep, Keep]]:
    from glm_agent.driver import Intent
    from glm_agent.journal import Journal
    from glm_agent.messages import ToolResult

    result = ToolResult(call_id="call_17", name="get_item", content=CONTENT)

    async def fact() -> ToolResult:
        return result

    with Journal(path) as store, store.open("measured") as session:

        async def keep(_: int) -> None:
            await session.reserve().run(fact)

        async def keep_intent(place: int) -> None:
            async def intent() -> Intent:
                return Intent(key=f"{place:064}", call_id="call_17", name="get_item", holder=session.holder)

            await session.reserve().run(intent)

        yield keep, keep_intent
