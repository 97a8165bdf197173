"""A session's beginning, gone on with in another way: ``glm-agent sessions fork``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import reporting, say
from glm_agent.cli.onward import command
from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from glm_agent.cli.options import RunOptions
    from glm_agent.journal.store import Sessions


def fork(
    place: Annotated[
        str, typer.Argument(metavar="ID[@STEP]", help="A session, up to the step that `sessions show` numbers so.")
    ],
    *,
    edit: Annotated[str | None, typer.Option(metavar="TEXT", help="What the user says at that point instead.")] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is to have answered to that step.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Go on with this model.")] = None,
    instructions: Annotated[str | None, typer.Option(metavar="TEXT", help="Go on under these instructions.")] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="NEW", help="Id of the new session.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Go on with it at once, as `run --resume` does.")] = False,
    database: Database = None,
) -> None:
    """Copy a session up to a step into a new one, which goes on in another way. The first one stays as it is.

    The step's request is asked anew; without a step, the whole session is copied.

    --edit replaces the message that began the turn; at a later step of it, TEXT is said after the tools' results.

    The new id goes to stdout; with --run, the answer does.

    [bold]Examples[/bold]

      glm-agent sessions fork nightly@3 --edit "and now in French" --run

      glm-agent sessions fork nightly@1 --model glm-5.3 --id nightly-large
    """
    from glm_agent.cli.options import override, recall, stored
    from glm_agent.journal import new_session_id
    from glm_agent.journal.fork import fork as copy

    with reporting():
        session, step = _place(place)
        journal = sessions_at(database)
        options = override(recall(journal, session), _given(model, instructions))
        new = copy(
            journal,
            session,
            new_id=id or new_session_id(),
            step=step,
            edit=edit,
            answer=answer,
            options=stored(options),
        )
    if run:
        _go_on(journal, new, options)
    formats.write(f"{new}\n")
    say(f"go on with: {command('run', '--resume', new)}")


def _place(place: str) -> tuple[str, int | None]:
    session, at, step = place.rpartition("@")
    if not at:
        return place, None
    if not session or not step.isdecimal():
        raise ConfigurationError(f"'{place}' names no step: write ID@STEP, such as nightly@3")
    return session, int(step)


def _given(model: str | None, instructions: str | None) -> RunOptions:
    from glm_agent.cli.options import RunOptions

    return RunOptions(model=model, instructions=instructions or "")


def _go_on(journal: Sessions, session: str, options: RunOptions) -> None:
    from glm_agent.cli.job import Job

    say(f"session {session}")
    Job(options=options, journal=journal, session=session, is_resumed=True).execute()
