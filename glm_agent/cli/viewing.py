"""``glm-agent view``: a run as its live view shows it, from what was kept of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.formats import Result
from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    ApprovalRequested,
    HistoryReplaced,
    OutcomeDecision,
    OutcomeUnknown,
    TurnResult,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from glm_agent.cli.playback import Played
    from glm_agent.cli.view import View


def view(
    what: Annotated[
        str, typer.Argument(metavar="ID|FILE.jsonl|-", help="A session, a file of events, or - for stdin.")
    ],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also what is yet to come, until the turn has ended.")
    ] = False,
    database: Database = None,
) -> None:
    """Watch a run: a stored session, lines of `run --format jsonl`, or an exported session.

    [bold]Examples[/bold]

      glm-agent view 20261122-213108-5f3a9c

      glm-agent view --follow nightly       # another process is at work on it

      glm-agent run report.md --format jsonl | tee events.jsonl | glm-agent view -

    [bold]Exit codes[/bold]  0 shown · 1 the session cannot be read · 2 nothing that can be shown · 130 interrupted
    """
    from rich.console import Console

    from glm_agent.cli.view import View

    shown = View(console=Console(highlight=False, soft_wrap=True))
    event: Played | None = None
    try:
        with reporting():
            for event in _events(what, follow=follow, database=database):
                _show(shown, event)
                if follow and isinstance(event, Result):
                    break
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shown.close()
    if event is None:
        fail(f"there is no event in '{what}'")
    if not isinstance(event, Result | TurnResult):
        say("the turn has not ended, as far as this goes")


def _can_be_read(path: str) -> bool:
    """A file, or a pipe such as a shell's ``<(…)``."""
    return os.path.exists(path) and not os.path.isdir(path)


def _events(what: str, *, follow: bool, database: str | None) -> Iterator[Played]:
    from glm_agent.cli import playback

    if what == "-" or _can_be_read(os.path.expanduser(what)):
        where = "stdin" if what == "-" else f"'{what}'"
        yield from playback.of_lines(playback.lines_of(what, is_followed=follow), where=where)
    elif "/" in what or what.endswith(".jsonl"):
        raise ConfigurationError(f"there is no file '{what}'")
    else:
        with sessions_at(database) as sessions:
            yield from playback.with_results(playback.of_session(sessions, what, is_followed=follow))


def _show(view: View, event: Played) -> None:
    """What a live view shows, and what its person knew or was asked."""
    match event:
        case UserMessage():
            view.line(phrases.clean(phrases.fact(event)), style="bold")
        case ApprovalRequested() | OutcomeUnknown() | OutcomeDecision() | HistoryReplaced():
            view.line(phrases.clean(phrases.fact(event)), style="yellow")
        case TurnResult() | Result():
            view.ended(event.stop_reason, event.detail, figures=_figures(event))
        case _:
            view(event)


def _figures(result: TurnResult | Result) -> list[str]:
    steps = phrases.count(result.steps, "step")
    if isinstance(result, TurnResult):
        return [steps, phrases.usage(result.usage)]
    tokens = asdict(result.usage)
    del tokens["total_tokens"]
    spent = [phrases.usage(Usage(**tokens)), phrases.cost(result.cost_usd)]
    return [steps, *spent, phrases.duration(result.duration_seconds)]
