"""A worker: takes turns from queues, runs them, and takes over those of workers that died."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import sqlalchemy as sa
from dbos import DBOS

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.engine import Engine
from glm_agent.durable.keeping import TakenAway
from glm_agent.durable.liveness import is_worker
from glm_agent.durable.opening import is_in_part
from glm_agent.durable.queue import CONCURRENCY, POLL_SECONDS, QUEUE
from glm_agent.durable.rows import Log, Outline, log_of, outline_of, runs_of, workflow_id
from glm_agent.durable.sessions import DatabaseSessions
from glm_agent.durable.summaries import as_json, origin_of_run, summary_now
from glm_agent.durable.taken import Taken
from glm_agent.errors import AgentError, JournalError
from glm_agent.journal.records import StoredRecord
from glm_agent.journal.store import origin_of
from glm_agent.messages import JsonObject, TurnResult, UserMessage

REAP_SECONDS: Final = 1.0
"""Between two looks for workers that died; a little different each time, so that many workers do not ask in chorus."""
LOST_SECONDS: Final = 10.0
"""A turn that this worker has and that did not run for so long will not run by itself."""
MAX_ATTEMPTS: Final = 20
"""A turn that so many workers began and did not end is given up: it may be what ends them."""
_TRIES: Final = 8
"""Of a turn that the database failed, with waits between them of up to a minute."""

_T = TypeVar("_T")

_log = logging.getLogger("glm_agent.durable")


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A turn that a worker has to do."""

    session: str
    prompt: str | None
    """What the user says; None where it is said already, or where the options name a task."""
    is_resumed: bool
    """Whether to go on with what is stored: nothing that was answered is asked again."""
    attachments: tuple[str, ...]
    options: JsonObject
    """What the turn was put into the queue with."""
    sessions: DatabaseSessions
    """Where the turn's answers are kept: the ``journal`` of the agent that does it."""


Do: TypeAlias = Callable[[Work], Awaitable[TurnResult]]
"""Does a turn: makes the agent, and runs or resumes it."""


@dataclass
class Worker:
    """Runs turns of these queues until it is closed; one per process.

    Args:
        url: The database.
        do: Does one turn; called on the worker's event loop, many at once.
        queues: Names of queues; without any, the one called ``glm-agent``.
        concurrency: Turns at once in each worker of these queues; kept with the queue. None leaves what is kept.
        tell: Is told what happens, for people.
    """

    url: str
    do: Do
    queues: Sequence[str] = (QUEUE,)
    concurrency: int | None = None
    max_attempts: int = MAX_ATTEMPTS
    tell: Callable[[str], object] = lambda _: None
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: set[str] = field(default_factory=set[str])
    _missed: dict[str, float] = field(default_factory=dict[str, float])
    """Turns that this worker has and that do not run, and since when that is seen."""

    def __post_init__(self) -> None:
        self.queues = tuple(self.queues) or (QUEUE,)

    @property
    def place(self) -> str:
        """The database, for people: no password in it."""
        return Address.parse(self.url).shown

    def start(self) -> None:
        """Begin; returns at once. Raises ``JournalError`` where the database cannot be used."""
        self._sessions = DatabaseSessions(self.url)
        self._engine = Engine(Address.parse(self.url), runner=self._run, queues=self.queues)
        engines.install(self._engine)
        with self._engine.database.explained():
            for queue in self.queues:
                self._engine.call(self._register, queue)
        self._reaper = threading.Thread(target=self._reap, name="glm-agent reaper", daemon=True)
        self._reaper.start()

    def drain(self, seconds: float) -> bool:
        """Begin nothing new, and wait until what runs is kept; False where that took longer."""
        self._engine.drain.begin()
        return self._engine.drain.wait(seconds)

    def close(self) -> None:
        """End; turns that are not done go on in another worker."""
        self._stop.set()
        self._reaper.join()
        engines.close()

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _register(self, queue: str) -> None:
        await DBOS.register_queue_async(
            queue,
            worker_concurrency=self.concurrency or CONCURRENCY,
            polling_interval_sec=POLL_SECONDS,
            on_conflict="never_update" if self.concurrency is None else "always_update",
        )

    # -- a turn

    async def _run(self, workflow: str, spec: JsonObject) -> JsonObject:
        self._running.add(workflow)
        try:
            return await self._begun(workflow, str(spec["session"]), spec)
        finally:
            self._running.discard(workflow)
            self._engine.taken.pop(workflow, None)

    async def _begun(self, workflow: str, session: str, spec: JsonObject) -> JsonObject:
        taken, log = await self._patiently(lambda: self._take(workflow, session, spec))
        if log.attempts > self.max_attempts:
            said = f"given up: {log.attempts - 1} workers began it and did not live to its end"
            return self._ended(workflow, {"stop_reason": "error", "detail": said, "error": _error("AgentError", said)})
        own = log.records[log.earlier :]
        self.tell(f"{workflow}: {'goes on' if own else 'begins'}")
        outcome = await self._done(workflow, session, spec, is_begun=_has_message(own))
        summary = taken.summary or await self._patiently(lambda: self._summary(session))
        return self._ended(workflow, {**outcome, "summary": summary})

    async def _done(self, workflow: str, session: str, spec: JsonObject, *, is_begun: bool) -> JsonObject:
        """The outcome of a turn; where the database fails, it is tried again: that is no fault of the turn."""
        for attempt in range(1, _TRIES + 1):
            if attempt > 1:
                is_begun = await self._patiently(lambda: self._is_begun(workflow, session))
            try:
                return _outcome(await self.do(self._work(session, spec, is_begun=is_begun)))
            except TakenAway as error:
                return _failure(error)
            except JournalError as error:
                if attempt == _TRIES:
                    return _failure(error)
                self.tell(f"{session}: {error}")
                await anyio.sleep(min(60.0, 2.0**attempt) * random.uniform(0.5, 1.0))
            except Exception as error:  # whatever a tool or a hook of the user raises is that turn's
                return _failure(error)
        raise AssertionError

    async def _patiently(self, read: Callable[[], _T]) -> _T:
        """What is read, however long the database is away: a turn whose work is done must not be lost by that."""
        attempt = 0
        while True:
            try:
                return await anyio.to_thread.run_sync(read)
            except JournalError as error:
                attempt += 1
                if attempt == 1:
                    self.tell(f"waits: {error}")
                await anyio.sleep(min(30.0, 2.0**attempt) * random.uniform(0.5, 1.0))

    def _work(self, session: str, spec: JsonObject, *, is_begun: bool) -> Work:
        return Work(
            session=session,
            prompt=None if is_begun else spec.get("prompt"),
            is_resumed=is_begun or bool(spec.get("is_resumed")),
            attachments=tuple(spec.get("attachments", ())),
            options=spec.get("options", {}),
            sessions=self._sessions,
        )

    def _take(self, workflow: str, session: str, spec: JsonObject) -> tuple[Taken, Log]:
        """What is on record of the session of a run that this worker was just given."""
        database = self._engine.database
        if workflow == workflow_id(session, 1):
            outline = Outline(workflows=[workflow], runs=())
        else:
            outline = outline_of(database, session)
        origin = origin_of_run(outline.runs[0]) if outline.runs else origin_of(spec)
        log = log_of(database, session, outline.workflows)
        taken = Taken(session=session, workflows=outline.workflows, origin=origin, log=log)
        if not is_in_part(outline.runs):
            self._engine.taken[workflow] = taken
        return taken, log

    def _summary(self, session: str) -> JsonObject:
        """Of a turn that never opened its session."""
        return as_json(summary_now(self._engine.database, runs_of(self._engine.database, session)))

    def _is_begun(self, workflow: str, session: str) -> bool:
        """Whether this run's message is on record, so that the turn is gone on with."""
        return _has_message(log_of(self._engine.database, session, [workflow]).records)

    def _ended(self, workflow: str, outcome: JsonObject) -> JsonObject:
        detail = f": {outcome['detail']}" if outcome.get("detail") else ""
        self.tell(f"{workflow}: {outcome['stop_reason']}{detail}")
        return outcome

    # -- those that died

    def _reap(self) -> None:
        """Give the turns of dead workers back to their queues, where anybody takes them."""
        while True:
            with suppress(JournalError), self._engine.database.explained():
                self._take_over()
                self._take_up_again()
            if self._stop.wait(REAP_SECONDS * random.uniform(0.8, 1.2)):
                return

    def _take_over(self) -> None:
        dead = self._engine.liveness.dead(filter(is_worker, self._holders()))
        if dead:
            self.tell(f"takes over from {', '.join(dead)}")
            # Not public; what is public loses how often a turn was begun.
            DBOS._recover_pending_workflows(dead)  # pyright: ignore[reportPrivateUsage]

    def _take_up_again(self) -> None:
        """Turns of this worker that do not run any more, such as after the database was away when one ended.

        Only after some time: what was just taken from the queue does not run yet, and on a busy machine not soon.
        """
        with self._engine.database.explained():
            own = self._engine.database.client.list_workflows(
                status="PENDING", executor_id=self._engine.id, load_input=False, load_output=False
            )
        now = time.monotonic()
        lost = {status.workflow_id for status in own} - self._running
        self._missed = {workflow: self._missed.get(workflow, now) for workflow in lost}
        for workflow, since in list(self._missed.items()):
            if now - since >= LOST_SECONDS:
                self.tell(f"{workflow}: is taken up again")
                self._engine.database.client.resume_workflow(workflow)
                del self._missed[workflow]

    def _holders(self) -> list[str]:
        """The processes that have turns."""
        name = "workflow_status" if self._engine.address.path else "dbos.workflow_status"
        query = sa.text(f"SELECT DISTINCT executor_id FROM {name} WHERE status = 'PENDING'")
        with self._engine.database.engine.connect() as connection:
            return [str(row[0]) for row in connection.execute(query)]


def _has_message(stored: Sequence[StoredRecord]) -> bool:
    return any(isinstance(line.record, UserMessage) for line in stored)


def _outcome(result: TurnResult) -> JsonObject:
    output: Any = result.output
    return {
        "stop_reason": result.stop_reason,
        "detail": result.detail,
        "output": output if isinstance(output, str) else _plain(output),
        "steps": result.steps,
        "usage": asdict(result.usage),
    }


def _plain(value: Any) -> Any:
    """A value of an output type as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, serialize_unknown=True)


def _failure(error: Exception) -> JsonObject:
    said = str(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
    return {"stop_reason": "error", "detail": said[:2_000], "error": _error(type(error).__name__, said[:2_000])}


def _error(kind: str, said: str) -> JsonObject:
    return {"type": kind, "message": said}
