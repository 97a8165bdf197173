"""Turns of many steps: one alone, one that grows, many at once, with many tools, of ten thousand steps."""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from statistics import linear_regression, median
from typing import Any

from benchmarks import tools
from benchmarks.clock import Clock, Lap, middle, peak_mb, resident_mb


async def one_call(system: Any) -> dict[str, float]:
    """The smallest useful process: one tool call and the answer."""
    await checked(system, system.build("loop-1.tstock", tools.chosen("stock")), calls=1)
    return {"modules": len(sys.modules)}


async def middle_lap(system: Any, loop: Any, *, steps: int, repeats: int) -> Lap:
    """The medians of so many turns."""
    laps = []
    for _ in range(repeats):
        with Clock() as clock:
            await checked(system, loop, calls=steps)
        laps.append(clock)
    return middle(laps)


async def loop(system: Any, *, steps: int, repeats: int = 5) -> dict[str, float]:
    loop = system.build(f"loop-{steps}", tools.chosen("get_item"))
    await checked(system, loop, calls=steps)
    lap = await middle_lap(system, loop, steps=steps, repeats=repeats)
    return {"cpu_ms_step": lap.cpu / (steps + 1) * 1e3, "wall_ms_step": lap.wall / (steps + 1) * 1e3}


async def growth(system: Any, *, steps: int, repeats: int = 4) -> dict[str, float]:
    """How much more a step costs for every step before it, each with a result of 2 kB."""
    await checked(system, system.build("loop-2.tfetch_page", tools.chosen("fetch_page")), calls=2)
    loop = system.build(f"loop-{steps}.tfetch_page", tools.chosen("fetch_page"))
    with Clock():
        turns = [await costs_of_steps(system, loop, steps) for _ in range(repeats)]
    # The least of each step, then medians of ten: neither other programs nor a collection of garbage tilt the line.
    costs = [min(costs) for costs in zip(*turns, strict=True)]
    middles = [median(costs[at : at + 10]) for at in range(0, len(costs) - 9, 10)]
    line = linear_regression([at * 10 + 5 for at in range(len(middles))], middles)
    return {"slope_us": line.slope * 1e6, "cpu_ms_last": middles[-1] * 1e3}


async def at_once(system: Any, *, runs: int, steps: int, think_ms: int = 0) -> dict[str, float]:
    await checked(system, system.build("loop-2", tools.chosen("get_item")), calls=2)
    loop = system.build(f"loop-{steps}" + f".l{think_ms}" * bool(think_ms), tools.chosen("get_item"))
    before = resident_mb()
    called = tools.Seen.calls
    with Clock() as clock:
        answers = await asyncio.wait_for(asyncio.gather(*(system.run(loop) for _ in range(runs))), 150)
    assert answers == ["done"] * runs, answers
    assert tools.Seen.calls - called == runs * steps
    return {
        "cpu_ms_run": clock.cpu / runs * 1e3,
        "wall_s": clock.wall,
        "mb_run": (peak_mb() - before) / runs,
        "peak_mb": peak_mb(),
    }


async def many_tools(system: Any, *, count: int, steps: int = 20, repeats: int = 3) -> dict[str, float]:
    functions = tools.many(count)
    with Clock() as building:
        loop = system.build(f"loop-{steps}.ttool_007", functions)
        await checked(system, loop, calls=steps)
    lap = await middle_lap(system, loop, steps=steps, repeats=repeats)
    return {"cpu_ms_step": lap.cpu / (steps + 1) * 1e3, "build_ms": building.cpu * 1e3}


async def long(system: Any, *, steps: int, window: int = 20) -> dict[str, float]:
    """A turn of ten thousand steps whose window is held at a constant size."""
    loop = system.build(f"loop-{steps}", tools.chosen("get_item"), context=lambda said: newest(said, window))
    with Clock():
        costs = await costs_of_steps(system, loop, steps)
    early, late = median(costs[50:150]), median(costs[-100:])
    return {"late_over_early": late / early, "early_ms": early * 1e3, "late_ms": late * 1e3}


def newest(said: tuple[Any, ...], window: int) -> tuple[Any, ...]:
    """The first message and the newest pairs of call and result."""
    return said if len(said) <= window else said[:1] + said[-window:]


async def costs_of_steps(system: Any, loop: Any, steps: int) -> list[float]:
    """CPU seconds from each tool call to the next."""
    tools.Seen.cpu_seconds = at = []
    await checked(system, loop, calls=steps)
    tools.Seen.cpu_seconds = None
    return [after - before for before, after in pairwise(at)]


async def checked(system: Any, loop: Any, *, calls: int) -> None:
    """One turn; it must have called its tools that often and end with the server's word."""
    before = tools.Seen.calls
    answer = await system.run(loop)
    assert answer == "done", answer
    assert tools.Seen.calls - before == calls, f"{tools.Seen.calls - before} calls, not {calls}"
