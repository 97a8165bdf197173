"""``glm-agent worker``: runs turns from queues until it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import anyio
import anyio.to_thread
import typer

from glm_agent.cli.database import WorkDatabase, address
from glm_agent.cli.exits import fail, leave, leave_now, say
from glm_agent.cli.garbage import collect_seldom
from glm_agent.errors import AgentError
from glm_agent.messages import UserMessage

if TYPE_CHECKING:
    from glm_agent.agent import Agent
    from glm_agent.agent.task import Task
    from glm_agent.cli.options import RunOptions
    from glm_agent.durable.worker import Do, Work, Worker
    from glm_agent.messages import TurnResult

GRACE_SECONDS: Final = 20.0
_AGENTS: Final = 64
"""Agents that a worker keeps for the next turn with the same options."""


def worker(
    database: WorkDatabase = None,
    *,
    queue: Annotated[list[str] | None, typer.Option(help="Take turns from this queue; repeatable.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Turns at once in each worker of these queues. Kept; 8 where never given.")
    ] = None,
    max_requests: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Requests in flight for each key and model, over all workers. Else found out by trying.",
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that running calls get to end when the worker is stopped.")
    ] = GRACE_SECONDS,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Give a turn up that so many workers began and did not survive.")
    ] = 20,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of turns.")] = False,
) -> None:
    """Run the turns that wait in a database, together with any number of other workers.

    Turns get there by `glm-agent batch --database`. A worker that dies loses nothing: others go on with its turns
    within about two seconds, and what was answered is not asked again.

    [bold]Examples[/bold]

      glm-agent worker --database sqlite:///runs.db

      glm-agent worker --database postgresql://agent@db/agent --queue nightly --concurrency 16

    SIGTERM or Ctrl-C: nothing new is begun, running calls end and are kept, then the worker leaves; a second one leaves
    at once.

    [bold]Exit codes[/bold]  0 stopped, nothing was cut off · 2 usage or configuration ·
    130, 143 calls were cut off; they are taken up by another worker
    """
    try:
        database = address(database, of="a worker needs")
        _share_limits(database, max_requests)
        _serve(database, queue or [], concurrency, grace, max_attempts, tell=(lambda _: None) if quiet else say)
    except AgentError as error:
        fail(error)


def _share_limits(database: str, most: int | None) -> None:
    """Requests of this process count together with those of the other workers."""
    from glm_agent.durable import gate_in
    from glm_agent.models.limit import make_limits_with

    make_limits_with(gate_in(database, bound=most).limit)


def _serve(
    database: str,
    queues: list[str],
    concurrency: int | None,
    grace: float,
    max_attempts: int,
    *,
    tell: Callable[[str], object],
) -> NoReturn:
    from glm_agent.durable import worker_on

    collect_seldom()
    running = worker_on(
        database, do(tell=tell), queues=queues, concurrency=concurrency, max_attempts=max_attempts, tell=tell
    )
    bell = _Bell()
    running.start()
    tell(f"worker of {', '.join(running.queues)} in '{running.place}', process {os.getpid()}; Ctrl-C stops it")
    number = bell.wait()
    tell(f"stopping: running calls get {grace:g} seconds to end; again to leave at once")
    leaving = _Leaving(running, grace, done=bell.ring)
    leaving.start()
    if bell.wait():
        leave_now(128 + number)
    tell("stopped" if leaving.is_drained else "stopped; calls were cut off, and go on in another worker")
    leave(0 if leaving.is_drained else 128 + number)


class _Leaving(threading.Thread):
    """Ends the worker beside the main thread, which still listens for a second signal."""

    is_drained = False

    def __init__(self, worker: Worker, grace: float, *, done: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._worker, self._grace, self._done = worker, grace, done

    def run(self) -> None:
        try:
            self.is_drained = self._worker.drain(self._grace)
            self._worker.close()
        finally:
            self._done()


class _Bell:
    """Rung by SIGINT, SIGTERM and the end of the work.

    A signal may reach another thread and leave this one asleep on a lock; a socket wakes it for certain.
    """

    def __init__(self) -> None:
        self._socket, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        signal.set_wakeup_fd(self._ringer.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _rung)

    def wait(self) -> int:
        """Until it rings; the number of the signal, 0 where it was none."""
        # All that came together is one: `timeout` and some service managers tell a process, and then its group.
        rung = self._socket.recv(4096)
        return 0 if 0 in rung else rung[0]

    def ring(self) -> None:
        """Wake who waits."""
        self._ringer.send(b"\0")


def _rung(_number: int, _frame: FrameType | None) -> None:
    """The bell is rung by the interpreter itself."""


def do(*, tell: Callable[[str], object] = lambda _: None) -> Do:
    """Does turns as ``glm-agent run`` would, without a person beside it: again where that may help."""
    from pydantic import TypeAdapter

    from glm_agent.batch.patience import Patience
    from glm_agent.cli.options import RunOptions

    options, patience = TypeAdapter(RunOptions), Patience(tell=tell)
    agents: dict[str, Agent] = {}

    async def one(work: Work) -> TurnResult:
        given = options.validate_python(work.options)
        task = given.load_task()
        agent = _agent(work, given, task, agents)
        prompt = work.prompt if work.prompt is not None or task is None else task.prompt
        account = given.model or given.task
        return await patience.do(lambda is_again: _attempt(work, agent, prompt, is_again), account=account)

    return one


def _agent(work: Work, options: RunOptions, task: Task | None, agents: dict[str, Agent]) -> Agent:
    """The agent of these options: turns that run at the same time share its servers and connections."""
    from glm_agent.agent import Agent

    instructions = task.instructions if task is not None else ""
    key = json.dumps([instructions, asdict(replace(options, parameters={}))], default=str)
    if key not in agents:
        if len(agents) >= _AGENTS:
            agents.pop(next(iter(agents)))  # turns that use it have it
        agents[key] = Agent(**options.agent_arguments(task), journal=work.sessions)
    return agents[key]


async def _attempt(work: Work, agent: Agent, prompt: str | None, is_again: bool) -> TurnResult:
    """One attempt at a turn; what an earlier one has kept is gone on with."""
    if work.is_resumed or (is_again and await anyio.to_thread.run_sync(_is_said, work)):
        return await agent.resume(work.session)
    return await agent.run(prompt, session=work.session, attachments=work.attachments)


def _is_said(work: Work) -> bool:
    return any(isinstance(fact, UserMessage) for fact in work.sessions.facts(work.session))
