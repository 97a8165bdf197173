"""Where the time of each workload goes: samples of ``py-spy``, counted by who was running.

    python -m benchmarks --profiles [WORKLOAD …]

A sample counts for the part whose code it found at work: one of our rooms, or a library. What a library does in C
counts for whoever called it. Kept as data in ``history/profiles.json``, from which the page is made, and as a flame
graph for each workload in ``docs/profiles``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.flames import flames
from benchmarks.history import FOLDER
from benchmarks.rounds import ROOT, command_of, run
from benchmarks.workloads import Workload

FILE = FOLDER / "profiles.json"
GRAPHS = ROOT / "docs" / "profiles"
"""A flame graph of each workload."""
RATE = 500
"""Samples a second."""
RUNS = 3
"""Measurements that a profile is made of."""
SHOWN = 8
"""Parts of a workload that the page names."""

_FRAME = re.compile(r"(?P<name>[^;]*) \((?P<file>[^;()]*?)(?::\d+)?\)")

Shares = dict[str, float]
Stack = list[tuple[str, str]]
"""Function and file of each frame, the innermost last."""


def profile(workload: Workload, base_url: str) -> dict[str, Any]:
    """Shares of the parts, and of the functions, in percent of the samples of some measurements."""
    stacks = [found for _ in range(RUNS) for found in sampled(workload, base_url)]
    GRAPHS.mkdir(exist_ok=True)
    (GRAPHS / f"{workload.name}.svg").write_text(flames(stacks, title=workload.title, part_of=part_of))
    return {
        "samples": sum(count for _, count in stacks),
        "parts": shares((part_of(stack[-1][1]), count) for stack, count in stacks),
        "functions": shares((f"{part_of(stack[-1][1])}: {stack[-1][0]}", count) for stack, count in stacks),
    }


def sampled(workload: Workload, base_url: str) -> list[tuple[Stack, int]]:
    """The stacks that were met in one measurement."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks"
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "-r", str(RATE), "-f", "raw", "-o", str(raw)]
        run([*spy, "--", *command_of(workload, "ours", base_url)], workload.seconds * 2)
        return list(read(raw.read_text(), is_whole=workload.function in ("process", "loops.one_call")))


def read(raw: str, *, is_whole: bool) -> Iterator[tuple[Stack, int]]:
    """Stacks and how often each was met; without the process's start where it is not what is measured."""
    for line in raw.splitlines():
        frames, _, count = line.rpartition(" ")
        stack = [(found["name"], found["file"]) for found in _FRAME.finditer(frames)]
        is_importing = any(file.startswith("<frozen importlib") for _, file in stack)
        is_measured = is_whole or (
            not is_importing and any("run_forever" in name or "uvloop" in name for name, _ in stack)
        )
        own = [frame for frame in stack if not frame[1].startswith("<")]
        # What waits does not work, and what the clock does is not ours.
        if is_measured and own and own[-1][1] not in ("selectors.py", "benchmarks/clock.py"):
            yield own, int(count)


def part_of(file: str) -> str:
    """Who a file belongs to: ``glm_agent.wire``, ``anyio``, ``contextlib``."""
    first, *more = file.split("/")
    if first == "glm_agent" and more:
        return f"glm_agent.{more[0].removesuffix('.py')}" + (
            f".{more[1]}" if more[0] == "models" and len(more) > 2 else ""
        )
    return first.removesuffix(".py")


def shares(counted: Iterable[tuple[str, int]]) -> Shares:
    """Percent of each, the largest first, as many as are worth a word."""
    counts = Counter[str]()
    for name, count in counted:
        counts[name] += count
    return {name: round(100 * count / counts.total(), 1) for name, count in counts.most_common(2 * SHOWN)}


def keep(found: dict[str, Any]) -> None:
    """The stored profiles, with these new or changed."""
    FILE.write_text(json.dumps({**stored(), **found}, indent=1) + "\n")


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def table(workloads: Iterable[Workload]) -> str:
    """The stored profiles as Markdown."""
    found = stored()
    lines = ["| workload | samples | where they were, in percent |", "|---|--:|---|"]
    for workload in workloads:
        if (one := found.get(workload.name)) is not None:
            parts = [f"{name} {share:.0f}" for name, share in list(one["parts"].items())[:SHOWN] if share >= 1]
            graph = f"[{workload.title}](profiles/{workload.name}.svg)"
            title = graph if (GRAPHS / f"{workload.name}.svg").exists() else workload.title
            lines.append(f"| {title} | {one['samples']:,} | {', '.join(parts)} |")
    return "\n".join(lines) + "\n"
