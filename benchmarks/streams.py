"""What comes in fragments or at once: deltas, the first of them, parallel calls, calls that start early."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import tools
from benchmarks.clock import Clock, middle


class Shown:
    """What a viewer of the events saw."""

    def __init__(self) -> None:
        self.length = self.pieces = 0
        self.first_at = 0.0

    def text(self, text: str) -> None:
        self.first_at = self.first_at or time.perf_counter()
        self.length += len(text)

    def arguments(self, text: str) -> None:
        self.pieces += bool(text)


async def text(system: Any, *, count: int, repeats: int = 3) -> dict[str, float]:
    """A burst of text deltas."""
    loop = system.build(f"text-{count}", tools.chosen("get_item", "save_text"))
    length = sum(len(f"tok{place} ") for place in range(count))
    await system.stream(loop, Shown().text, Shown().arguments)
    laps = []
    for _ in range(repeats):
        shown = Shown()
        with Clock() as clock:
            await system.stream(loop, shown.text, shown.arguments)
        assert shown.length == length, shown.length
        laps.append(clock)
    return {"cpu_us_delta": middle(laps).cpu / count * 1e6}


async def arguments(system: Any, *, count: int, repeats: int = 3) -> dict[str, float]:
    """One call whose arguments come in fragments."""
    loop = system.build(f"arguments-{count}", tools.chosen("get_item", "save_text"))
    await system.stream(loop, Shown().text, Shown().arguments)
    laps = []
    for _ in range(repeats):
        shown, before = Shown(), tools.Seen.calls
        with Clock() as clock:
            await system.stream(loop, shown.text, shown.arguments)
        assert shown.pieces >= count, shown.pieces
        assert tools.Seen.calls - before == 1
        laps.append(clock)
    return {"cpu_us_delta": middle(laps).cpu / count * 1e6}


async def first(system: Any, *, think_ms: int = 50, repeats: int = 15) -> dict[str, float]:
    """From the request to the first delta, beyond what the server waits before it."""
    loop = system.build(f"text-20.l{think_ms}.d5", tools.chosen("get_item"))
    await system.stream(loop, Shown().text, Shown().arguments)
    waits = []
    for _ in range(repeats):
        shown, began = Shown(), time.perf_counter()
        await system.stream(loop, shown.text, shown.arguments)
        waits.append(shown.first_at - began)
    return {"ms_over_server": sorted(waits)[repeats // 2] * 1e3 - think_ms}


async def together(system: Any, *, model: str, calls: int, repeats: int = 5) -> dict[str, float]:
    """Wall time of calls that may run at once."""
    loop = system.build(model, tools.chosen("get_item", "sleep_ms"))
    await system.stream(loop, Shown().text, Shown().arguments)
    walls = []
    for _ in range(repeats):
        before, began = tools.Seen.calls, time.perf_counter()
        await system.stream(loop, Shown().text, Shown().arguments)
        walls.append(time.perf_counter() - began)
        assert tools.Seen.calls - before == calls
    return {"wall_ms": min(walls) * 1e3}
