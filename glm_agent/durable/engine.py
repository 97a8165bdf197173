"""The engine of this process: DBOS on one database, with an event loop of its own in a thread.

DBOS is one per process, so this is too. Sessions that a program opens are *attached*: their workflow
is an empty one that lives as long as the session is open, and the turn runs where the program runs it.
A worker's turns run on the loop here. Either way a record is kept as a step of the workflow.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowHandleAsync

from glm_agent.durable import workflows
from glm_agent.durable.address import Address
from glm_agent.durable.database import APPLICATION, Database
from glm_agent.durable.drain import Drain
from glm_agent.durable.liveness import liveness, new_executor_id
from glm_agent.durable.taken import Taken
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.messages import JsonObject

STEPS_VERSION: Final = "glm-agent-steps-1"
"""The format of steps. A turn is rebuilt from what they hold, so it changes only with their meaning."""

CLOSE_SECONDS: Final = 15.0
"""How long a turn may take to close what it opened; a server's own end is bounded at 10 s."""

AWAY_SECONDS: Final = 30.0
"""Between two words about a database that is away."""

Runner: TypeAlias = workflows.Entrance
"""What a worker does with a turn: from the id of its run and its spec to the outcome, as JSON."""

_T = TypeVar("_T")

_log = logging.getLogger("glm_agent.durable")


@dataclass
class Attached:
    """The workflow of a session that a program holds open."""

    workflow: str
    outcome: asyncio.Future[JsonObject]
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    context: contextvars.Context = field(default_factory=contextvars.Context)
    """In which its steps are recorded."""
    handle: WorkflowHandleAsync[JsonObject] | None = None


class Engine:
    """Runs DBOS on a database until ``close``."""

    def __init__(self, address: Address, *, runner: Runner | None = None, queues: Iterable[str] = ()) -> None:
        self.address = address
        self.database = Database(address)
        self.id = new_executor_id(is_worker=runner is not None)
        self.liveness = liveness(address)
        self.drain = Drain()
        self.attached: dict[str, Attached] = {}
        self.taken: dict[str, Taken] = {}
        """Runs that this process has as a worker, by their names."""
        self.runner = runner
        self._queues = list(queues)
        self._stack = ExitStack()

    def launch(self) -> None:
        """Bring the tables up to date, take the lock that says we live, and begin."""
        self.database.prepare()
        try:
            with self.database.explained():
                self.liveness.hold(self.id)
                self._stack.callback(self.liveness.close)
            portal: AbstractContextManager[BlockingPortal] = start_blocking_portal("asyncio")
            self.portal = self._stack.enter_context(portal)
            with self.database.explained():
                self.portal.call(self._launch)
        except BaseException:
            self._stack.close()
            self.database.close()
            raise

    def call(self, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        """Run it on the engine's loop and wait. In no context: what is begun here is no part of a turn."""
        return contextvars.Context().run(self.portal.call, function, *arguments)

    def close(self) -> None:
        """End it; what runs is cut off, and stays on record as unfinished."""
        with suppress(RuntimeError):
            self.portal.call(self._cancel_turns)
        DBOS.destroy()
        workflows.enter_through(None)
        self._stack.close()
        self.database.close()

    async def _launch(self) -> None:
        # With this loop running, the engine takes it for its own.
        workflows.enter_through(self._enter)
        _quieten()
        DBOS(config=self._config())
        DBOS.listen_queues(self._queues)
        DBOS.launch()

    async def _enter(self, workflow: str, spec: JsonObject) -> JsonObject:
        """A turn's run: where a program holds the session open, its place on record; else a worker's work."""
        attached = self.attached.get(workflow)
        if attached is not None:
            attached.context = contextvars.copy_context()
            attached.entered.set()
            return await attached.outcome
        if self.runner is None:
            raise JournalError(f"the turn '{workflow}' can go on only in a worker: start glm-agent worker")
        if (task := asyncio.current_task()) is not None:
            task.set_name(f"{workflows.TURN} {workflow}")
        return await self.runner(workflow, spec)

    async def _cancel_turns(self) -> None:
        """Give turns that run here the time to close what they opened: their servers are processes."""
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own and task.get_name().startswith(workflows.TURN)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)

    def _config(self) -> DBOSConfig:
        return {
            "name": APPLICATION,
            "system_database_url": self.address.url,
            "system_database_engine": self.database.engine,
            "executor_id": self.id,
            "application_version": STEPS_VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "scheduler_polling_interval_sec": 5.0,
            # Nothing here waits for messages, and the listener's thread may miss the end of the engine.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 0.1,
        }

    # -- sessions of this program

    def attach(self, workflow: str, spec: JsonObject) -> Attached:
        """Begin a workflow that lasts until ``detach``; ``JournalError`` where another process was faster."""
        with self.database.explained():
            return self.call(self._attach, workflow, spec)

    def detach(self, attached: Attached, outcome: JsonObject) -> None:
        """End it with this outcome. That it was taken away meanwhile is no error: the record says so."""
        with self.database.explained():
            self.call(self._detach, attached, outcome)

    async def _attach(self, workflow: str, spec: JsonObject) -> Attached:
        if workflow in self.attached:
            raise JournalError(f"session '{workflow.rpartition('/')[0]}' is open in this process already")
        attached = self.attached[workflow] = Attached(workflow, asyncio.get_running_loop().create_future())
        try:
            with SetWorkflowID(workflow):
                attached.handle = await DBOS.start_workflow_async(workflows.turn, spec)
            if (await attached.handle.get_status()).executor_id != self.id:
                raise JournalError(f"session '{workflow.rpartition('/')[0]}' was just opened by another process")
            await attached.entered.wait()
        except BaseException:
            del self.attached[workflow]
            raise
        return attached

    async def _detach(self, attached: Attached, outcome: JsonObject) -> None:
        self.attached.pop(attached.workflow, None)
        attached.outcome.set_result(outcome)
        assert attached.handle is not None
        done = asyncio.ensure_future(attached.handle.get_result())
        await asyncio.wait([done], timeout=CLOSE_SECONDS)
        if done.done():
            done.exception()  # looked at, so that nobody warns
        else:
            done.cancel()


# -- the one of this process

_lock = threading.RLock()
_current: Engine | None = None


def current() -> Engine | None:
    """The engine of this process, where one runs."""
    return _current


def running_on(address: Address) -> Engine | None:
    """The engine of this process, where it runs on that database."""
    return _current if _current is not None and _current.address == address else None


def engine_for(address: Address) -> Engine:
    """The engine of this process on that database, launched where there is none.

    Raises ``ConfigurationError`` where one runs on another database and is in use, ``JournalError`` where the
    database cannot be used.
    """
    with _lock:
        if _current is not None and _current.address == address:
            return _current
        return install(Engine(address))


def install(engine: Engine) -> Engine:
    """Launch it as the one of this process, in the place of an idle one."""
    global _current  # noqa: PLW0603
    with _lock:
        if _current is not None and (_current.attached or _current.runner is not None):
            raise ConfigurationError(
                f"this process has sessions open in '{_current.address.shown}', so it cannot open any in "
                f"'{engine.address.shown}': one process works on one database at a time"
            )
        close()
        engine.launch()
        _current = engine
        return engine


def close() -> None:
    """End the engine of this process, where one runs."""
    global _current
    with _lock:
        engine, _current = _current, None
        if engine is not None:
            engine.close()


atexit.register(close)


def _quieten() -> None:
    """What the engine logs goes where ours goes, without statements and tracebacks."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(_Forward())
        logger.propagate = False


class _Forward(logging.Handler):
    _quiet_until = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        # Only trouble with the database is news: what becomes of turns is said by ourselves.
        line = record.getMessage().splitlines()[0]
        if "atabase connection" not in line:
            _log.debug("%s", line[:300])
        elif time.monotonic() > self._quiet_until:  # every turn and every thread of the engine meets it
            self._quiet_until = time.monotonic() + AWAY_SECONDS
            reason = line.partition("failed: ")[2].removeprefix("(psycopg.OperationalError) ") or line
            _log.log(record.levelno, "waits for the database, and goes on when it is back (%s)", reason[:200])
