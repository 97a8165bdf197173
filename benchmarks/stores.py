"""The journal: a kept fact against a bare commit of the same bytes, an intent against a bare synced one."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
    """One of each in turn: what else the disk does in these moments, it does to both."""
    waits: dict[Store, list[float]] = {bare: [], journal: []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        keeps = {store: stack.enter_context(store(Path(folder) / f"{store.__name__}.db"))[1] for store in waits}
        for place in range(count):
            for store, keep in keeps.items():
                began = time.perf_counter()
                await keep(place)
                waits[store].append(time.perf_counter() - began)
    found = {store: median(each[10:]) * 1e6 for store, each in waits.items()}
    return {"p50_us": found[store_of(system)], "over_bare": found[journal] / found[bare]}


Keep = Callable[[int], Awaitable[Any]]
Store = Callable[[Path], AbstractContextManager[tuple[Keep, Keep]]]


@contextmanager
def opened(system: Any) -> Generator[tuple[Keep, Keep]]:
    """What keeps fact number n, and what keeps intent number n."""
    with tempfile.TemporaryDirectory() as folder, store_of(system)(Path(folder) / "journal.db") as keeps:
        yield keeps


def store_of(system: Any) -> Store:
    return bare if type(system).__name__ == "Handwritten" else journal


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
