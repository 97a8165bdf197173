"""``Batch``: many tasks, so many at once, each in a session of its own; what was done is not done again."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, aclosing, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from glm_agent.agent import given
from glm_agent.agent.runtime import fast_loop, run_apart
from glm_agent.batch import place
from glm_agent.batch.agents import Agents, Arguments, overridden
from glm_agent.batch.lines import Item
from glm_agent.batch.progress import BatchReport, Progress
from glm_agent.batch.results import BatchResult, ResultsFile
from glm_agent.batch.source import TaskLines, key_hash
from glm_agent.batch.worker import Stopped, Worker
from glm_agent.driver.groups import unwrapped
from glm_agent.durable import is_address
from glm_agent.durable.address import hidden
from glm_agent.errors import AgentError, ConfigurationError
from glm_agent.messages import Event, StopReason
from glm_agent.models.purse import Purse
from glm_agent.models.waiting import lane

if TYPE_CHECKING:
    from glm_agent.journal import Journal

CONCURRENCY: Final = 8
"""Tasks at once where nobody says; how many requests the key allows is found out by trying."""

Listener: TypeAlias = Callable[[BatchResult], object]


def _file(journal: str | Path | None) -> str | Path | None:
    """The file of a journal. A batch in a database is another way to run one."""
    if isinstance(journal, str) and is_address(journal):
        raise ConfigurationError(f"journal= takes a file; for the workers of a database: database='{hidden(journal)}'")
    given.journal(journal)
    return journal


class Batch:
    """Many tasks and their results. Everything that can be wrong with a line is found here, before anything is sent.

    Args:
        tasks: A file with one JSON object a line (``-``: stdin), or such objects; see ``docs/batch.md``.
        task: The task file of all lines that name neither a task nor a prompt.
        out: The file that results are appended to; a batch whose file is there goes on.
        name: Names the batch, so that it goes on without such a file too.
        journal: A path or a ``Journal``; without it, the nearest ``.glm-agent``.
        concurrency: Tasks at once.
        retries: How often a task that failed is taken up again where that may help, the model's own retries apart.
        limit_cost_usd: What all tasks together may spend, earlier runs of the batch included.
        max_failures: So many errors in a row stop the batch.
        max_wait_seconds: How long it may wait for an allowance to begin anew.
        retry_failed: Run those again too whose result is no answer.
        priority: Of batches that wait for the same key or the same workers, the lowest goes first; equals take turns.
        database: The database whose workers do the tasks: ``postgresql://…`` or ``sqlite:///…``.
        queue: Name of its queue.
        options: With ``database``: what the workers make agents of, as the options of ``glm-agent run``.
        arguments: Makes the arguments of ``Agent`` for a task file or, of None, for a prompt.
        on_result: Is told every result.
        on_event: Is told every event of every task.
        on_notice: Is told, in a sentence, what is tried again and what is waited for.
        agent_arguments: Arguments of ``Agent`` that replace the task's, such as ``model`` and ``tools``.

    Raises:
        ConfigurationError: Names the lines that are wrong.
    """

    def __init__(
        self,
        tasks: str | Path | Iterable[Mapping[str, Any]],
        *,
        task: str | Path | None = None,
        out: str | Path | None = None,
        name: str | None = None,
        journal: Journal | str | Path | None = None,
        concurrency: int = CONCURRENCY,
        retries: int = 2,
        limit_cost_usd: float | None = None,
        max_failures: int = 10,
        max_wait_seconds: float = 6 * 3600.0,
        retry_failed: bool = False,
        priority: int = 0,
        database: str | None = None,
        queue: str = "glm-agent",
        options: Mapping[str, Any] | None = None,
        arguments: Arguments | None = None,
        on_result: Listener | None = None,
        on_event: Callable[[Item, Event], object] | None = None,
        on_notice: Callable[[str], object] = lambda _: None,
        **agent_arguments: Any,
    ) -> None:
        from glm_agent.journal import Journal

        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}: at least 1 task must run")
        self.id = ""
        """Known once it runs: what ``name`` takes to go on."""
        self.progress = Progress()
        self._journal = journal if isinstance(journal, Journal) else Journal(_file(journal))
        self._owns_journal = self._journal is not journal
        self._out = ResultsFile(Path(os.path.expanduser(out)).absolute()) if out is not None else None
        self._name, self._concurrency, self._retry_failed = name, concurrency, retry_failed
        self._priority = priority
        self._purse = Purse(limit_usd=limit_cost_usd)
        path = Path(os.path.expanduser(tasks)).absolute() if isinstance(tasks, str | Path) else None
        self._agents = Agents(
            task=Path(os.path.expanduser(task)) if task is not None else None,
            folder=path.parent if path is not None and os.path.isfile(path) else Path.cwd(),
            arguments=arguments or (overridden(agent_arguments) if database is None else None),
            journal=self._journal,
            purse=self._purse,
        )
        self._database, self._queue, self._options = database, queue, dict(options or {})
        if database is not None and agent_arguments:
            raise ConfigurationError(
                f"'{next(iter(agent_arguments))}' stays in this process, and workers of a database are others: "
                "say with options= what they make agents of, such as options={'model': 'glm-5.3-flash'}"
            )
        self._on_result, self._on_notice = on_result, on_notice
        self._ended_before = Counter[StopReason]()
        self._new_worker = partial(
            Worker,
            agents=self._agents,
            journal=self._journal,
            purse=self._purse,
            retries=retries,
            max_failures=max_failures,
            max_wait_seconds=max_wait_seconds,
            progress=self.progress,
            on_event=on_event,
            on_notice=on_notice,
        )
        self._lines = TaskLines(tasks, parameters=self._agents.parameters)
        try:
            self._digests = self._lines.check(self._agents.check)
        except BaseException:
            self.close()
            raise
        self.progress.total = len(self._lines)

    async def run(self) -> BatchReport:
        """Run what has no result yet.

        Raises:
            ConfigurationError: It cannot run as it is set, or the file of results is not of this batch.
            JournalError: The journal cannot be used.
        """
        started = time.monotonic()
        with closing(self), self._claimed() as is_known:
            done, again = self._before()
            worker = self._new_worker(batch=self.id, is_known=is_known, again=again)
            todo = (item for item in self._lines if key_hash(item.key) not in done)
            if self._database is not None:
                await self._fetch(self._database, worker, todo, done=done)
            else:
                async with self._agents:
                    with lane(self.id, priority=self._priority):
                        await self._run(worker, todo)
            return self._report(worker.stopped, seconds=time.monotonic() - started)

    def run_sync(self) -> BatchReport:
        """``run`` for code without an event loop, and for notebooks, where one is running already."""
        return run_apart(self.run, options=fast_loop())

    def close(self) -> None:
        """Close what a batch has open that does not run; ``run`` does so at its end."""
        self._lines.close()
        if self._out is not None:
            self._out.close()
        if self._owns_journal:
            self._journal.close()

    async def _run(self, worker: Worker, todo: Iterator[Item]) -> None:
        async def work() -> None:
            try:
                while worker.stopped is None and (item := next(todo, None)) is not None:
                    result = await worker.result(item)
                    if result is not None:
                        self._keep(result)
                        worker.count(result)
            except AgentError as error:
                worker.stop(str(error), error)

        async with unwrapped(anyio.create_task_group()) as tasks:
            for _ in range(min(self._concurrency, self.progress.left)):
                tasks.start_soon(work)

    async def _fetch(self, database: str, worker: Worker, todo: Iterator[Item], *, done: set[bytes]) -> None:
        """Have workers run it, and keep what they bring."""
        from glm_agent.batch.queued import QueuedTasks

        tasks = QueuedTasks(
            database,
            batch=self.id,
            queue=self._queue,
            agents=self._agents,
            options=self._options,
            is_retried=self._retry_failed,
            priority=self._priority,
            progress=self.progress,
            on_notice=worker.on_notice,
        )
        try:
            await tasks.put(todo, is_known=worker.is_known)
            async with aclosing(tasks.results({*self._digests} - done)) as results:
                async for result in results:
                    self._keep(result)
                    self._purse.pay(result.cost_usd)
                    self.progress.cost_usd = self._purse.spent_usd
                    worker.count(result)
                    if self._purse.is_empty and self.progress.left:
                        worker.stop(f"{self._purse.detail}: ${self._purse.spent_usd:.4f} spent")
                    if worker.stopped is not None:
                        await tasks.cancel_waiting()
                        break
        finally:
            tasks.close()

    def _keep(self, result: BatchResult) -> None:
        if self._out is not None:
            self._out.append(result)
        self.progress.count(result)
        if self._on_result is not None:
            self._on_result(result)

    @contextmanager
    def _claimed(self) -> Generator[bool]:
        """This process alone runs the batch; whether it may have been begun before."""
        folder = place.make_folder(self._journal.path)
        out = self._out.path if self._out is not None else None
        with ExitStack() as stack:
            if out is not None:
                # Before the batch's own lock: which batch it is, stands beside the file of results.
                stack.enter_context(place.held(out, folder=folder))
            self.id, is_known = place.batch_id(self._name, out=out, folder=folder)
            stack.enter_context(place.held(self.id, folder=folder))
            yield is_known

    def _before(self) -> tuple[set[bytes], frozenset[bytes]]:
        """Keys that have their result, and those whose result is to be replaced."""
        done, again, dropped = set[bytes](), set[bytes](), set[str]()
        for result in self._out.read() if self._out is not None else ():
            key = key_hash(result.key)
            self._check_digest(result, key)
            if key not in self._digests or (result.is_final and (result.is_answered or not self._retry_failed)):
                done.add(key)
                self._count_before(result, is_of_tasks=key in self._digests)
            else:
                again.add(key)
                dropped.add(result.key)
        if self._out is not None:
            self._say_damaged(self._out)
            self._out.open(dropped=frozenset(dropped))
        self.progress.skipped = len(done & self._digests.keys())
        self._purse.spent_usd = self.progress.cost_usd = self.progress.spent_before_usd
        return done, frozenset(again if self._retry_failed else ())

    def _say_damaged(self, out: ResultsFile) -> None:
        for number in out.damaged:
            self._on_notice(
                f"{out.path}:{number} is damaged: the line goes to '{out.damaged_path}', and its task is taken up again"
            )

    def _check_digest(self, result: BatchResult, key: bytes) -> None:
        asked = self._digests.get(key)
        if asked is not None and asked.hex() != result.digest:
            raise ConfigurationError(
                f"the task '{result.key}' is not what it was when its result was written (line {result.line} then): "
                "give it another key, or the results another file"
            )

    def _count_before(self, result: BatchResult, *, is_of_tasks: bool) -> None:
        self.progress.spent_before_usd += result.cost_usd or 0.0
        if is_of_tasks:
            self._ended_before[result.stop_reason] += 1

    def _report(self, stopped: Stopped | None, *, seconds: float) -> BatchReport:
        return BatchReport(
            id=self.id,
            total=self.progress.total,
            skipped=self.progress.skipped,
            duplicates=self._lines.duplicates,
            left=self.progress.left,
            ended=dict(self._ended_before + self.progress.ended),
            cost_usd=self._purse.spent_usd,
            duration_seconds=seconds,
            is_spent=self._purse.is_empty,
            stopped=stopped.reason if stopped is not None else "",
            error=stopped.error if stopped is not None else None,
        )
