"""Other frameworks on the same turns: ``make bench-peers``, in an environment of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import distributions, version
from typing import Any

from benchmarks.history import FOLDER
from benchmarks.rounds import Measured, ratio, value
from benchmarks.workloads import PEERS, WORKLOADS, Workload

FILE = FOLDER / "peers.json"


def keep(workloads: Iterable[Workload], rows: list[Measured]) -> None:
    """The figures of all systems as data, with the versions of the frameworks; what was not measured now stays."""
    systems = ["ours", *PEERS]
    new = {
        workload.name: {
            "title": workload.title,
            "unit": workload.metrics[0].unit,
            "by_hand": value(rows, workload.metrics[0], workload=workload.name, system="handwritten"),
            **{name: ratio(rows, workload.metrics[0], workload=workload.name, system=name) for name in systems},
        }
        for workload in workloads
    }
    versions = {name: version(peer.package) for name, peer in PEERS.items()}
    found = {"versions": versions, "workloads": {**stored().get("workloads", {}), **new}}
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def missing() -> list[str]:
    """Packages of other frameworks that this environment lacks."""
    here = {distribution.name for distribution in distributions()}
    return [peer.package for peer in PEERS.values() if peer.package not in here]


def stored() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def table() -> str:
    """The stored figures as Markdown; nothing where none are stored."""
    found = stored()
    if not found:
        return ""
    names = ["ours", *found["versions"]]
    heads = ["ours", *(f"{name} {number}" for name, number in found["versions"].items())]
    lines = [f"| workload | by hand | {' | '.join(heads)} |", f"|---|--:|{'--:|' * len(heads)}"]
    for row in found["workloads"].values():
        cells = [f"{row[name]:{'.1f' if row[name] >= 2 else '.2f'}}x" if row.get(name) else "" for name in names]
        lines.append(f"| {row['title']}, {row['unit']} | {row['by_hand']:.3g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def compared(names: Iterable[str] = ()) -> list[Workload]:
    """The workloads that others are measured on (or those of these names), with them among the systems."""
    return [
        replace(
            workload,
            systems=("handwritten", "ours", *PEERS),
            # Some take seconds for what takes the others milliseconds.
            parameters=workload.parameters | ({"repeats": 1} if workload.name in ("loop", "growth") else {}),
            seconds=300,
            statements=workload.statements and workload.statements | {name: PEERS[name].statement for name in PEERS},
        )
        for workload in WORKLOADS
        if workload.has_peers and (not names or workload.name in names)
    ]
