"""Many short tasks through workers on a database: tasks a second, and the most requests that were in flight at once.

    python benchmarks/many.py --tasks 10000 --workers 2 --gate 5
    python benchmarks/many.py --tasks 2000 --database sqlite

The same number of empty workflows of the engine, through as many bare workers of it, is measured in the same run:
what is ours is the ratio. Leaves with 1 where more requests were in flight than the gate lets through, or a task has
no answer.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from multiprocessing import Lock, RawArray
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from glm_agent import Agent
from glm_agent.durable import queue_in
from glm_agent.durable.queue import TurnSpec
from glm_agent.messages import ModelRequest, ModelResponse, Usage
from glm_agent.models.limit import LimitedModel, shared_limit


class InFlight:
    """A counter that processes made by a fork share."""

    def __init__(self) -> None:
        self._lock, self._numbers = Lock(), RawArray("i", 3)

    def change(self, by: int) -> None:
        with self._lock:
            self._numbers[0] += by
            self._numbers[1] = max(self._numbers[1], self._numbers[0])
            self._numbers[2] += by > 0

    @property
    def peak(self) -> int:
        return int(self._numbers[1])

    @property
    def requests(self) -> int:
        return int(self._numbers[2])


class QuickModel:
    """Answers after some time; counts how many of its requests run, over all processes."""

    name = "glm-5.3"

    def __init__(self, in_flight: InFlight, *, seconds: float) -> None:
        self._in_flight, self._seconds = in_flight, seconds

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelResponse, None]:  # noqa: ARG002
        self._in_flight.change(1)
        try:
            await anyio.sleep(self._seconds)
            yield ModelResponse(text="done", usage=Usage(input_tokens=10, output_tokens=1))
        finally:
            self._in_flight.change(-1)


def serve(url: str, *, in_flight: InFlight, gate: int, seconds: float, concurrency: int) -> None:
    """What ``glm-agent worker --max-requests`` does, with a model that takes so long."""
    from glm_agent.cli import worker

    worker._share_limits(url, gate)
    limited = LimitedModel(QuickModel(in_flight, seconds=seconds), limit=shared_limit(key="bench", model="glm-5.3"))
    agents: list[Agent] = []

    async def one(work: Any) -> Any:
        if not agents:
            agents.append(Agent(limited, journal=work.sessions))
        return await agents[0].run(work.prompt, session=work.session)

    worker.do = lambda **_: one
    worker._serve(url, [], concurrency, 20.0, 50, tell=lambda _: None)


def serve_empty(url: str, *, concurrency: int) -> None:
    """A worker of the bare engine, with workflows that do nothing."""
    from dbos import DBOS, DBOSConfig

    from glm_agent.durable.address import Address

    config: DBOSConfig = {
        "name": "empty",
        "system_database_url": Address.parse(url).url,
        "executor_id": f"bare-{os.getpid()}",
        "application_version": "1",
        "log_level": "ERROR",
    }
    DBOS(config=config)

    @DBOS.workflow(name="empty")
    async def empty(number: int) -> int:
        return number

    DBOS.launch()
    DBOS.register_queue("empty", worker_concurrency=concurrency, polling_interval_sec=0.2)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        time.sleep(1)


def started(work: Callable[[], None]) -> int:
    """A process that does it."""
    if pid := os.fork():
        return pid
    try:
        work()
    finally:
        os._exit(1)


def ended(pids: list[int]) -> float:
    """Seconds of CPU that they took."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    used = [os.wait4(pid, 0)[2] for pid in pids]
    return sum(each.ru_utime + each.ru_stime for each in used)


def wait_for(count: Callable[[], int], tasks: int) -> None:
    while count() < tasks:
        time.sleep(0.25)


def done(url: str, name: str) -> int:
    """Workflows of this name that have ended."""
    import sqlalchemy as sa

    from glm_agent.durable.address import Address

    address = Address.parse(url)
    table = "workflow_status" if address.path else "dbos.workflow_status"
    engine = sa.create_engine(address.url)
    with engine.connect() as connection:
        query = sa.text(f"SELECT count(*) FROM {table} WHERE name = :name AND status = 'SUCCESS'")
        found = int(connection.execute(query, {"name": name}).scalar() or 0)
    engine.dispose()
    return found


class Took(NamedTuple):
    seconds: float
    cpu: float
    """Seconds of all workers, their start included."""


def ours(url: str, given: argparse.Namespace) -> tuple[float, Took, InFlight]:
    """Seconds to put the tasks, what it took to do them, and what was in flight."""
    in_flight = InFlight()
    queue = queue_in(url)
    began = time.perf_counter()
    queue.put(TurnSpec(session=f"t{number}", prompt="go") for number in range(given.tasks))
    put = time.perf_counter() - began
    queue.close()
    began = time.perf_counter()
    options = {"in_flight": in_flight, "gate": given.gate, "seconds": given.seconds, "concurrency": given.concurrency}
    pids = [started(lambda: serve(url, **options)) for _ in range(given.workers)]
    wait_for(lambda: done(url, "glm_agent.turn"), given.tasks)
    took = time.perf_counter() - began
    return put, Took(took, ended(pids)), in_flight


def bare(url: str, given: argparse.Namespace) -> Took:
    """What the engine takes for so many workflows that do nothing."""
    from dbos import DBOSClient, EnqueueOptions

    from glm_agent.durable.address import Address

    client = DBOSClient(system_database_url=Address.parse(url).url)
    with client._sys_db.engine.begin() as connection:
        options: EnqueueOptions = {"workflow_name": "empty", "queue_name": "empty", "app_version": "1"}
        for number in range(given.tasks):
            client.enqueue_in_transaction(connection, options, number)
    client.destroy()
    began = time.perf_counter()
    pids = [started(lambda: serve_empty(url, concurrency=given.concurrency)) for _ in range(given.workers)]
    wait_for(lambda: done(url, "empty"), given.tasks)
    took = time.perf_counter() - began
    return Took(took, ended(pids))


@contextmanager
def database(kind: str, folder: str) -> Generator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/runs.db"
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "servers"))
    from postgres import running

    with running() as server:
        yield server.new_database()


def per_second(took: Took, given: argparse.Namespace) -> str:
    cpu = took.cpu / given.tasks * 1000
    return f"{given.tasks / took.seconds:8.0f} a second ({took.seconds:.1f} s, {cpu:.1f} ms CPU of the workers each)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=16, help="tasks at once in each worker")
    parser.add_argument("--gate", type=int, default=5, help="requests at once, over all workers")
    parser.add_argument("--seconds", type=float, default=0.0, help="that the model takes to answer")
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--no-engine", action="store_true", help="leave the bare engine out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-") as folder, database(given.database, folder) as url:
        put, took, in_flight = ours(url, given)
        print(f"{given.tasks:,} tasks, {given.workers} workers, {given.database}")
        print(f"  put            {given.tasks / put:8.0f} a second")
        print(f"  done           {per_second(took, given)}")
        print(f"  requests       {in_flight.requests:8,}")
        print(f"  peak in flight {in_flight.peak:8} of {given.gate}")
        if not given.no_engine:
            empty = bare(url, given)
            print(f"  empty          {per_second(empty, given)}, the bare engine")
            print(f"  ratio          {empty.seconds / took.seconds:8.2f}, of CPU {empty.cpu / took.cpu:.2f}")
    return 0 if in_flight.peak <= given.gate and in_flight.requests == given.tasks else 1


if __name__ == "__main__":
    sys.exit(main())
