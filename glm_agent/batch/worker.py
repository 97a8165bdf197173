"""One task of a batch from its line to its result: begun, taken up or left, and what its failure means for all."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from glm_agent.batch.agents import Agents, Work
from glm_agent.batch.lines import Item
from glm_agent.batch.outage import reset_seconds, verdict, wait_seconds
from glm_agent.batch.progress import Progress
from glm_agent.batch.results import BatchResult, TaskFailure, TaskTokens
from glm_agent.batch.source import key_hash, session_of
from glm_agent.errors import AgentError, ConfigurationError, MCPServerError, QuotaExhausted
from glm_agent.messages import Event, ModelResponse, TurnResult, TurnStarted, Usage
from glm_agent.models.catalog import cost_usd
from glm_agent.models.purse import Purse
from glm_agent.turn import Turn, pending, rebuild

if TYPE_CHECKING:
    from glm_agent.journal import Journal


_SAME_CHARACTERS: Final = 60
"""Errors that begin alike are of one kind: further on stand ids and times."""
_SAME_SECONDS: Final = 60.0


class Stopped(NamedTuple):
    """Why a batch takes no more tasks."""

    reason: str
    error: BaseException | None = None


@dataclass(kw_only=True)
class Worker:
    """Runs tasks, any number at once; ``stopped`` says that no more are to be begun."""

    batch: str
    is_known: bool
    """Whether the batch may have been begun before, so that sessions of its tasks may be there."""
    again: frozenset[bytes]
    """Keys, hashed, of tasks that have ended and are to be asked anew."""
    agents: Agents
    journal: Journal
    purse: Purse
    progress: Progress
    retries: int
    max_failures: int
    max_wait_seconds: float
    on_event: Callable[[Item, Event], object] | None = None
    on_notice: Callable[[str], object] = lambda _: None
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep
    clock: Callable[[], float] = time.time
    stopped: Stopped | None = None

    def __post_init__(self) -> None:
        self._failures = 0
        self._said: dict[str, float] = {}
        self._rests_until = 0.0
        self._sleeping = set[anyio.CancelScope]()

    def stop(self, reason: str, error: BaseException | None = None) -> None:
        """Begin no more tasks; what runs may end. The first reason counts."""
        self.stopped = self.stopped or Stopped(reason, error)
        for scope in self._sleeping:
            scope.cancel()

    async def result(self, item: Item) -> BatchResult | None:
        """Run a task to its result; None where it is left for later."""
        self.progress.running += 1
        try:
            return await self._tried(_Task(item, self))
        finally:
            self.progress.running -= 1
            self.progress.cost_usd = self.purse.spent_usd

    def count(self, result: BatchResult) -> None:
        """Stop where one error follows another: then it is not the tasks."""
        self._failures = self._failures + 1 if result.error is not None else 0
        if self._failures >= self.max_failures and result.error is not None:
            self.stop(f"{self._failures} tasks in a row failed, the last with: {result.error.message}")

    async def _tried(self, task: _Task) -> BatchResult | None:
        while self.stopped is None:
            await self._rested()
            try:
                result = await task.attempt()
            except Exception as error:  # whatever a tool or a hook of the user raises is that task's
                result = None
                if not await self._goes_on(error, task):
                    return None if self.stopped is not None else task.failed(error)
            if result is not None:
                return result
        return None

    async def _goes_on(self, error: Exception, task: _Task) -> bool:
        """Whether the task is to be tried again; waits before it says so."""
        match verdict(error):
            case "window" if isinstance(error, QuotaExhausted):
                task.attempts -= 1  # it was not the task
                self._rest(error)
            case "stop":
                self.stop(str(error), error)
            case "again" if isinstance(error, MCPServerError) and not self.progress.ended["end_turn"]:
                self.stop(str(error), error)  # it never started: that is no mishap
            case "again" if task.attempts <= self.retries:
                seconds = wait_seconds(attempt=task.attempts, chance=random.random())
                self._say_again(task, error, seconds)
                await self._sleep(seconds)
            case _:
                return False
        return self.stopped is None

    def _say_again(self, task: _Task, error: Exception, seconds: float) -> None:
        """Once a minute for the same kind of error: many tasks meet it together."""
        said = str(error)[:_SAME_CHARACTERS]
        if self.clock() - self._said.get(said, 0.0) > _SAME_SECONDS:
            self._said[said] = self.clock()
            self.on_notice(f"{task.item.key} is tried again in {seconds:.0f} s: {error}")

    def _rest(self, error: QuotaExhausted) -> None:
        seconds = reset_seconds(error.resets_at, now=self.clock())
        if seconds > self.max_wait_seconds:
            self.stop(f"the allowance begins anew only in {seconds / 3600:.1f} hours: {error}", error)
            return
        is_said = self._rests_until > self.clock()
        self._rests_until = max(self._rests_until, self.clock() + seconds)
        until = time.strftime("%H:%M", time.localtime(self._rests_until))
        self.progress.waiting = f"waiting until {until} for the allowance of this key to begin anew"
        if not is_said:  # by another task that met the same refusal
            self.on_notice(f"{self.progress.waiting}: {error}")

    async def _rested(self) -> None:
        while self.stopped is None and (left := self._rests_until - self.clock()) > 0:
            await self._sleep(left)
        self.progress.waiting = ""

    async def _sleep(self, seconds: float) -> None:
        """Until the time is over, or the batch is stopped."""
        with anyio.CancelScope() as scope:
            self._sleeping.add(scope)
            try:
                await self.sleep(seconds)
            finally:
                self._sleeping.discard(scope)


class _Task:
    """One line, over all its attempts."""

    def __init__(self, item: Item, worker: Worker) -> None:
        self.item, self.attempts = item, 0
        self._worker = worker
        self._model = ""
        self._asked = 0
        self._session = session_of(worker.batch, item)
        self._is_looked_up = not worker.is_known
        self._started = time.monotonic()

    async def attempt(self) -> BatchResult | None:
        """The result; None where it is left because no more may be spent."""
        worker = self._worker
        self.attempts += 1
        self._started, self._asked = time.monotonic(), 0
        try:
            work = await worker.agents.of(self.item)
        except ConfigurationError as error:
            worker.stop(str(error), error)  # lines are in order: it is what they have in common
            return None
        result = await self._run(work, self._stored())
        if result.stop_reason == "budget" and result.detail == worker.purse.detail:
            worker.stop(f"{worker.purse.detail}: ${worker.purse.spent_usd:.4f} spent")
            return None
        return self._result(result.output, result, result.steps, result.usage)

    def failed(self, error: Exception) -> BatchResult:
        """The result of a task that raised."""
        turn = self._turn()
        message = str(error) if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
        result = TurnResult(output=None, stop_reason="error", usage=Usage(), messages=(), detail=message)
        steps, usage = (turn.step, turn.usage) if turn is not None else (0, Usage())
        failure = TaskFailure(type=type(error).__name__, message=message)
        return replace(self._result(None, result, steps, usage), error=failure)

    async def _run(self, work: Work, turn: Turn | None) -> TurnResult:
        if turn is not None:
            return await work.agent.resume(self._session, observers=[self._see])
        return await work.agent.run(
            work.prompt, session=self._session, attachments=work.attachments, observers=[self._see]
        )

    def _stored(self) -> Turn | None:
        """The turn to go on with. What it cost before is paid for once."""
        if self._is_looked_up:
            return self._turn() if self.attempts > 1 else None
        self._is_looked_up = True
        base, number, found = self._session, 1, self._turn()
        last = found
        while found is not None:
            last, kept = found, self._session
            self._worker.purse.pay(cost_usd(found.started.model, found.usage))
            number += 1
            self._session = f"{base}.{number}"
            found = self._turn()
        if last is not None and key_hash(self.item.key) in self._worker.again and is_over(last):
            return None  # asked anew, in the session that is free
        if last is not None:
            self._session = kept  # pyright: ignore[reportPossiblyUnboundVariable]
        return last

    def _turn(self) -> Turn | None:
        """What is stored of the session; nothing where the prompt is not."""
        journal = self._worker.journal
        turn = rebuild(journal.facts(self._session)) if journal.has(self._session) else None
        return turn if turn is not None and turn.messages else None

    def _see(self, event: Event) -> None:
        if isinstance(event, TurnStarted):
            self._model = event.model
        elif isinstance(event, ModelResponse):
            self._asked += 1
        if self._worker.on_event is not None:
            self._worker.on_event(self.item, event)

    def _result(self, output: Any, result: TurnResult, steps: int, usage: Usage) -> BatchResult:
        model = self._model or (turn.started.model if (turn := self._turn()) is not None else "")
        return BatchResult(
            key=self.item.key,
            line=self.item.number,
            digest=self.item.digest,
            output=output,
            stop_reason=result.stop_reason,
            detail=result.detail,
            session=self._session,
            model=model,
            steps=steps,
            usage=TaskTokens(**asdict(usage), total_tokens=usage.total_tokens),
            cost_usd=cost_usd(model, usage),
            duration_seconds=round(time.monotonic() - self._started, 3),
            attempts=self.attempts if self._asked or result.stop_reason == "error" else 0,
        )


def is_over(turn: Turn) -> bool:
    """Whether there is nothing left to do in a turn, so that resuming it gives the same result."""
    return isinstance(pending(replace(turn, stopped=None))[0], TurnResult)
