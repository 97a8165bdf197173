"""The command: measure, compare, report.

python -m benchmarks                      all but the long workloads, three rounds; adds a line to the history
python -m benchmarks loop text -r 5       some workloads, more rounds
python -m benchmarks --check              fails where a ratio is over 20 % worse than the stored one
python -m benchmarks --keep               stores the ratios as the new reference
python -m benchmarks --report             writes table and plot of docs/performance.md from the history
python -m benchmarks loop --profile FILE  one profiled measurement of ours, for pstats or snakeviz
python -m benchmarks --peers              other frameworks on the same turns; stored for the page
python -m benchmarks --profiles           where the time of each workload goes, by py-spy; stored for the page
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks import history, peers, profiles, report
from benchmarks.rounds import Failed, Measured, measure, measured, server, systems_of
from benchmarks.table import table
from benchmarks.workloads import WORKLOADS, Workload

WIDE = 200
"""Columns of the table where it is not printed on a terminal."""

Again = Callable[[list[Workload]], list[Measured]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    history.REFERENCE = options.reference or history.REFERENCE
    if options.report:
        report.write(history.runs())
        return 0
    workloads = chosen(options.workloads, with_long=options.all)
    try:
        if options.profiles:
            return profiled(workloads)
        if options.peers:
            return compared(options.workloads, rounds=options.rounds)
        if options.profile:
            with server() as base_url:
                print(measure(workloads[0], "ours", base_url, profile=options.profile))
            return 0
        rows = run(workloads, rounds=options.rounds)
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    # No terminal, no end of the line: a file or a pager has room.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table(workloads, rows))
    for row in rows:
        if row.error:
            print(f"benchmarks: {row.workload}, {row.system}: {row.error}", file=sys.stderr)
    code = checked(workloads, rows, partial(run, rounds=5)) if options.check else kept(workloads, rows, options)
    return 1 if any(row.error for row in rows) else code


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="What a turn costs, against a hand-written loop.")
    parser.add_argument("workloads", nargs="*", help=f"some of: {' '.join(each.name for each in WORKLOADS)}")
    parser.add_argument("-r", "--rounds", type=int, default=3, help="measurements of each (default: 3)")
    parser.add_argument("--all", action="store_true", help="the long workloads too")
    parser.add_argument(
        "--check", action="store_true", help="fail where a ratio is over 20 %% worse than the reference"
    )
    parser.add_argument("--reference", type=Path, metavar="FILE", help="the ratios to compare with")
    parser.add_argument("--keep", action="store_true", help="store the ratios as the reference")
    parser.add_argument("--dry", action="store_true", help="add nothing to the history")
    parser.add_argument("--report", action="store_true", help="write table and plot of docs/performance.md")
    parser.add_argument("--profiles", action="store_true", help="where the time of ours goes, by py-spy; stored")
    parser.add_argument("--peers", action="store_true", help="other frameworks on the same turns, where installed")
    parser.add_argument("--profile", metavar="FILE", help="profile ours in the first workload")
    return parser.parse_args(arguments)


def chosen(names: list[str], *, with_long: bool) -> list[Workload]:
    if unknown := set(names) - {workload.name for workload in WORKLOADS}:
        sys.exit(f"benchmarks: no workload {', '.join(sorted(unknown))}; --help lists them")
    return [each for each in WORKLOADS if (each.name in names if names else with_long or not each.is_long)]


def run(workloads: list[Workload], *, rounds: int) -> list[Measured]:
    total = rounds * sum(len(systems_of(workload)) for workload in workloads)
    with server() as base_url:
        all_of_them = measured(workloads, rounds=rounds, base_url=base_url)
        console = Console(stderr=True)
        return list(track(all_of_them, total=total, console=console, disable=not console.is_terminal))


def profiled(workloads: list[Workload]) -> int:
    with server() as base_url:
        for workload in track(workloads, console=Console(stderr=True)):
            profiles.keep({workload.name: profiles.profile(workload, base_url)})
    print(profiles.table(workloads))
    return 0


def compared(names: list[str], *, rounds: int) -> int:
    if missing := peers.missing():
        print(f"benchmarks: not installed here: {', '.join(missing)}; make bench-peers brings them", file=sys.stderr)
        return 2
    workloads = peers.compared(names)
    rows = run(workloads, rounds=rounds)
    for row in rows:
        if row.error:
            print(f"benchmarks: {row.workload}, {row.system}: {row.error}", file=sys.stderr)
    peers.keep(workloads, rows)
    print(peers.table())
    return 0


def kept(workloads: list[Workload], rows: list[Measured], options: argparse.Namespace) -> int:
    if not options.dry:
        history.append(history.line(workloads, rows, rounds=options.rounds))
    if options.keep:
        history.keep_reference(history.ratios(workloads, rows, only_stable=True))
    return 0


def checked(workloads: list[Workload], rows: list[Measured], again: Again) -> int:
    """1 where something got worse. What got worse is measured again first: other programs use the machine too."""
    before = history.reference()
    worse = history.regressions(history.ratios(workloads, rows, only_stable=True), before)
    if worse:
        doubtful = [each for each in workloads if any(name.startswith(f"{each.name}.") for name in worse)]
        now = history.ratios(doubtful, again(doubtful), only_stable=True)
        worse = history.regressions({name: now[name] for name in worse if name in now}, before)
        for name in worse:
            print(f"worse than the reference: {name} is {now[name]:.2f}, was {before[name]:.2f}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
