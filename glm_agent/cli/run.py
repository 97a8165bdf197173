"""``glm-agent run``: what its first argument is, and its options."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import choices
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import fail
from glm_agent.cli.options import RunOptions, as_typed, override, parameters, recall
from glm_agent.errors import AgentError, ConfigurationError, JournalError

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions
    from glm_agent.messages import ApprovalDecision

_TASK_ENDINGS = (".md", ".markdown")
_LOOKS_LIKE_PATH = re.compile(
    r"(\.{0,2}|~)/|[^\s:?]+(/[^\s:?]+)+/?$|\S+\.(md|markdown|ya?ml|json|toml|txt|py)$", re.IGNORECASE
)


class FormatName(StrEnum):
    """What is written to stdout."""

    text = "text"
    json = "json"
    jsonl = "jsonl"


_SESSION = "Sessions"


def run(
    what: Annotated[
        str | None, typer.Argument(metavar='[TASK.md | "text" | -]', help="A task file, a prompt, or - for stdin.")
    ] = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="glm-5.3-flash, provider:id, or simulate:SCENARIO. Else the task's, $GLM_AGENT_MODEL, glm-5.3-flash.",
            rich_help_panel=choices.RUN,
        ),
    ] = None,
    tools: choices.Tools = None,
    mcp_config: choices.McpConfig = None,
    param: Annotated[
        list[str] | None, typer.Option(help="name=value for a task's ${name}; repeatable.", rich_help_panel=choices.RUN)
    ] = None,
    format: Annotated[
        FormatName, typer.Option("--format", help="stdout: the answer, one JSON object, or an event per line.")
    ] = FormatName.text,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Also write the answer to this file.")] = None,
    output_schema: Annotated[
        str | None, typer.Option(help="JSON Schema the answer must fit: a file, or '{…}'.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live view on stderr.")] = False,
    max_steps: choices.MaxSteps = None,
    max_tokens: choices.MaxTokens = None,
    max_cost: choices.MaxCost = None,
    timeout: choices.Timeout = None,
    permissions: choices.Permissions = None,
    allow: choices.Allow = None,
    ask: choices.Ask = None,
    deny: choices.Deny = None,
    session: Annotated[
        str | None, typer.Option(help="Add a turn to this session; made if new.", rich_help_panel=_SESSION)
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Finish the turn of this session that was cut off.", rich_help_panel=_SESSION)
    ] = None,
    approve: Annotated[
        list[str] | None,
        typer.Option(help="With --resume: this waiting call may run, or all.", rich_help_panel=_SESSION),
    ] = None,
    deny_call: Annotated[
        list[str] | None,
        typer.Option(help="With --resume: this waiting call may not, or all.", rich_help_panel=_SESSION),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Keep the raw wire, without secrets; --model replay:FILE plays it.",
            rich_help_panel=_SESSION,
        ),
    ] = None,
    no_session: Annotated[
        bool, typer.Option("--no-session", help="Keep nothing; then nothing can be resumed.", rich_help_panel=_SESSION)
    ] = False,
    database: Database = None,
) -> None:
    """Run a task to its end: the answer goes to stdout, everything else to stderr.

    [bold]Examples[/bold]

      glm-agent run examples/01_repo_report/TASK.md

      glm-agent run "What time is it in Tokyo?" --mcp-config "uvx mcp-server-time"

      git diff | glm-agent run - --tools files --max-cost 0.10 --format json

      glm-agent run --resume 20261122-213108-5f3a9c

    [bold]Exit codes[/bold]  0 answered · 1 error · 2 usage or configuration · 3 a limit was reached ·
    4 refused, empty or invalid answer · 5 waits for approval (the way to go on is printed) ·
    130, 143 interrupted (so is the way to go on)
    """
    from glm_agent.cli.job import Job

    try:
        if session and resume:
            fail("--session adds a turn, --resume finishes one: give one of them")
        if (approve or deny_call) and not resume:
            fail("--approve and --deny-call decide on calls of a stored turn: give --resume ID too")
        task, prompt = _what(what, is_resumed=resume is not None)
        if param and not task and not resume:
            fail("--param fills in what a task file declares, and there is none: write the value into the text")
        given = as_typed(
            task=task,
            parameters=parameters(param or []),
            model=model,
            tools=tools,
            mcp_config=mcp_config,
            max_steps=max_steps,
            max_tokens=max_tokens,
            max_cost=max_cost,
            timeout=timeout,
            permissions=permissions,
            allow=allow,
            ask=ask,
            deny=deny,
            output=str(Path(os.path.expanduser(output)).absolute()) if output else None,
            output_schema=_file_unless_json(output_schema),
        )
        journal, session_id, options = _session(
            session or resume, given, database=database, is_kept=not no_session, is_resumed=bool(resume)
        )
        decisions = _decisions(journal, session_id, approve or [], deny_call or []) if journal and resume else []
        job = Job(
            options=options,
            journal=journal,
            session=session_id,
            prompt=prompt,
            is_resumed=resume is not None,
            decisions=decisions,
            format=format.value,
            is_quiet=quiet,
            record=record,
        )
    except AgentError as error:
        fail(error)
    job.execute()


def _what(what: str | None, *, is_resumed: bool) -> tuple[str, str | None]:
    """The task file or the prompt: one of them, by what the argument looks like."""
    if is_resumed:
        if what is not None:
            raise ConfigurationError("--resume finishes what was asked before: leave out the task, or use --session")
        return "", None
    if what is None:
        raise ConfigurationError('there is nothing to do: give a task file, "a text", or - to read it from stdin')
    if what == "-":
        return "", _spoken(sys.stdin.buffer.read().decode("utf-8-sig", errors="replace"))
    if not what.strip():
        return "", _spoken(what)
    path = Path(os.path.expanduser(what))
    if path.suffix.lower() in _TASK_ENDINGS and os.path.isfile(path):
        return str(path.absolute()), None
    if os.path.exists(path):
        kind = "folder" if os.path.isdir(path) else "file, and no task (those end in .md)"
        raise ConfigurationError(
            f"'{what}' is a {kind}: give a task file; to send it as text: echo '{what}' | glm-agent run -"
        )
    if _LOOKS_LIKE_PATH.match(what) and "://" not in what:
        raise ConfigurationError(f"there is no file '{what}'; to send it as text: echo '{what}' | glm-agent run -")
    return "", _spoken(what)


def _file_unless_json(given: str | None) -> str | None:
    return given if given is None or given.lstrip().startswith("{") else str(Path(os.path.expanduser(given)).absolute())


def _spoken(text: str) -> str:
    if not text.strip():
        raise ConfigurationError("the prompt is empty: say what is to be done")
    return text


def _session(
    wanted: str | None, given: RunOptions, *, database: str | None, is_kept: bool, is_resumed: bool
) -> tuple[Sessions | None, str, RunOptions]:
    """The journal, the session's id, and the options it began with where it is not new."""
    from glm_agent.journal import new_session_id

    if not is_kept:
        if wanted:
            raise ConfigurationError("--no-session keeps nothing: leave it out, or leave out --session and --resume")
        return None, "", given
    journal = sessions_at(database)
    if wanted is None:
        return journal, new_session_id(), given
    if is_resumed:
        try:
            journal.summary(wanted)
        except JournalError as error:
            raise ConfigurationError(str(error)) from error
    return journal, wanted, override(recall(journal, wanted), given)


def _decisions(journal: Sessions, session: str, approved: list[str], denied: list[str]) -> list[ApprovalDecision]:
    from glm_agent.cli.approvals import decisions

    return decisions(approved, denied, waiting=journal.waiting(session))
