"""``glm-agent batch``: many tasks, a line each."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from glm_agent.cli import choices, formats
from glm_agent.cli.exits import EXIT_CODES, USAGE, error_code, fail, leave, say
from glm_agent.cli.foreground import Foreground, Interrupted
from glm_agent.cli.garbage import collect_seldom
from glm_agent.cli.onward import same_command
from glm_agent.cli.options import RunOptions, as_typed
from glm_agent.errors import AgentError

if TYPE_CHECKING:
    from glm_agent.batch import Batch, BatchReport, BatchResult
    from glm_agent.cli.batch_view import BatchView

_AGAIN, _WORKERS = "Failures, and going on", "Workers"

_MOST_TELLING: Final = (USAGE, 1, 5, 3, 4)
"""Exit codes, the one to leave with first: what must be mended before what is only to be known."""


def batch(
    tasks: Annotated[str, typer.Argument(metavar="TASKS.jsonl", help="One task a line, as JSON; - for stdin.")],
    *,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            "-t",
            help="The task file of all lines; each line gives its parameters.",
            rich_help_panel=choices.RUN,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="Append results to this file; else they go to stdout.", rich_help_panel=choices.RUN
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", min=1, help="Tasks at once.", rich_help_panel=choices.RUN)
    ] = 8,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="For every line that names none itself.", rich_help_panel=choices.RUN),
    ] = None,
    tools: choices.Tools = None,
    mcp_config: choices.McpConfig = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Look for mistakes in the lines, and run nothing.")] = False,
    limit_cost: Annotated[
        float | None,
        typer.Option(
            min=0, help="US dollars for the whole batch, earlier runs included.", rich_help_panel=choices.LIMITS
        ),
    ] = None,
    max_steps: choices.MaxSteps = None,
    max_tokens: choices.MaxTokens = None,
    max_cost: choices.MaxCost = None,
    timeout: choices.Timeout = None,
    permissions: choices.Permissions = None,
    allow: choices.Allow = None,
    ask: choices.Ask = None,
    deny: choices.Deny = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a task that failed is taken up again.", rich_help_panel=_AGAIN)
    ] = 2,
    max_failures: Annotated[
        int, typer.Option(min=1, help="So many errors in a row stop the batch.", rich_help_panel=_AGAIN)
    ] = 10,
    max_wait: Annotated[
        float,
        typer.Option(
            min=0, help="Hours to wait for a used-up allowance (1308 …) to begin anew.", rich_help_panel=_AGAIN
        ),
    ] = 6.0,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Ask those anew that ended without an answer.", rich_help_panel=_AGAIN),
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(
            help="Let the workers of this database do it: postgresql://… or sqlite:///…; '' for this process.",
            envvar="GLM_AGENT_DATABASE_URL",
            show_envvar=True,
            rich_help_panel=_WORKERS,
        ),
    ] = None,
    queue: Annotated[
        str, typer.Option(help="The queue that the workers take from.", rich_help_panel=_WORKERS)
    ] = "glm-agent",
    priority: Annotated[
        int, typer.Option(min=0, help="Batches with a lower number go first.", rich_help_panel=_WORKERS)
    ] = 0,
    name: Annotated[
        str | None,
        typer.Option(help="Name the batch: the same name goes on with it, also without --out.", rich_help_panel=_AGAIN),
    ] = None,
) -> None:
    """Run many tasks: a line of JSON each in, a line of JSON each out.

    [bold]Examples[/bold]

      glm-agent batch articles.jsonl --task describe.md --out described.jsonl --limit-cost 5

      echo '{"prompt": "call list_files {}"}' | glm-agent batch - --tools files -m simulate:directive

    [bold]A line[/bold]  {"sku": "A-17"} with --task, {"key": "a", "prompt": "…"}, or {"task": "describe.md",
    "parameters": {"sku": "A-17"}, "attachments": ["a.png"], "model": "glm-5.3"}. More in docs/batch.md.

    [bold]Going on[/bold]  The same command again: what has its answer is skipped, what was cut off goes on where
    it was, what failed is tried again. Delete the file of results to begin anew.

    [bold]Exit codes[/bold]  0 all answered; else the first of these that is true of a task or of the batch:
    2 configuration · 1 error · 5 waits for approval or a decision · 3 a limit was reached · 4 refused or empty;
    130, 143 interrupted
    """
    options = as_typed(
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
    )
    from glm_agent.batch import Batch
    from glm_agent.cli.batch_view import BatchView

    view = BatchView(is_quiet=quiet)

    def end(result: BatchResult) -> None:
        if out is None:
            formats.write(result.to_line().decode())
        view.end(result)

    try:
        made = Batch(
            tasks,
            task=task,
            out=out,
            name=name,
            concurrency=concurrency,
            retries=retries,
            limit_cost_usd=limit_cost,
            max_failures=max_failures,
            max_wait_seconds=max_wait * 3600,
            retry_failed=retry_failed,
            arguments=options.agent_arguments,
            database=database or None,
            queue=queue,
            priority=priority,
            options=_data(options) if database else None,
            on_result=end,
            on_event=view.see,
            on_notice=view.say,
        )
    except AgentError as error:
        fail(error)
    if check:
        say(f"{made.progress.total:,} tasks, no mistake found")
        made.close()
        return
    leave(_execute(made, view, is_named=bool(out or name), has_workers=bool(database)), running=view.running)


def exit_code(report: BatchReport) -> int:
    """0 where all are answered, else the most telling of its tasks' codes and its own."""
    codes = {EXIT_CODES[reason] for reason in report.ended}
    if report.error is not None:
        codes.add(error_code(report.error))
    elif report.left:
        codes.add(EXIT_CODES["budget"] if report.is_spent else 1)
    is_complete = not report.left and not report.failed  # a run that was cancelled has no code of its own
    return next((code for code in _MOST_TELLING if code in codes), 0 if is_complete else 1)


def _execute(batch: Batch, view: BatchView, *, is_named: bool, has_workers: bool) -> int:
    """Run it, say how it ended and how to go on; the exit code."""
    from glm_agent.agent.runtime import fast_loop

    def last_words() -> None:
        view.close()
        names = ", ".join(sorted(set(view.running())))
        how = f"interrupted while {names} was running" if names else "interrupted"
        done = f"{batch.progress.skipped + batch.progress.done:,} of {batch.progress.total:,}"
        go_on = f"; go on with: {_go_on(batch, is_named=is_named)}" if batch.id else ""
        workers = "; the workers go on" if has_workers else ""
        say(f"{how}: {done} tasks have their result{workers}{go_on}")

    collect_seldom()
    try:
        with Foreground(running=view.running, last_words=last_words, loop=fast_loop()) as foreground:
            view.begin(batch.progress)
            report = foreground.play(batch.run)
    except Interrupted as interrupted:
        last_words()
        return interrupted.exit_code
    except AgentError as error:
        view.close()
        say(f"error: {error}")
        return error_code(error)
    view.close(report)
    if report.stopped:
        say(f"stopped: {report.stopped}")
    if report.left or report.failed:
        say(f"go on with: {_go_on(batch, is_named=is_named)}")
    return exit_code(report)


def _data(options: RunOptions) -> dict[str, Any]:
    """The options for a worker; the model is the one that this process would take."""
    model = options.model or os.environ.get("GLM_AGENT_MODEL")
    return {name: value for name, value in asdict(replace(options, model=model)).items() if value}


def _go_on(batch: Batch, *, is_named: bool) -> str:
    """The same command, with the batch's name where nothing else says which batch it is."""
    return same_command(*(() if is_named else ("--name", batch.id)))
