"""Deciding on calls that wait, from any process: ``glm-agent sessions approve``, ``deny`` and ``decide``.

The decision is left in the session's inbox. A run that has the session open takes it from there at
once; where none has, the next ``run --resume`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.onward import command
from glm_agent.cli.sessions.arguments import Id
from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions
    from glm_agent.messages import Decision

Calls = Annotated[
    list[str] | None, typer.Argument(metavar="[CALL]...", help="Ids of waiting calls, or all; one that waits alone.")
]


def approve(
    session: Id,
    calls: Calls = None,
    always: Annotated[
        bool, typer.Option("--always", help="The same tools need not ask again in this session.")
    ] = False,
    arguments: Annotated[
        str | None, typer.Option(metavar="JSON", help="Other arguments than the model's, for one call.")
    ] = None,
    database: Database = None,
) -> None:
    """Let waiting calls run. A run that is open takes it at once, else the next `run --resume`.

    Example: glm-agent sessions approve nightly call_8a1f
    """
    from glm_agent.messages import ApprovalDecision

    with reporting():
        if arguments is not None:
            _check_arguments(arguments, calls)
        scope: Any = "session" if always else "call"
        _decide(
            session,
            calls,
            lambda call: ApprovalDecision(call_id=call, is_approved=True, scope=scope, arguments=arguments),
            database=database,
        )


def deny(
    session: Id,
    calls: Calls = None,
    reason: Annotated[str, typer.Option(help="Told to the model.")] = "",
    database: Database = None,
) -> None:
    """Waiting calls may not run; the model is told so.

    Example: glm-agent sessions deny nightly call_8a1f --reason "not on a Friday"
    """
    from glm_agent.messages import ApprovalDecision

    with reporting():
        _decide(
            session,
            calls,
            lambda call: ApprovalDecision(call_id=call, is_approved=False, reason=reason),
            database=database,
        )


def decide(
    session: Id,
    call: Annotated[str, typer.Argument(metavar="CALL", help="Id of the call, as `sessions show` prints it.")],
    reason: Annotated[str, typer.Argument(metavar="[REASON]", help="With --failed: why. Told to the model.")] = "",
    *,
    done: Annotated[
        str | None, typer.Option(metavar="RESULT", help="It took effect; this is the result the model reads.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="It did not take effect.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="It did not take effect: run it again.")] = False,
    database: Database = None,
) -> None:
    """Say what came of a call that a process left when it died.

    [bold]Examples[/bold]

      glm-agent sessions decide nightly call_8a1f --done "charged, receipt 4711"

      glm-agent sessions decide nightly call_8a1f --failed "the bank knows nothing of it"

      glm-agent sessions decide nightly call_8a1f --retry
    """
    from glm_agent.messages import OutcomeDecision

    if (done is not None) + failed + retry != 1:
        fail("say what came of the call with one of --done RESULT, --failed [REASON] or --retry")
    if reason and not failed:
        fail(f"'{reason}' is one word too many: a reason belongs to --failed; put a result of several words in quotes")
    outcome: Any = "failed" if failed else "retry" if retry else "done"
    with reporting():
        decision = OutcomeDecision(call_id=call, outcome=outcome, text=reason if failed else done or "")
        _leave(session, [decision], database=database)


def _check_arguments(text: str, calls: Sequence[str] | None) -> None:
    import json

    try:
        is_object = isinstance(json.loads(text), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise ConfigurationError(f"--arguments '{text}' is no JSON object: write '{{\"name\": \"value\"}}'")
    if calls is not None and (len(calls) > 1 or "all" in calls):
        raise ConfigurationError("--arguments are for one call: name it")


def _decide(
    session: str, calls: Sequence[str] | None, decided: Callable[[str], Decision], *, database: str | None
) -> None:
    with sessions_at(database) as journal:
        every = journal.waiting(session)
    waiting = [each.call_id for each in every if each.kind == "approval_requested"]
    chosen = waiting if not calls or "all" in calls else calls
    if not chosen:
        begun = [each.call_id for each in every if each.kind == "outcome_unknown"]
        more = f"; of unknown outcome, for `sessions decide`: {', '.join(begun)}" if begun else ""
        raise ConfigurationError(f"no call of session '{session}' waits for approval{more}")
    if not calls and len(waiting) > 1:
        raise ConfigurationError(
            f"which call of session '{session}' is meant, or all? waiting for approval: {', '.join(waiting)}"
        )
    _leave(session, [decided(call) for call in chosen], database=database)


def _leave(session: str, decisions: Sequence[Decision], *, database: str | None) -> None:
    with sessions_at(database) as journal:
        for decision in decisions:
            journal.decide(session, decision)
        _say_what_follows(journal, session, decisions)


def _say_what_follows(journal: Sessions, session: str, decisions: Sequence[Decision]) -> None:
    kept = f"kept for session '{session}': {', '.join(each.call_id for each in decisions)}"
    if journal.is_open(session):
        say(f"{kept}; the run that has it open takes it")
    elif left := journal.waiting(session):
        say(f"{kept}; still waiting: {', '.join(each.call_id for each in left)}")
    else:
        say(f"{kept}; go on with: {command('run', '--resume', session)}")
