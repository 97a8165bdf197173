"""Do harm to processes while they work, and count what the world has seen.

    python tests/chaos --seed 7 --kills 40 --tasks 60            a batch on the journal, killed at random
    python tests/chaos --every-record                            before and after each record of one task
    python tests/chaos --database postgresql --workers 3         workers, of which one is killed again and again
    python tests/chaos --database postgresql --fault term        told to stop: nothing may be repeated
    python tests/chaos --database postgresql --fault outage      the server crashes under them, and comes back
    python tests/chaos --database postgresql --fault cut         connections are cut, any of them
    python tests/chaos --database postgresql --every-record      each worker dies one record later than the one before

Leaves with 1 where something was lost, happened twice, or was not told; then the folder with the world and what the
processes said stays, and is named. The seed gives the moments, whom they strike, and what the model asks for.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from embedded import Embedded, has_ended
from verdict import Verdict, judge, orphans

ORPHAN_SECONDS = 15.0
"""How long a server may take to notice that nobody is there."""
TASKS_AT_EVERY_RECORD = 2
"""The model asks for the same in each life of a task, so one task has not every kind of call."""


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


def _judged(world: Any, *, in_flight: int, repeats_nothing: bool = False) -> Verdict:
    found = judge(world.ledger, world.sessions(), tasks=world.tasks, answered=world.results(), in_flight=in_flight)
    end = time.monotonic() + ORPHAN_SECONDS
    while (left := orphans(world.ledger)) and time.monotonic() < end:
        time.sleep(0.05)
    found.orphans = len(left)
    return found.check(repeats_nothing=repeats_nothing)


# -- what is asked for


def on_the_journal(given: argparse.Namespace, folder: Path) -> tuple[str, list[Verdict]]:
    world = _embedded(given, folder, tasks=given.tasks)
    kills = random_kills(world, kills=given.kills, chance=random.Random(given.seed))
    return f"journal, {kills} times kill -9 at random", [_judged(world, in_flight=kills * given.concurrency)]


def at_every_record(given: argparse.Namespace, folder: Path) -> tuple[str, list[Verdict]]:
    given.concurrency, given.pause = 1, 0.0
    worlds, kills, first = list[Embedded](), 0, given.seed
    for _ in range(min(given.tasks, TASKS_AT_EVERY_RECORD)):
        place = folder / f"seed-{given.seed}"
        place.mkdir()
        found, died = every_record(lambda here: _embedded(given, here, tasks=1), place)
        worlds, kills = [*worlds, *found], kills + died
        given.seed += 1  # another task
    given.seed = first
    return f"journal, {kills} times kill -9, at every record", [_judged(world, in_flight=1) for world in worlds]


def _embedded(given: argparse.Namespace, folder: Path, *, tasks: int) -> Embedded:
    return Embedded(
        folder,
        tasks=tasks,
        steps=given.steps,
        concurrency=given.concurrency,
        pause_seconds=given.pause,
        seed=given.seed,
    )


def on_a_database(given: argparse.Namespace, folder: Path) -> tuple[str, list[Verdict]]:
    import distributed

    chance = random.Random(given.seed)
    with _database(given.database, folder) as (url, server):
        world = distributed.Distributed(
            url=url,
            folder=folder,
            tasks=given.tasks,
            steps=given.steps,
            workers=given.workers,
            concurrency=given.concurrency,
            pause_seconds=given.pause,
            seed=given.seed,
        )
        if given.every_record:
            faults = distributed.every_record(world, kills=given.kills)
        else:
            faults = distributed.at_random(world, distributed.FAULTS[given.fault], server, given.kills, chance)
        in_flight = faults * given.concurrency * (given.workers if given.fault == "outage" else 1)
        is_gentle = given.fault in ("term", "outage")
        verdict = _judged(world, in_flight=0 if is_gentle else in_flight, repeats_nothing=is_gentle)
        if verdict.problems:
            (folder / "sessions.txt").write_text("\n".join(str(fact) for facts in world.sessions() for fact in facts))
    what = "kill -9, each one record later" if given.every_record else _WHAT[given.fault]
    return f"{given.database}, {given.workers} workers, {faults} times {what}", [verdict]


_WHAT = {
    "kill": "kill -9 at random",
    "term": "SIGTERM at random",
    "outage": "the server stopped as by a crash, and started",
    "cut": "a connection cut by the server",
}


@contextmanager
def _database(kind: str, folder: Path) -> Generator[tuple[str, Any]]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/runs.db", None
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "servers"))
    from postgres import running

    with running() as server:
        yield server.new_database(), server


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=20, help="or other faults")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--steps", type=int, default=4, help="of each task, before its answer")
    parser.add_argument("--concurrency", type=int, default=6, help="tasks at once in each process")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that something takes, at most")
    parser.add_argument("--every-record", action="store_true", help="kill before and after every record")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="workers on a database, not the journal")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--fault", choices=_WHAT, default="kill", help="what is done, at random moments")
    given = parser.parse_args()
    if (given.fault != "kill" and given.database is None) or (
        given.fault in ("outage", "cut") and given.database == "sqlite"
    ):
        parser.error(f"--fault {given.fault} needs --database postgresql")
    return given


def _repeat(seed: int) -> str:
    """The command that does the same once more."""
    words = [word for word in sys.argv[1:] if not word.startswith("--seed=")]
    if "--seed" in words:
        del words[(at := words.index("--seed")) : at + 2]
    return shlex.join(["python", "tests/chaos", *words, "--seed", str(seed)])


def main() -> int:
    given = _given()
    for module in ("mcp.client.session", "mcp.types", "glm_agent.mcp.servers", "glm_agent.mcp.owner"):
        importlib.import_module(module)  # what is there before the fork need not be loaded in every process
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    started = time.monotonic()
    run = on_a_database if given.database else at_every_record if given.every_record else on_the_journal
    title, verdicts = run(given, folder)
    total = reduce(add, verdicts)
    print(f"{title}, {time.monotonic() - started:.1f} s")
    for line in (*total.lines(), f"again with: {_repeat(given.seed)}"):
        print(f"  {line}")
    if total.problems:
        print(f"  what happened is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
