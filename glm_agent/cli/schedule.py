"""``glm-agent schedule``: task files that workers run by the clock."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats
from glm_agent.cli.database import WorkDatabase, address
from glm_agent.cli.exits import reporting, say
from glm_agent.cli.options import RunOptions, as_typed, parameters

if TYPE_CHECKING:
    from glm_agent.durable.schedule import Schedule, Schedules

schedule = typer.Typer(
    help="""Task files that workers run by the clock.

    [bold]Example[/bold]: glm-agent schedule add nightly '0 3 * * *' report.md --timezone Europe/Berlin
    """,
    no_args_is_help=True,
)


@schedule.command()
def add(
    name: Annotated[str, typer.Argument(help="Its sessions are called NAME-20261123-030000.")],
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Minute, hour, day, month, weekday: '0 3 * * *'.")],
    task: Annotated[str, typer.Argument(metavar="TASK.md", help="The task file; read each time.")],
    *,
    database: WorkDatabase = None,
    timezone: Annotated[str, typer.Option(help="What the cron expression is in.")] = "UTC",
    queue: Annotated[str, typer.Option(help="The queue that workers take it from.")] = "glm-agent",
    param: Annotated[list[str] | None, typer.Option(help="name=value for the task's ${name}; repeatable.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Instead of the task's.")] = None,
    tools: Annotated[list[str] | None, typer.Option(help="As in run; repeatable.")] = None,
    mcp_config: Annotated[list[str] | None, typer.Option(help="As in run; repeatable.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="US dollars, each time.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds, each time.")] = None,
) -> None:
    """Put a task file into a queue by the clock. Workers of the database do it; each moment is a session.

    A moment at which no worker runs is left out. The task and its parameters are checked now, and read again each time.

    [bold]Examples[/bold]

      glm-agent schedule add nightly '0 3 * * *' report.md --timezone Europe/Berlin --database postgresql://db/agent

      glm-agent schedule add mornings '30 8 * * 1-5' inbox.md --param who=me
    """
    with reporting():
        options = as_typed(
            task=str(Path(os.path.expanduser(task)).absolute()),
            parameters=parameters(param or []),
            model=model,
            tools=tools,
            mcp_config=mcp_config,
            max_cost=max_cost,
            timeout=timeout,
        )
        made = _made(name, cron, options, timezone=timezone, queue=queue)
        _schedules(database).add(made)
    say(f"'{name}' runs next at {_shown(made.next(now=datetime.now(UTC)))}, where a worker is there")


@schedule.command("list")
def list_schedules(
    database: WorkDatabase = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """The schedules of a database, with the next and the last time of each.

    Example: glm-agent schedule list --database postgresql://db/agent
    """
    now = datetime.now(UTC)
    with reporting():
        found = _schedules(database).all()
    for each in found:
        following = each.next(now=now)
        if json:
            formats.write_line({**asdict(each), "next": following.isoformat()})
        else:
            last = f"last {_shown(datetime.fromisoformat(each.last))}" if each.last else "not run yet"
            formats.write(f"{each.name}  '{each.cron}'  next {_shown(following)}  {last}  {each.task}\n")
    if not found:
        say("no schedules")


@schedule.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `schedule list` shows it.")], database: WorkDatabase = None
) -> None:
    """Remove a schedule. Turns that wait in the queue already stay there.

    Example: glm-agent schedule remove nightly --database postgresql://db/agent
    """
    with reporting():
        _schedules(database).remove(name)
    say(f"removed '{name}'")


def _made(name: str, cron: str, options: RunOptions, *, timezone: str, queue: str) -> Schedule:
    """The schedule, its task checked as far as that can be done without running it."""
    from glm_agent.agent import Agent
    from glm_agent.durable.schedule import Schedule

    Agent(**options.agent_arguments(options.load_task()))
    kept = {key: value for key, value in asdict(options).items() if value}
    return Schedule(name=name, cron=cron, timezone=timezone, queue=queue, task=options.task, options=kept)


def _schedules(database: str | None) -> Schedules:
    from glm_agent.durable import schedules_in

    return schedules_in(address(database, of="schedules are in"))


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")
