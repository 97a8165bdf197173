"""The history as the table and the plot of ``docs/performance.md``."""

from __future__ import annotations

import re
from typing import Any

from benchmarks import peers, profiles
from benchmarks.plot import Bar, plot
from benchmarks.rounds import ROOT
from benchmarks.table import figure, target
from benchmarks.workloads import WORKLOADS, Metric, Workload

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"

_TABLE = re.compile(r"(<!-- table: make bench-report -->\n).*?(<!-- end of table -->)", re.DOTALL)
_PEERS = re.compile(r"(<!-- peers: make bench-peers -->\n).*?(<!-- end of peers -->)", re.DOTALL)
_PROFILES = re.compile(r"(<!-- profiles: make bench-profile -->\n).*?(<!-- end of profiles -->)", re.DOTALL)


def write(runs: list[dict[str, Any]]) -> None:
    """Each figure is the newest that the history has."""
    newest: dict[str, Any] = {"ratios": {}, "values": {}}
    for run in runs:
        newest["ratios"] |= run["ratios"]
        newest["values"] |= run["values"]
    page = PAGE.read_text()
    page = _TABLE.sub(lambda found: found[1] + table(newest) + found[2], page)
    page = _PEERS.sub(lambda found: found[1] + peers.table() + found[2], page)
    PAGE.write_text(_PROFILES.sub(lambda found: found[1] + profiles.table(WORKLOADS) + found[2], page))
    PLOT.write_text(plot(bars(newest)))


def table(newest: dict[str, Any]) -> str:
    lines = [
        "| workload | unit | by hand | ours | ratio | to reach | `fast` | ratio |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for workload in WORKLOADS:
        for place, metric in enumerate(workload.metrics):
            title = workload.title if place == 0 else ""
            lines.append(f"| {' | '.join([title, metric.unit, *cells(newest, workload, metric)])} |")
    return "\n".join(lines) + "\n"


def cells(newest: dict[str, Any], workload: Workload, metric: Metric) -> list[str]:
    name = f"{workload.name}.{metric.key}"
    values = [newest["values"].get(f"{name}.{system}") for system in ("handwritten", "ours", "fast")]
    by_hand, ours, fast = map(figure, values)
    own = "" if metric.is_absolute else times(newest["ratios"].get(name))
    return [by_hand, ours, own, target(metric), fast, times(newest["ratios"].get(f"{name}.fast"))]


def times(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}x"


def bars(newest: dict[str, Any]) -> list[Bar]:
    """One bar for each ratio that has a target."""
    return [
        Bar(label=f"{workload.name}, {metric.unit}", ratio=found, target=metric.target)
        for workload in WORKLOADS
        for metric in workload.metrics
        if metric.target and not metric.is_absolute
        if (found := newest["ratios"].get(f"{workload.name}.{metric.key}")) is not None
    ]
