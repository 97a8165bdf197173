"""``glm-agent runs``: the turns that workers have, had, or are to have."""

from __future__ import annotations

import time
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.approvals import how_to_decide, what_waits
from glm_agent.cli.database import WorkDatabase, address
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.onward import command
from glm_agent.errors import ConfigurationError
from glm_agent.messages import ApprovalRequested
from glm_agent.turn import WAITS_FOR_A_PERSON

if TYPE_CHECKING:
    from glm_agent.durable.queue import TurnQueue
    from glm_agent.durable.rows import Run
    from glm_agent.turn import Waiting

runs = typer.Typer(
    help="""Turns in a database: what waits, what runs where, what came of it.

    [bold]Example[/bold]: glm-agent runs list --database sqlite:///runs.db --state failed
    """,
    no_args_is_help=True,
)

Sessions = Annotated[list[str] | None, typer.Argument(metavar="[SESSION]…", help="As `runs list` shows them.")]
BatchName = Annotated[str | None, typer.Option("--batch", help="Those of this batch.")]


class State(StrEnum):
    """What a run is, in a word."""

    waiting = "waiting"
    running = "running"
    done = "done"
    undecided = "undecided"
    """It waits for a person: an approval, or a word on what came of a call."""
    failed = "failed"
    cancelled = "cancelled"


_STATUSES: Final[dict[State, list[str]]] = {
    State.waiting: ["ENQUEUED", "DELAYED"],
    State.running: ["PENDING"],
    State.done: ["SUCCESS"],
    State.undecided: ["SUCCESS"],
    State.failed: ["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
    State.cancelled: ["CANCELLED"],
}

_ENDS: Final[dict[str, State]] = {
    "": State.done,  # of a session that a program had open
    "end_turn": State.done,
    **dict[str, State].fromkeys(WAITS_FOR_A_PERSON, State.undecided),
}


@runs.command("list")
def list_runs(
    database: WorkDatabase = None,
    *,
    state: Annotated[State | None, typer.Option(help="Only these; undecided: those that wait for a person.")] = None,
    batch: BatchName = None,
    queue: Annotated[str | None, typer.Option(help="Only those of this queue.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Runs, the latest first.

    Example: glm-agent runs list --database postgresql://db/agent --state running
    """
    with reporting():
        found = _found(_queue(database), state=state, batch=batch, queue=queue)
    for run in found[:limit]:
        if json:
            formats.write_line(_object(run))
        else:
            formats.write(f"{_line(run)}\n")
    if len(found) > limit:
        say(f"… and {len(found) - limit:,} more: --limit shows them")
    if not found:
        say("no such runs")


@runs.command()
def show(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="As `runs list` shows it.")],
    database: WorkDatabase = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """The runs of one session: when and where, how often begun, and what came of them.

    What was said is shown by `sessions show`.
    """
    with reporting():
        found = _found(_queue(database), session=_session(session))
        if not found:
            raise ConfigurationError(f"there is no run of a session '{session}'")
    for run in reversed(found):
        if json:
            formats.write_line(_object(run))
            continue
        formats.write(f"{_line(run)}\n")
        for name, value in _object(run).items():
            if value not in (None, "", {}) and name not in ("run", "session", "state", "created"):
                formats.write(f"    {name.replace('_', ' '):<12}{phrases.clean(_words(value))}\n")
    if _state(found[0]) is State.undecided:
        with reporting():
            _say_how_to_decide(found[0].session, database)


@runs.command()
def cancel(
    sessions: Sessions = None,
    *,
    database: WorkDatabase = None,
    batch: BatchName = None,
) -> None:
    """Take runs from the queue, or from their workers at their next record. `runs retry` goes on with them.

    Example: glm-agent runs cancel --batch nightly --database postgresql://db/agent
    """
    with reporting():
        waiting = _queue(database)
        active = [run for run in _chosen(waiting, sessions, batch) if run.is_active]
        waiting.cancel_runs(active)
    say(f"cancelled: {phrases.count(len(active), 'run')}")


@runs.command()
def retry(
    sessions: Sessions = None,
    *,
    database: WorkDatabase = None,
    batch: BatchName = None,
) -> None:
    """Go on with runs that failed or were cancelled: nothing that was answered is asked again.

    Example: glm-agent runs retry --batch nightly --database postgresql://db/agent
    """
    with reporting():
        waiting = _queue(database)
        last = {run.session: run for run in reversed(_chosen(waiting, sessions, batch))}
        over = [run for run in last.values() if not run.is_active and _stop_reason(run) != "end_turn"]
        again = [waiting.retry(run.session) for run in over]
    say(f"in the queue again: {phrases.count(len(again), 'run')}")


def _say_how_to_decide(session: str, database: str | None) -> None:
    from glm_agent.durable import sessions_in

    with sessions_in(address(database, of="runs are in")) as stored:
        for request in stored.waiting(session):
            for line in _how_to_decide(request, session):
                say(line)


def _how_to_decide(request: Waiting, session: str) -> list[str]:
    """Commands that decide on a call; then the turn is in its queue again."""
    if not isinstance(request, ApprovalRequested):
        return how_to_decide(request, session=session)[:-1]
    return [
        what_waits(request),
        f"to approve: {command('sessions', 'approve', session, request.call_id)}",
        f"to deny:    {command('sessions', 'deny', session, request.call_id)}",
    ]


def _queue(database: str | None) -> TurnQueue:
    from glm_agent.durable import queue_in

    return queue_in(address(database, of="runs are in"))


def _found(
    waiting: TurnQueue,
    *,
    state: State | None = None,
    batch: str | None = None,
    queue: str | None = None,
    session: str | None = None,
) -> list[Run]:
    """Runs, the latest first."""
    filters: dict[str, Any] = {}
    if state is not None:
        filters["status"] = _STATUSES[state]
    if queue is not None:
        filters["queue_name"] = queue
    if batch is not None or session is not None:
        filters["workflow_id_prefix"] = f"{batch}-" if batch is not None else f"{session}/"
    found = [run for run in waiting.runs(**filters) if state is None or _state(run) is state]
    if batch is not None:  # the id of another batch may begin with that of this one
        others = {run.session for run in found if _labels(run).get("batch", batch) != batch}
        found = [run for run in found if run.session not in others]
    return sorted(found, key=lambda run: run.status.created_at or 0, reverse=True)


def _session(name: str) -> str:
    """A session, also where it was named by one of its runs, ``session/2``, as they are listed."""
    return name.partition("/")[0]


def _chosen(waiting: TurnQueue, sessions: list[str] | None, batch: str | None) -> list[Run]:
    if bool(sessions) == bool(batch):
        fail("say which: sessions as `runs list` shows them, or --batch NAME")
    if batch:
        return _found(waiting, batch=batch)
    names = list(map(_session, sessions or ()))
    found = [run for session in dict.fromkeys(names) for run in _found(waiting, session=session)]
    missing = [session for session in names if all(run.session != session for run in found)]
    if missing:
        raise ConfigurationError(f"there is no run of a session '{missing[0]}'")
    return found


def _labels(run: Run) -> dict[str, Any]:
    return cast("dict[str, Any]", run.spec.get("labels") or {})


def _stop_reason(run: Run) -> str:
    return str((run.outcome or {}).get("stop_reason", ""))


def _words(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name} {each}" for name, each in cast("dict[str, Any]", value).items())


def _state(run: Run) -> State:
    match run.status.status:
        case "ENQUEUED" | "DELAYED":
            return State.waiting
        case "PENDING":
            return State.running
        case "CANCELLED":
            return State.cancelled
        case _ if run.outcome is None:
            return State.failed
        case _:
            return _ENDS.get(_stop_reason(run), State.failed)


def _line(run: Run) -> str:
    outcome = run.outcome or {}
    at = datetime.fromtimestamp((run.status.created_at or 0) / 1000).strftime("%Y-%m-%d %H:%M:%S")
    how = _stop_reason(run) if run.outcome else ""
    said = phrases.short(str(outcome.get("detail") or ""), limit=80)
    words = f"{run.workflow}  {at}  {_state(run):<9}  {how:<14} {_took(run):>9}  {said}"
    return words.rstrip()


def _took(run: Run) -> str:
    """How long it has been at work."""
    begun: Any = run.status.dequeued_at
    ended: Any = run.status.completed_at
    if not begun or not (ended or run.is_active):
        return ""
    seconds = max(0.0, (ended or time.time() * 1000) - begun) / 1000
    return phrases.duration(seconds) if seconds else "under 1 s"  # on SQLite the engine's clock has whole seconds


def _object(run: Run) -> dict[str, Any]:
    from glm_agent.durable.liveness import described

    outcome, spec = run.outcome or {}, run.spec
    return {
        "run": run.workflow,
        "session": run.session,
        "state": _state(run).value,
        "stop_reason": outcome.get("stop_reason"),
        "detail": outcome.get("detail", ""),
        "queue": run.status.queue_name,
        "worker": described(run.status.executor_id) if run.status.executor_id and _state(run) != "waiting" else "",
        "attempts": run.status.recovery_attempts or 0,
        "created": (run.status.created_at or 0) / 1000,
        "duration": _took(run),
        "prompt": phrases.short(str(spec.get("prompt") or ""), limit=200),
        "task": cast("dict[str, Any]", spec.get("options") or {}).get("task", ""),
        "labels": _labels(run),
    }
