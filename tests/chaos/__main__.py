"""Kill processes while they work, at random and at every record, and count what the world has seen.

    python tests/chaos --seed 7 --kills 40 --tasks 60            random kills
    python tests/chaos --every-record                            a kill before and after each record of one task

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
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from verdict import Verdict, judge, orphans
from world import Ledger, WorldModel, tools

from glm_agent.batch import Batch
from glm_agent.journal import Journal
from glm_agent.journal.log import SessionLog
from glm_agent.permissions import Policy

SERVER = str(Path(__file__).with_name("server.py"))
ORPHAN_SECONDS = 15.0
"""How long a server may take to notice that nobody is there."""


class Embedded:
    """A batch in one process, on the journal."""

    def __init__(self, folder: Path, *, tasks: int, steps: int, concurrency: int, pause_seconds: float) -> None:
        self.folder, self.tasks, self.steps = folder, tasks, steps
        self.concurrency, self.pause_seconds = concurrency, pause_seconds
        self.ledger = Ledger(folder / "world.db")
        self.ledger.prepare()
        self.answered = 0

    def start(self, *, dies_at: int | None = None) -> int:
        """A process that works; ``dies_at``: it kills itself before (even) or after (odd) half so many records."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.chdir(self.folder)
            _silence(self.folder / "worker.log")
            if dies_at is not None:
                _die_at(dies_at)
            report = self._batch().run_sync()
            code = 0 if report.answered == self.tasks else 3
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def sessions(self) -> list[Any]:
        with Journal(self.folder / "journal.db") as journal:
            return [journal.facts(each.id) for each in journal.sessions()]

    def results(self) -> int:
        path = self.folder / "results.jsonl"
        return len(
            {line.split('"key": ')[1].split(",")[0] for line in path.read_text().splitlines() if "end_turn" in line}
        )

    def _batch(self) -> Batch:
        return Batch(
            [{"key": f"t{number}", "prompt": f"t{number}"} for number in range(self.tasks)],
            model=WorldModel(self.ledger, steps=self.steps, pause_seconds=self.pause_seconds),
            tools=tools(self.ledger, pause_seconds=self.pause_seconds),
            mcp_servers=[
                {
                    "mcpServers": {
                        "post": {"command": sys.executable, "args": ["-S", SERVER, str(self.folder / "world.db")]}
                    }
                }
            ],
            permissions=Policy(),
            out=self.folder / "results.jsonl",
            journal=self.folder / "journal.db",
            concurrency=self.concurrency,
        )


def random_kills(world: Embedded, *, kills: int, chance: random.Random) -> int:
    """Kill it so often at a random moment, then let it finish; how many kills met it alive."""
    met = 0
    while met < kills:
        seen = world.ledger.count()
        pid = world.start()
        while world.ledger.count() == seen and not _has_ended(pid):
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


def _has_ended(pid: int) -> bool:
    """Whether it is there no more; its status is left for ``waitpid``."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _finish(world: Embedded) -> None:
    _, status = os.waitpid(world.start(), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        print((world.folder / "worker.log").read_text()[-3000:], file=sys.stderr)


def _die_at(place: int) -> None:
    """Kill this process at a record: the seam that every record goes through is counted."""
    append, seen = SessionLog.append, [0]

    def counted(self: SessionLog, *arguments: Any, **keywords: Any) -> Any:
        number = seen[0]
        seen[0] += 1
        if place == 2 * number:
            os.kill(os.getpid(), signal.SIGKILL)
        kept = append(self, *arguments, **keywords)
        if place == 2 * number + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept

    SessionLog.append = counted  # type: ignore[method-assign]


def _silence(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _verdict(world: Embedded, *, kills: int) -> Verdict:
    found = judge(
        world.ledger,
        world.sessions(),
        tasks=world.tasks,
        answered=world.results(),
        in_flight=kills * world.concurrency,
    )
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--steps", type=int, default=4, help="of each task, before its answer")
    parser.add_argument("--concurrency", type=int, default=6)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds that something takes, at most")
    parser.add_argument("--every-record", action="store_true", help="kill before and after every record of one task")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    for module in ("mcp.client.session", "mcp.types", "glm_agent.mcp.servers", "glm_agent.mcp.owner"):
        importlib.import_module(module)  # what is there before the fork need not be loaded in every process
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        started = time.monotonic()
        if given.every_record:
            worlds, kills = every_record(
                lambda place: Embedded(place, tasks=1, steps=given.steps, concurrency=1, pause_seconds=0.0),
                Path(folder),
            )
            verdicts = [_verdict(world, kills=1) for world in worlds]
            title = "journal, at every record"
        else:
            world = Embedded(
                Path(folder),
                tasks=given.tasks,
                steps=given.steps,
                concurrency=given.concurrency,
                pause_seconds=given.pause,
            )
            kills = random_kills(world, kills=given.kills, chance=random.Random(seed))
            verdicts = [_verdict(world, kills=kills)]
            title = f"journal, at random (seed {seed})"
        is_good = _show(title, verdicts, kills=kills, seconds=time.monotonic() - started)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
