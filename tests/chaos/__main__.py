"""Kill processes while they work, at random and at every record, and count what the world has seen.

    python tests/chaos --seed 7 --kills 40 --tasks 60            a batch on the journal, killed at random
    python tests/chaos --every-record                            before and after each record of one task
    python tests/chaos --database postgresql --workers 3         workers, of which one is killed again and again
    python tests/chaos --database postgresql --signal TERM       the same, told to stop: nothing may be repeated
    python tests/chaos --database sqlite --every-record          worker after worker, each dies one record later

Leaves with 1 where something was lost, happened twice, or was not told.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from embedded import Embedded, has_ended
from verdict import Verdict, judge, orphans

ORPHAN_SECONDS = 15.0
"""How long a server may take to notice that nobody is there."""


def random_kills(world: Embedded, *, kills: int, chance: random.Random) -> int:
    """Kill it so often at a random moment, then let it finish; how many kills met it alive."""
    met = 0
    while met < kills:
        seen = world.ledger.count()
        pid = world.start()
        while world.ledger.count() == seen and not has_ended(pid):
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.3))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            break  # it was done before
        met += 1
    _finish(world)
    return met


def every_record(make: Callable[[Path], Embedded], folder: Path) -> tuple[list[Embedded], int]:
    """One world for each record of a task and each side of it, killed there once."""
    worlds: list[Embedded] = []
    while True:
        place = folder / f"w{len(worlds)}"
        place.mkdir()
        world = make(place)
        worlds.append(world)
        _, status = os.waitpid(world.start(dies_at=len(worlds) - 1), 0)
        if not os.WIFSIGNALED(status):
            return worlds, len(worlds) - 1  # it has fewer records
        _finish(world)


def _finish(world: Embedded) -> None:
    _, status = os.waitpid(world.start(), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        print((world.folder / "worker.log").read_text()[-3000:], file=sys.stderr)


def _judged(world: Embedded, *, in_flight: int) -> Verdict:
    found = judge(world.ledger, world.sessions(), tasks=world.tasks, answered=world.results(), in_flight=in_flight)
    end = time.monotonic() + ORPHAN_SECONDS
    while (left := orphans(world.ledger)) and time.monotonic() < end:
        time.sleep(0.05)
    found.orphans = len(left)
    return found.check()


def _show(title: str, verdicts: list[Verdict], *, kills: int, seconds: float) -> bool:
    """A table of sums, and what is wrong."""
    names = [each.name for each in fields(Verdict) if each.name not in ("problems", "in_flight")]
    print(f"{title}: {kills} kills, {seconds:.1f} s")
    for name in names:
        print(f"  {name.replace('_', ' '):<14}{sum(getattr(each, name) for each in verdicts):>8,}")
    problems = [problem for each in verdicts for problem in each.problems]
    for problem in problems[:10]:
        print(f"  WRONG: {problem}")
    return not problems


# -- what is asked for


def on_the_journal(given: argparse.Namespace, folder: Path, *, seed: int) -> tuple[str, list[Verdict], int]:
    world = Embedded(
        folder, tasks=given.tasks, steps=given.steps, concurrency=given.concurrency, pause_seconds=given.pause
    )
    kills = random_kills(world, kills=given.kills, chance=random.Random(seed))
    return f"journal, at random (seed {seed})", [_judged(world, in_flight=kills * given.concurrency)], kills


def at_every_record(given: argparse.Namespace, folder: Path) -> tuple[str, list[Verdict], int]:
    worlds, kills = every_record(
        lambda place: Embedded(place, tasks=1, steps=given.steps, concurrency=1, pause_seconds=0.0), folder
    )
    return "journal, at every record", [_judged(world, in_flight=1) for world in worlds], kills


def on_a_database(given: argparse.Namespace, folder: Path, *, seed: int) -> tuple[str, list[Verdict], int]:
    import distributed

    number = signal.SIGTERM if given.signal == "TERM" else signal.SIGKILL
    with _database(given.database, folder) as url:
        world = distributed.Distributed(
            url=url,
            folder=folder,
            tasks=given.tasks,
            steps=given.steps,
            workers=given.workers,
            concurrency=given.concurrency,
            pause_seconds=given.pause,
        )
        if given.every_record:
            kills = distributed.every_record(world, kills=given.kills)
        else:
            kills = distributed.random_kills(world, kills=given.kills, number=number, chance=random.Random(seed))
        in_flight = 0 if given.signal == "TERM" else kills * given.concurrency
        verdict = _judged(world, in_flight=in_flight)  # type: ignore[arg-type]
    if given.signal == "TERM" and (verdict.unknown or verdict.retried):
        verdict.problems.append(
            f"told to stop, {verdict.unknown} outcomes are unknown and {verdict.retried} calls repeated"
        )
    how = "at every record" if given.every_record else f"{given.workers} workers, SIG{given.signal} (seed {seed})"
    return f"{given.database}, {how}", [verdict], kills


@contextmanager
def _database(kind: str, folder: Path) -> Generator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/runs.db"
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))
    from postgres import running

    with running() as server:
        yield server.new_database()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--steps", type=int, default=4, help="of each task, before its answer")
    parser.add_argument("--concurrency", type=int, default=6, help="tasks at once in each process")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that something takes, at most")
    parser.add_argument("--every-record", action="store_true", help="kill before and after every record of one task")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="workers on a database, not the journal")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL", help="what ends a worker")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    for module in ("mcp.client.session", "mcp.types", "glm_agent.mcp.servers", "glm_agent.mcp.owner"):
        importlib.import_module(module)  # what is there before the fork need not be loaded in every process
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        started = time.monotonic()
        if given.database:
            title, verdicts, kills = on_a_database(given, Path(folder), seed=seed)
        elif given.every_record:
            title, verdicts, kills = at_every_record(given, Path(folder))
        else:
            title, verdicts, kills = on_the_journal(given, Path(folder), seed=seed)
        is_good = _show(title, verdicts, kills=kills, seconds=time.monotonic() - started)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
