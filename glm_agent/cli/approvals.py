"""Asking a person whether a call may run, and reading decisions from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.cli.foreground import Withdrawn
from glm_agent.cli.onward import command
from glm_agent.errors import ConfigurationError
from glm_agent.messages import ApprovalDecision, ApprovalRequested, ToolCall
from glm_agent.turn import Waiting

_QUESTION = "  [y]es, [n]o (and why), [a]lways in this session, [e]dit the arguments? "


def is_interactive() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(console: Console, read_line: Callable[[], str], request: ApprovalRequested) -> ApprovalDecision | None:
    """The person's decision; None when the input ends."""
    arguments = phrases.clean(request.arguments)
    console.print(
        Text(f"? {phrases.clean(request.name)} wants to run: {request.reason or request.rule}", style="yellow")
    )
    console.print(Text(f"  {arguments}", style="cyan"))
    try:
        while (decision := _decision(request, _answer(console, read_line, _QUESTION))) is None:
            console.print("  please answer y, n, a or e")
        if decision is _EDIT:
            return _edited(console, read_line, request)
    except EOFError:
        return None
    except Withdrawn:
        console.print("\n  decided elsewhere", style="dim")
        raise
    return decision


def decisions(approved: Sequence[str], denied: Sequence[str], *, waiting: Sequence[Waiting]) -> list[ApprovalDecision]:
    """Decisions on waiting calls by id, or ``all``. Raises ``ConfigurationError`` for an id nobody waits with."""
    ids = [request.call_id for request in waiting if isinstance(request, ApprovalRequested)]
    made: dict[str, ApprovalDecision] = {}
    for names, is_approved in ((approved, True), (denied, False)):
        for name in names:
            if name != "all" and name not in ids:
                known = ", ".join(ids) or "none"
                raise ConfigurationError(f"no call '{name}' waits for a decision; waiting: {known}")
            for call_id in ids if name == "all" else [name]:
                made[call_id] = ApprovalDecision(call_id=call_id, is_approved=is_approved)
    return list(made.values())


def how_to_decide(request: Waiting, *, session: str) -> list[str]:
    """The commands that decide on a waiting call, one a line, for a person to choose from."""
    resume = ("run", "--resume", session)
    if isinstance(request, ApprovalRequested):
        return [
            what_waits(request),
            f"to approve: {command(*resume, '--approve', request.call_id)}",
            f"to deny:    {command(*resume, '--deny-call', request.call_id)}",
        ]
    decide = command("sessions", "decide", session, request.call_id)
    return [
        what_waits(request),
        f"  it took effect:            {decide} --done RESULT",
        f"  it did not:                {decide} --failed REASON",
        f"  it did not, run it again:  {decide} --retry",
        f"and go on with: {command(*resume)}",
    ]


def what_waits(request: Waiting) -> str:
    """The call with its arguments, and why a person is asked: nobody should agree to an id."""
    called = phrases.call(ToolCall(id=request.call_id, name=request.name, arguments=request.arguments), limit=300)
    if isinstance(request, ApprovalRequested):
        return f"{called} waits for approval: {request.reason or request.rule}"
    return f"what came of {called} is not known: {request.reason}. Look, then say it:"


_EDIT = ApprovalDecision(call_id="", is_approved=True)


def _decision(request: ApprovalRequested, answer: str) -> ApprovalDecision | None:
    word, _, rest = answer.strip().partition(" ")
    match word.lower():
        case "y" | "yes":
            return ApprovalDecision(call_id=request.call_id, is_approved=True)
        case "a" | "always":
            return ApprovalDecision(call_id=request.call_id, is_approved=True, scope="session")
        case "n" | "no":
            return ApprovalDecision(call_id=request.call_id, is_approved=False, reason=rest.strip())
        case "e" | "edit":
            return _EDIT
        case _:
            return None


def _edited(console: Console, read_line: Callable[[], str], request: ApprovalRequested) -> ApprovalDecision:
    """The arguments as the person wants them; an empty line keeps the model's."""
    while True:
        text = _answer(console, read_line, "  arguments as JSON (empty: as they are)> ").strip()
        try:
            if not text or isinstance(json.loads(text), dict):
                return ApprovalDecision(call_id=request.call_id, is_approved=True, arguments=text or None)
            console.print('  that is no JSON object: write {"name": value}')
        except ValueError as error:
            console.print(f"  that is no JSON: {error}")


def _answer(console: Console, read_line: Callable[[], str], prompt: str) -> str:
    console.print(Text(prompt, style="bold"), end="")
    return read_line()
