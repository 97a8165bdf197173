"""Runs workloads in rounds, each measurement in a process of its own, and keeps what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks.workloads import Metric, Workload

ROOT = Path(__file__).parent.parent
BASELINE = "handwritten"

Found = dict[str, float]


class Failed(Exception):
    """A measurement did not end, or ended wrongly."""


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    round: int
    workload: str
    system: str
    found: Found
    error: str = ""
    """What went wrong, where nothing was found."""


@contextmanager
def server() -> Generator[str]:
    """The base address of a server that runs until the block ends."""
    command = [*pinned(last=True), sys.executable, "-m", "benchmarks.server"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait(10)


def pinned(*, last: bool) -> list[str]:
    """The client has the first core and the server the last, where the system can say so."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return ["taskset", "-c", str(cores[-1 if last else 0])] if len(cores) > 1 else []


def systems_of(workload: Workload) -> list[str]:
    """The systems to measure; ``fast`` only where its extra is installed."""
    has_fast = find_spec("uvloop") is not None
    return [system for system in workload.systems if system != "fast" or has_fast]


def measured(workloads: Iterable[Workload], *, rounds: int, base_url: str) -> Generator[Measured]:
    """Round after round; every other one in reverse, so that no system always comes first."""
    for number in range(rounds):
        for workload in workloads:
            for system in systems_of(workload)[:: -1 if number % 2 else 1]:
                try:
                    yield Measured(number, workload.name, system, measure(workload, system, base_url))
                except Failed as failed:
                    yield Measured(number, workload.name, system, {}, str(failed))


def measure(workload: Workload, system: str, base_url: str, *, profile: str = "") -> Found:
    command = command_of(workload, system, base_url)
    if workload.function == "process":
        # The least of some: the first may compile, and what else the machine does only adds.
        return {"cpu_ms": min(run(command, workload.seconds)[1] for _ in range(5))}
    output, cpu_ms = run([*command, profile] if profile else command, workload.seconds)
    found: Found = json.loads(output.strip().splitlines()[-1])
    return {**found, "process_cpu_ms": cpu_ms}


def command_of(workload: Workload, system: str, base_url: str) -> list[str]:
    """The process that is measured."""
    if workload.function == "process":
        return [sys.executable, "-c", workload.statements[system]]
    parameters = json.dumps(workload.parameters)
    return [sys.executable, "-m", "benchmarks.measure", system, workload.function, base_url, parameters]


def run(command: list[str], seconds: float) -> tuple[str, float]:
    """What a process wrote, and the CPU milliseconds of that process alone."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*pinned(last=False), *command], cwd=ROOT, stdout=out, stderr=errors, env=environment()
        )
        used = waited(process, seconds)
        out.seek(0), errors.seek(0)
        if process.returncode != 0:
            said = errors.read().strip().rpartition("\n")[2][-500:]
            raise Failed(f"{' '.join(command[1:])[:200]} ended with {process.returncode}: {said}")
        return out.read(), used


def environment() -> dict[str, str]:
    """Ours, with modules compiled once, as they are for everybody."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def waited(process: subprocess.Popen[bytes] | subprocess.Popen[str], seconds: float) -> float:
    """CPU milliseconds of the process, its own children not counted unless it waited for them."""
    end = time.monotonic() + seconds
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return (used.ru_utime + used.ru_stime) * 1e3
        if time.monotonic() > end:
            process.kill()
            process.wait()
            raise Failed(f"a measurement took longer than {seconds:g} seconds")
        time.sleep(0.02)


def value(rows: Iterable[Measured], metric: Metric, *, workload: str, system: str) -> float | None:
    """The median over the rounds."""
    own = [row.found[metric.key] for row in rows if (row.workload, row.system) == (workload, system) and row.found]
    return median(own) if own else None


def ratio(rows: Iterable[Measured], metric: Metric, *, workload: str, system: str) -> float | None:
    """The median of the ratios to the baseline of the same round; of an absolute metric, the figure itself."""
    rows = [row for row in rows if row.found]
    if metric.is_absolute:
        return value(rows, metric, workload=workload, system=system)
    base = {row.round: row.found[metric.key] for row in rows if (row.workload, row.system) == (workload, BASELINE)}
    own = [row for row in rows if (row.workload, row.system) == (workload, system) and base.get(row.round)]
    return median(row.found[metric.key] / base[row.round] for row in own) if own else None
