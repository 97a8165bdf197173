"""``glm-agent chat``: a conversation on the terminal, with the live view of ``run``."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from glm_agent.cli import formats
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import fail, leave, say
from glm_agent.cli.foreground import Foreground, Interrupted
from glm_agent.cli.onward import command
from glm_agent.cli.options import DEFAULT_MODEL, RunOptions, as_typed, override, recall, remember
from glm_agent.cli.recording import closing, recorder
from glm_agent.errors import AgentError, ConfigurationError

if TYPE_CHECKING:
    from glm_agent.agent import Agent
    from glm_agent.cli.view import View
    from glm_agent.journal.store import Sessions
    from glm_agent.messages import ApprovalDecision, ApprovalRequested

_COMMAND: Final = re.compile(r"/[a-z]+")
"""What is meant for us, not for the model: a path has more in it."""


def chat(
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help=f"Else $GLM_AGENT_MODEL, or {DEFAULT_MODEL}.")
    ] = None,
    tools: Annotated[list[str] | None, typer.Option(help="Entry point, ./file.py, ./folder; repeatable.")] = None,
    mcp_config: Annotated[list[str] | None, typer.Option(help="A .mcp.json, a command or an address.")] = None,
    ask: Annotated[list[str] | None, typer.Option(help="Ask before tools like this; repeatable.")] = None,
    deny: Annotated[list[str] | None, typer.Option(help="Tools like this never run; repeatable.")] = None,
    session: Annotated[str | None, typer.Option(help="Go on with this session; made if new.")] = None,
    record: Annotated[str | None, typer.Option(metavar="FILE", help="Keep the raw wire, without secrets.")] = None,
    database: Database = None,
) -> None:
    """Talk to the model; the session is kept. Ctrl-C stops a turn, /exit or Ctrl-D the chat.

    Example: glm-agent chat --tools files --ask 'write_*'
    """
    from glm_agent.journal import new_session_id

    given = as_typed(model=model, tools=tools, mcp_config=mcp_config, ask=ask, deny=deny)
    try:
        journal = sessions_at(database)
        session_id = session or new_session_id()
        options = override(recall(journal, session_id), given) if session else given
        remember(journal, session_id, options)
        conversation = Chat(options, session_id, journal, record=record)
    except AgentError as error:
        fail(error)
    conversation.execute()


class Chat:
    """One conversation; the person types in the main thread, turns run on the foreground's loop."""

    def __init__(self, options: RunOptions, session: str, journal: Sessions, *, record: str | None = None) -> None:
        from glm_agent.plugins.reload import ToolFiles

        self._arguments, self._session, self._journal = options.agent_arguments(None), session, journal
        self._files = ToolFiles(self._arguments["tools"])
        self._recorder = recorder(record)

    def execute(self) -> None:
        """Until the person leaves."""
        from glm_agent.cli.view import View

        view = View(shows_answer=False)
        code = 0
        try:
            with Foreground(running=view.running) as foreground:
                foreground.keep_open(closing(self._recorder))
                agent = foreground.keep_open(self._agent(foreground, view))
                view.line(f"session {self._session}; /exit or Ctrl-D to leave", style="dim")
                self._converse(foreground, agent, view)
        except Interrupted as interrupted:
            code = interrupted.exit_code
        except ConfigurationError as error:
            fail(error)
        view.close()
        say(f"go on with: {command('chat', '--session', self._session)}")
        leave(code, running=view.running)

    def _agent(self, foreground: Foreground, view: View) -> Agent:
        from glm_agent.agent import Agent
        from glm_agent.cli import approvals, questions

        async def approve(request: ApprovalRequested) -> ApprovalDecision | None:
            with view.paused() as console:
                return await foreground.ask(lambda: approvals.ask(console, foreground.read_line, request))

        return Agent(
            **self._arguments,
            client=self._recorder,
            observers=[view],
            journal=self._journal,
            session=self._session,
            approve=approve if approvals.is_interactive() else None,
            ask=questions.asker(foreground, view.paused) if approvals.is_interactive() else None,
        )

    def _reload(self, agent: Agent) -> None:
        """Offer the tools anew where their files changed since the last turn; a broken file changes nothing."""
        if changed := self._files.changed():
            try:
                agent.offer(self._arguments["tools"])
                say(f"tools loaded again: {', '.join(file.name for file in changed)} changed")
            except (AgentError, OSError) as error:
                say(f"the tools stay as they were: {error}")

    def _converse(self, foreground: Foreground, agent: Agent, view: View) -> None:
        from glm_agent.models.catalog import cost_usd

        while (text := _next_line(foreground)) not in (None, "/exit", "/quit"):
            if not text:
                continue
            if _COMMAND.fullmatch(text):
                say(f"there is no command {text!r}: /exit or Ctrl-D leaves, everything else is said to the model")
                continue
            self._reload(agent)
            try:
                result = foreground.play(partial(agent.run, text))
            except Interrupted as interrupted:
                view.close()
                if interrupted.exit_code != 130:
                    raise
                say("stopped")
            except AgentError as error:
                view.close()
                say(f"error: {error}")
            else:
                view.end(result, cost_usd=cost_usd(str(self._arguments["model"]), result.usage))
                formats.write_answer(result)


def _next_line(foreground: Foreground) -> str | None:
    """What the person types; None at the end of the input."""
    if sys.stdin.isatty():
        print("\n> ", end="", file=sys.stderr, flush=True)  # noqa: T201
    try:
        return foreground.read_line().strip()
    except EOFError:
        return None
