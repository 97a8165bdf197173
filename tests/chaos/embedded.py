"""A batch in one process, on the journal: started, killed, and started again."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from world import Ledger, WorldModel, tools

from glm_agent.batch import Batch
from glm_agent.journal import Journal
from glm_agent.journal.log import SessionLog
from glm_agent.permissions import Policy

SERVER = str(Path(__file__).with_name("server.py"))


def servers(ledger: Path) -> list[Any]:
    """The configuration of the MCP server."""
    return [{"mcpServers": {"post": {"command": sys.executable, "args": ["-S", SERVER, str(ledger)]}}}]


class Embedded:
    """A batch in one process, on the journal."""

    def __init__(
        self, folder: Path, *, tasks: int, steps: int, concurrency: int, pause_seconds: float, seed: int
    ) -> None:
        self.folder, self.tasks, self.steps = folder, tasks, steps
        self.concurrency, self.pause_seconds, self.seed = concurrency, pause_seconds, seed
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
            silence(self.folder / "worker.log")
            if dies_at is not None:
                die_at(SessionLog, "append", dies_at)
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
            model=WorldModel(self.ledger, steps=self.steps, pause_seconds=self.pause_seconds, seed=self.seed),
            tools=tools(self.ledger, pause_seconds=self.pause_seconds),
            mcp_servers=servers(self.folder / "world.db"),
            permissions=Policy(),
            out=self.folder / "results.jsonl",
            journal=self.folder / "journal.db",
            concurrency=self.concurrency,
        )


def die_at(kind: Any, method: str, place: int) -> None:
    """Kill this process at a record: the method that every record goes through is counted."""
    keep, seen = getattr(kind, method), itertools.count()

    def counted(*arguments: Any, **keywords: Any) -> Any:
        number = next(seen)
        if place == 2 * number:
            os.kill(os.getpid(), signal.SIGKILL)
        kept = keep(*arguments, **keywords)
        if place == 2 * number + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept

    setattr(kind, method, counted)


def has_ended(pid: int) -> bool:
    """Whether it is there no more; its status is left for ``waitpid``."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def silence(log: Path) -> None:
    """What this process says goes to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
