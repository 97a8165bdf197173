"""Workers on a database: several at once, one killed and replaced again and again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from embedded import die_at, has_ended, servers, silence
from world import Ledger, WorldModel, tools

from glm_agent import Agent
from glm_agent.durable import queue_in, session, sessions_in
from glm_agent.durable.queue import TurnSpec

QUIET_SECONDS = 60.0
"""Where nothing has happened for so long, nothing will."""


@dataclass(kw_only=True)
class Distributed:
    """A database with tasks in its queue, and the processes that do them."""

    url: str
    folder: Path
    tasks: int
    steps: int
    workers: int
    concurrency: int
    pause_seconds: float
    seed: int
    running: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "world.db")
        self.ledger.prepare()
        queue = queue_in(self.url)
        queue.put(TurnSpec(session=f"t{number}", prompt=f"t{number}") for number in range(self.tasks))
        queue.close()  # a process that is made by a fork must not have these connections

    def start(self, *, dies_at: int | None = None) -> None:
        """One more worker; ``dies_at``: it kills itself before (even) or after (odd) half so many records."""
        if pid := os.fork():
            self.running.append(pid)
            return
        try:
            os.chdir(self.folder)
            silence(self.folder / f"worker-{os.getpid()}.log")
            if dies_at is not None:
                die_at(session, "keep", dies_at)
            self._serve()
        finally:
            os._exit(1)

    def kill(self, chance: random.Random, number: int) -> None:
        """End one of them."""
        pid = self.running.pop(chance.randrange(len(self.running)))
        os.kill(pid, number)
        os.waitpid(pid, 0)

    def done(self) -> int:
        """Tasks with an outcome."""
        queue = queue_in(self.url)
        try:
            return len(queue.runs(status=["SUCCESS", "ERROR"], load_input=False, load_output=False))
        finally:
            queue.close()

    def finish(self) -> None:
        """Wait until every task has its outcome, or nothing happens any more; then end the workers."""
        seen, since = -1, time.monotonic()
        while (done := self.done()) < self.tasks and time.monotonic() - since < QUIET_SECONDS:
            if done != seen:
                seen, since = done, time.monotonic()
            time.sleep(0.2)
        while self.running:
            self.kill(random.Random(0), signal.SIGTERM)

    def sessions(self) -> list[Any]:
        stored = sessions_in(self.url)
        try:
            return [stored.facts(each.id) for each in stored.sessions()]
        finally:
            stored.close()

    def results(self) -> int:
        """Tasks with an answer."""
        queue = queue_in(self.url)
        try:
            runs = queue.runs(status="SUCCESS", load_input=False)
            return len({run.session for run in runs if (run.outcome or {}).get("stop_reason") == "end_turn"})
        finally:
            queue.close()

    def _serve(self) -> None:
        """What ``glm-agent worker`` does, with the agent of this world."""
        from glm_agent.cli import worker

        async def one(work: Any) -> Any:
            agent = Agent(
                WorldModel(self.ledger, steps=self.steps, pause_seconds=self.pause_seconds, seed=self.seed),
                tools=tools(self.ledger, pause_seconds=self.pause_seconds),
                mcp_servers=servers(self.folder / "world.db"),
                journal=work.sessions,
            )
            if work.is_resumed:
                return await agent.resume(work.session)
            return await agent.run(work.prompt, session=work.session)

        worker.do = lambda **_: one
        worker._serve(self.url, [], self.concurrency, 60.0, 50, tell=print)


Fault = Callable[[Distributed, Any, random.Random], None]


def kill(world: Distributed, _server: Any, chance: random.Random) -> None:
    """One of the workers dies, and a new one comes."""
    world.kill(chance, signal.SIGKILL)
    world.start()


def term(world: Distributed, _server: Any, chance: random.Random) -> None:
    """One of the workers is told to stop, and a new one comes."""
    world.kill(chance, signal.SIGTERM)
    world.start()


def outage(_world: Distributed, server: Any, chance: random.Random) -> None:
    """The server ends as by a crash and is away for a while."""
    server.server.stop(signal.SIGQUIT)
    time.sleep(chance.uniform(0.0, 3.0))
    server.server.start()


def cut(world: Distributed, _server: Any, chance: random.Random) -> None:
    """The server ends a connection: of records, of a gate, or the one whose lock says that a worker lives."""
    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(world.url, autocommit=True) as connection:
        pids = [pid for (pid,) in connection.execute(f"{others} AND application_name LIKE 'glm-agent%' ORDER BY pid")]
        if pids:
            connection.execute("SELECT pg_terminate_backend(%s)", (chance.choice(pids),))


FAULTS: dict[str, Fault] = {"kill": kill, "term": term, "outage": outage, "cut": cut}


def at_random(world: Distributed, fault: Fault, server: Any, count: int, chance: random.Random) -> int:
    """Let something happen so often, each time after the work has gone on; how often it did."""
    for _ in range(world.workers):
        world.start()
    done = 0
    while done < count and world.done() < world.tasks:
        _goes_on(world)
        time.sleep(chance.uniform(0.1, 1.0))
        fault(world, server, chance)
        done += 1
    world.finish()
    return done


def _goes_on(world: Distributed) -> None:
    before, since = world.ledger.count(), time.monotonic()
    while world.ledger.count() == before and time.monotonic() - since < QUIET_SECONDS:
        time.sleep(0.01)


def every_record(world: Distributed, *, kills: int) -> int:
    """As many workers as ever, each of which kills itself one record later than the one before; how many did."""
    begun = 0
    while begun < kills:
        while len(world.running) < world.workers and begun < kills:
            world.start(dies_at=begun)
            begun += 1
        _await_death(world)
        if world.done() == world.tasks:
            break
    died = begun - len(world.running)
    world.start()
    world.finish()
    return died


def _await_death(world: Distributed) -> None:
    """Until one of the workers has ended, or nothing is left to do."""
    since = time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        for pid in [*world.running]:
            if has_ended(pid):
                os.waitpid(pid, 0)
                world.running.remove(pid)
                return
        if world.done() == world.tasks:
            return
        time.sleep(0.05)
