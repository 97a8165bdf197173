"""Past runs, one JSON object a line, and the reference ratios that ``bench-check`` compares with.

A line holds versions, the medians and the ratios; nothing that names a machine.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, Measured, ratio, systems_of, value
from benchmarks.workloads import Workload

FOLDER = Path(__file__).parent / "history"
RUNS = FOLDER / "runs.jsonl"
REFERENCE = FOLDER / "reference.json"

ALLOWED = 1.2
"""How much worse than its reference a ratio may be."""

Ratios = dict[str, float]


def ratios(workloads: Iterable[Workload], rows: list[Measured], *, only_stable: bool = False) -> Ratios:
    """``workload.metric[.fast]`` -> ours over the baseline."""
    return {
        name: round(found, 4)
        for workload in workloads
        for system in systems_of(workload)
        if system != "handwritten"
        for metric in workload.metrics
        if (metric.is_stable or not only_stable)
        and (found := ratio(rows, metric, workload=workload.name, system=system)) is not None
        for name in [f"{workload.name}.{metric.key}" + ".fast" * (system == "fast")]
    }


def line(workloads: list[Workload], rows: list[Measured], *, rounds: int) -> dict[str, Any]:
    """One run as data."""
    names = {workload.name for workload in workloads}
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "rounds": rounds,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("glm-agent", "httpx2", "anyio", "pydantic", "mcp")},
        "ratios": ratios(workloads, rows),
        "values": {
            f"{workload.name}.{metric.key}.{system}": round(found, 3)
            for workload in workloads
            for metric in workload.metrics
            for system in sorted({row.system for row in rows if row.workload in names})
            if (found := value(rows, metric, workload=workload.name, system=system)) is not None
        },
    }


def append(entry: dict[str, Any]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with RUNS.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def runs() -> list[dict[str, Any]]:
    return [json.loads(text) for text in RUNS.read_text().splitlines()] if RUNS.exists() else []


def reference() -> Ratios:
    found: Ratios = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    return found


def keep_reference(new: Ratios) -> None:
    """The reference, with these ratios new or changed."""
    REFERENCE.write_text(json.dumps({**reference(), **new}, indent=2, sort_keys=True) + "\n")


def regressions(now: Ratios, before: Ratios) -> list[str]:
    """The names of ratios that are worse than allowed."""
    return [name for name, found in now.items() if name in before and found > before[name] * ALLOWED]


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
