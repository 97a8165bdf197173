"""A run as a table on the terminal."""

from __future__ import annotations

from rich.table import Table

from benchmarks.rounds import Measured, ratio, systems_of, value
from benchmarks.workloads import Metric, Workload


def table(workloads: list[Workload], rows: list[Measured]) -> Table:
    made = Table("workload", "unit", "by hand", "ours", "ratio", "to reach", "fast", "ratio")
    for column in made.columns[2:]:
        column.justify = "right"
    for workload in workloads:
        for place, metric in enumerate(workload.metrics):
            title = workload.title if place == 0 else ""
            made.add_row(title, metric.unit, *cells(workload, metric, rows))
    return made


def cells(workload: Workload, metric: Metric, rows: list[Measured]) -> list[str]:
    """The figures of one metric as text."""

    def of(system: str) -> str:
        return figure(value(rows, metric, workload=workload.name, system=system))

    own = ratio(rows, metric, workload=workload.name, system="ours")
    fast = ratio(rows, metric, workload=workload.name, system="fast") if "fast" in systems_of(workload) else None
    judged = verdict(own, metric.target)
    return [
        of("handwritten"),
        of("ours"),
        judged if not metric.is_absolute else judged and "",
        target(metric),
        of("fast"),
        verdict(fast, metric.fast_target or metric.target),
    ]


def verdict(found: float | None, wanted: float | None) -> str:
    if found is None:
        return ""
    colour = "white" if wanted is None else "green" if found <= wanted else "red"
    return f"[{colour}]{found:.2f}x[/]"


def target(metric: Metric) -> str:
    if metric.target is None:
        return ""
    wanted = f"{metric.target:g}" + ("" if metric.is_absolute else "x")
    return wanted + (f" ({metric.fast_target:g}x)" if metric.fast_target else "")


def figure(found: float | None) -> str:
    if found is None:
        return ""
    return f"{found:,.0f}" if abs(found) >= 100 else f"{found:.3g}"
