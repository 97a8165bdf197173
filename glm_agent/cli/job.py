"""One ``run``: a turn on its way through the command line, from options to an exit code."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from glm_agent.cli import formats
from glm_agent.cli.approvals import how_to_decide
from glm_agent.cli.exits import EXIT_CODES, error_code, leave, say
from glm_agent.cli.foreground import Foreground, Interrupted
from glm_agent.cli.formats import Format
from glm_agent.cli.onward import command
from glm_agent.cli.options import RunOptions, remember
from glm_agent.cli.recording import closing, recorder
from glm_agent.cli.retention import prune_by_setting
from glm_agent.errors import AgentError, ConfigurationError, JournalError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Event,
    ModelResponse,
    TurnResult,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from glm_agent.agent import Agent
    from glm_agent.journal.store import Sessions


@dataclass(kw_only=True)
class Job:
    """What is to be done, and how it is shown."""

    options: RunOptions
    journal: Sessions | None
    """Where the session is kept; None keeps nothing."""
    session: str = ""
    prompt: str | None = None
    """None: the rest of the session's last turn, or the task's text."""
    is_resumed: bool = False
    decisions: list[ApprovalDecision] = field(default_factory=list[ApprovalDecision])
    format: Format = "text"
    is_quiet: bool = False
    record: str | None = None
    """The cassette that the raw wire is kept in."""

    def execute(self) -> NoReturn:
        """Run it, write the answer, and leave with the exit code of how it ended."""
        from glm_agent.cli.view import View

        self._started = time.monotonic()
        self._model = ""
        self._usage, self._steps = Usage(), 0
        self._unwritten: AgentError | None = None
        is_alone = self.format == "jsonl" and sys.stdout.isatty()
        # Where neither is a terminal, both often end in one log.
        answer_is_seen = self.format == "text" and (sys.stdout.isatty() or not sys.stderr.isatty())
        self.view = View(is_quiet=self.is_quiet or is_alone, shows_answer=not answer_is_seen)
        code = self._run()
        if self.journal is not None:
            prune_by_setting(self.journal)
        leave(code, running=self.view.running)

    def _run(self) -> int:
        try:
            with Foreground(running=self.view.running, last_words=self._say_interrupted) as foreground:
                agent = self._agent(foreground)
                result = foreground.play(lambda: self._turn(agent))
            return self._ended(result)
        except Interrupted as interrupted:
            return self._interrupted(interrupted)
        except AgentError as error:
            self.view.close()
            return self._failed(error)

    def _agent(self, foreground: Foreground) -> Agent:
        from glm_agent.agent import Agent
        from glm_agent.cli import approvals, questions

        async def approve(request: ApprovalRequested) -> ApprovalDecision | None:
            with self.view.paused() as console:
                return await foreground.ask(lambda: approvals.ask(console, foreground.read_line, request))

        self._task = self.options.load_task()
        arguments = self.options.agent_arguments(self._task)
        self._model = str(arguments["model"])
        if self._task is not None and self.prompt is None and not self.is_resumed:
            self.prompt = self._task.prompt
        path = self.options.output_path(self._task)
        if path is not None and os.path.isdir(path):
            raise ConfigurationError(f"the answer cannot be written to the folder '{path}': name a file in it")
        self._recorder = recorder(self.record)
        agent = Agent(
            **arguments,
            client=self._recorder,
            observers=[self._note, self.view, *([self._write_event] if self.format == "jsonl" else [])],
            journal=self.journal,
            approve=approve if approvals.is_interactive() else None,
            ask=questions.asker(foreground, self.view.paused) if approvals.is_interactive() else None,
        )
        if self.journal is not None:
            remember(self.journal, self.session, self.options)
        return agent

    async def _turn(self, agent: Agent) -> TurnResult:
        session = self.session or None
        async with closing(self._recorder):
            if self.is_resumed:
                return await agent.resume(session, decisions=self.decisions)
            return await agent.run(self.prompt, session=session)

    def _note(self, event: Event) -> None:
        match event:
            case TurnStarted():
                self._model = event.model
            case ModelResponse():
                self._usage += event.usage
                self._steps += 1
            case _:
                pass

    def _write_event(self, event: Event) -> None:
        try:
            formats.write_event(event)
        except AgentError as error:
            self._unwritten = error  # an observer cannot end a turn: it is said when the turn has ended

    # -- how it ended

    def _ended(self, result: TurnResult) -> int:
        if self._unwritten is not None:
            raise self._unwritten
        code = EXIT_CODES[result.stop_reason]
        spent = self._spent(result.usage, result.steps)
        self.view.end(result, cost_usd=spent.cost_usd)
        if self.is_quiet and code and result.detail:
            say(f"{result.stop_reason}: {result.detail}")
        if self.format == "text":
            formats.write_answer(result)
        else:
            formats.write_event(formats.of_result(result, spent, exit_code=code, session=self.session))
        path = self.options.output_path(self._task)
        if path is not None and result.stop_reason == "end_turn" and not self._write_output(path, result.output):
            return 1
        if code == EXIT_CODES["needs_approval"]:
            self._say_how_to_decide()
        return code

    def _failed(self, error: AgentError) -> int:
        code = error_code(error)
        say(f"error: {error}")
        is_kept = self._is_kept()
        if is_kept and code != 2:
            say(f"the session is kept; go on with: {self._resume_command()}")
        self._write_failure(error, code)
        return code

    def _interrupted(self, interrupted: Interrupted) -> int:
        self._say_interrupted()
        self._write_failure(interrupted, interrupted.exit_code)
        return interrupted.exit_code

    def _say_interrupted(self) -> None:
        self.view.close()
        names = ", ".join(self.view.running())
        how = f"interrupted while {names} was running" if names else "interrupted"
        say(f"{how}; go on with: {self._resume_command()}" if self._is_kept() else f"{how}; nothing was kept")

    def _write_failure(self, error: BaseException, code: int) -> None:
        if self.format == "text":
            return
        spent = self._spent(self._usage, self._steps)
        formats.write_event(formats.of_error(error, spent, exit_code=code, session=self.session))

    def _is_kept(self) -> bool:
        """Whether anything is stored to go on with; where the store cannot be asked, what was answered is."""
        try:
            return self.journal is not None and self.journal.has(self.session)
        except JournalError:
            return self._steps > 0

    def _spent(self, usage: Usage, steps: int) -> formats.Spent:
        duration = time.monotonic() - self._started
        return formats.Spent(model=self._model, steps=steps, usage=usage, duration_seconds=duration)

    def _write_output(self, path: Path, output: Any) -> bool:
        """Whether the answer is in its file now; where not, it is still on stdout."""
        text = formats.as_text(output)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8", errors="replace")
        except OSError as error:
            say(f"error: the answer cannot be written to '{path}': {error.strerror}")
            return False
        self.view.line(f"written to {path}", style="dim")
        return True

    def _resume_command(self, *more: str) -> str:
        return command("run", "--resume", self.session, *more)

    def _say_how_to_decide(self) -> None:
        if self.journal is None:
            say("nothing was kept (--no-session), so it cannot go on; run it without --no-session")
            return
        waiting = self.journal.waiting(self.session)
        for request in waiting:
            for line in how_to_decide(request, session=self.session):
                say(line)
        if not waiting:
            say(f"go on with: {self._resume_command()}")
