"""A batch that workers do: its tasks are put into a queue of a database, and their results are fetched from there.

Whoever puts them there need not stay: the workers go on, and the same command fetches what came meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio
import anyio.to_thread

from glm_agent.batch.agents import Agents, Text
from glm_agent.batch.lines import Item
from glm_agent.batch.progress import Progress
from glm_agent.batch.results import OPEN_REASONS, BatchResult, TaskFailure, TaskTokens
from glm_agent.batch.source import key_hash, session_of
from glm_agent.durable import queue_in, sessions_in
from glm_agent.errors import JournalError
from glm_agent.messages import JsonObject, StopReason, Usage, UserMessage
from glm_agent.models.catalog import cost_usd

if TYPE_CHECKING:
    from glm_agent.durable.queue import TurnSpec
    from glm_agent.durable.rows import Run

POLL_SECONDS: Final = 0.5
"""Between two looks for results, each a query over what ended since the one before."""
_QUIET_SECONDS: Final = 15.0
"""Workers look into their queues five times a second."""
_AWAY_SECONDS: Final = 30.0
"""Between two looks for a database that is away, at most."""
_PUT_AT_ONCE: Final = 500
"""Tasks between which the loop sees to other things."""
_OVER: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_OVERLAP_SECONDS: Final = 10.0
"""Processes that end turns have clocks of their own."""


_T = TypeVar("_T")


class QueuedTasks:
    """The tasks of one batch in a database."""

    def __init__(
        self,
        url: str,
        *,
        batch: str,
        queue: str,
        agents: Agents,
        options: JsonObject,
        is_retried: bool,
        priority: int,
        progress: Progress,
        on_notice: Callable[[str], object],
    ) -> None:
        self._queue, self._sessions = queue_in(url), sessions_in(url)
        self._name, self._batch = queue, batch
        self._agents, self._options = agents, options
        self._is_retried, self._priority = is_retried, priority
        self._progress, self._on_notice = progress, on_notice
        self._fetched = set[str]()
        self._was_there = False

    async def put(self, todo: Iterable[Item], *, is_known: bool) -> None:
        """Put what waits or runs nowhere yet into the queue."""
        runs = await self._patiently(self._runs) if is_known else {}
        specs = (spec for item in todo if (spec := self._spec(item, runs)) is not None)
        while chunk := await anyio.to_thread.run_sync(_chunk, specs):
            await self._patiently(partial(self._put, chunk))

    async def results(self, wanted: set[bytes]) -> AsyncGenerator[BatchResult]:
        """Results of these keys as they come, until each has one."""
        since, last = None, time.monotonic()
        while wanted:
            asked = time.time()
            for result in await self._patiently(partial(self._ended, since)):
                key = key_hash(result.key)
                if key in wanted:
                    wanted.discard(key)
                    last = time.monotonic()
                    yield result
            since = asked - _OVERLAP_SECONDS
            if wanted:
                self._progress.running = await self._patiently(self._running)
                self._look_for_workers(is_quiet=time.monotonic() - last > _QUIET_SECONDS)
                await anyio.sleep(POLL_SECONDS)

    def _look_for_workers(self, *, is_quiet: bool) -> None:
        """Say it where nobody seems to be there to do the work."""
        said = f"no worker takes from the queue '{self._name}': start one with glm-agent worker --queue {self._name}"
        is_alone = is_quiet and not self._progress.running
        if is_alone and not self._progress.waiting:
            self._on_notice(said)
        self._progress.waiting = said if is_alone else ""

    async def cancel_waiting(self) -> None:
        """Take what no worker has begun out of the queue."""
        await anyio.to_thread.run_sync(self._cancel_waiting)

    def close(self) -> None:
        self._queue.close()
        self._sessions.close()

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        """Work that is harmless when it is done twice, once the database is back where it went away meanwhile."""
        attempt = 0
        while True:
            try:
                found = await anyio.to_thread.run_sync(work)
            except JournalError as error:
                if not self._was_there:
                    raise
                attempt += 1
                if attempt == 1:
                    self._on_notice(f"waits: {error}")
                self._progress.waiting = "waiting for the database"
                await anyio.sleep(min(_AWAY_SECONDS, 2.0**attempt) * random.uniform(0.5, 1.0))
                continue
            self._was_there = True
            if attempt:
                self._progress.waiting = ""
            return found

    # -- putting

    def _put(self, specs: list[TurnSpec]) -> None:
        self._queue.put(specs, queue=self._name)

    def _runs(self) -> dict[str, Run]:
        """The last run of each session of the batch; what is over is not fetched unless somebody says so."""
        found: dict[str, Run] = {}
        every = self._queue.runs(workflow_id_prefix=f"{self._batch}-", load_input=False)
        self._fetched.update(run.workflow for run in every if not run.is_active)
        for run in every:
            known = found.get(run.session)
            if known is None or known.number < run.number:
                found[run.session] = run
        return found

    def _spec(self, item: Item, runs: dict[str, Run]) -> TurnSpec | None:
        """What is to be put into the queue for a line; None where that is there, or done."""
        session = first = session_of(self._batch, item)
        number = 1
        while f"{first}.{number + 1}" in runs:
            number += 1
            session = f"{first}.{number}"
        run = runs.get(session)
        if run is None:
            return self._new(item, session)
        if run.is_active:
            return None
        reason = (run.outcome or {}).get("stop_reason")
        if reason == "end_turn" or (reason is not None and reason not in OPEN_REASONS and not self._is_retried):
            self._fetched.discard(run.workflow)
            return None
        if reason is not None and reason not in OPEN_REASONS:
            return self._new(item, f"{first}.{number + 1}")
        is_said = any(isinstance(fact, UserMessage) for fact in self._sessions.facts(session))
        return self._new(item, session, is_resumed=is_said)

    def _new(self, item: Item, session: str, *, is_resumed: bool = False) -> TurnSpec:
        from glm_agent.durable.queue import TurnSpec

        text = self._agents.text(item)
        return TurnSpec(
            session=session,
            prompt=None if is_resumed else text.prompt,
            is_resumed=is_resumed,
            options=self._options_of(text, item),
            attachments=text.attachments,
            task=text.task,
            priority=self._priority,
            labels={"batch": self._batch, "key": item.key, "line": item.number, "digest": item.digest},
        )

    def _options_of(self, text: Text, item: Item) -> JsonObject:
        """What the worker makes an agent of: the task's file is read there."""
        options = {**self._options, "task": text.task, "parameters": text.parameters}
        return options if item.line.model is None else {**options, "model": item.line.model}

    # -- fetching

    def _ended(self, since: float | None) -> list[BatchResult]:
        after = {} if since is None else {"completed_after": datetime.fromtimestamp(since, UTC).isoformat()}
        runs = self._queue.runs(workflow_id_prefix=f"{self._batch}-", status=list(_OVER), **after)
        new = [run for run in runs if run.workflow not in self._fetched and run.spec.get("labels")]
        self._fetched.update(run.workflow for run in new)
        # Of several runs of one session the last one counts.
        return list({run.session: _result(run) for run in new}.values())

    def _running(self) -> int:
        mine = {"workflow_id_prefix": f"{self._batch}-", "queue_name": self._name}  # the queue has an index
        return len(self._queue.runs(status="PENDING", load_input=False, load_output=False, **mine))

    def _cancel_waiting(self) -> None:
        prefix = f"{self._batch}-"
        waiting = self._queue.runs(workflow_id_prefix=prefix, status="ENQUEUED", load_input=False, load_output=False)
        self._queue.cancel_runs(waiting)


def _chunk(specs: Iterator[TurnSpec]) -> list[TurnSpec]:
    return list(islice(specs, _PUT_AT_ONCE))


def _result(run: Run) -> BatchResult:
    """The result that a run's outcome is."""
    outcome = run.outcome or _lost(run)
    labels = cast("JsonObject", run.spec["labels"])
    usage = Usage(**outcome.get("usage", {}))
    summary = cast("JsonObject", outcome.get("summary") or {})
    model = str(summary.get("model", ""))
    failure = cast("dict[str, str] | None", outcome.get("error"))
    return BatchResult(
        key=str(labels["key"]),
        line=int(labels["line"]),
        digest=str(labels["digest"]),
        output=None if failure is not None else outcome.get("output"),
        stop_reason=cast("StopReason", outcome["stop_reason"]),
        detail=str(outcome.get("detail", "")),
        session=run.session,
        model=model,
        steps=int(outcome.get("steps", 0)),
        usage=TaskTokens(**asdict(usage), total_tokens=usage.total_tokens),
        cost_usd=cost_usd(model, usage) if model else None,
        duration_seconds=_duration(run),
        attempts=run.status.recovery_attempts or 1,
        error=TaskFailure(**failure) if failure is not None else None,
    )


def _lost(run: Run) -> JsonObject:
    if run.status.status == "CANCELLED":
        return {"stop_reason": "cancelled", "detail": f"the run '{run.workflow}' was cancelled"}
    said = f"the run '{run.workflow}' has no outcome: {run.status.error or run.status.status}"
    return {"stop_reason": "error", "detail": said, "error": {"type": "AgentError", "message": said}}


def _duration(run: Run) -> float:
    begun: Any = run.status.dequeued_at or run.status.created_at
    ended: Any = run.status.completed_at or run.status.updated_at
    return round(max(0.0, (ended or 0) - (begun or 0)) / 1000, 3)
