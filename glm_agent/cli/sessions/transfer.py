"""Sessions as files, and from one place to another: ``glm-agent sessions export``, ``import`` and ``move``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import fail, reporting, say
from glm_agent.cli.sessions.arguments import Id


def export(session: Id, database: Database = None) -> None:
    """A session as lines of JSON on stdout: a header with the format's version, every record, its long results.

    Example: glm-agent sessions export 20261122-213108-5f3a9c > session.jsonl
    """
    with reporting(), sessions_at(database) as journal:
        for line in journal.export(session):
            formats.write(f"{line}\n")
        missing = journal.missing_results(session)
    if missing:
        say(f"no longer kept, so not in the export: {phrases.count(len(missing), 'long result')}: {', '.join(missing)}")


def move(
    session: Id,
    to: Annotated[str, typer.Option("--to", metavar="URL|FILE", help="A database, or the file of a journal.")],
    database: Database = None,
) -> None:
    """Carry a session from the journal into a database, or back; it is deleted where it was.

    A move that was cut off is finished by the same command.

    [bold]Examples[/bold]

      glm-agent sessions move nightly --to postgresql://agent@db/agent

      glm-agent sessions move nightly --database sqlite:///runs.db --to .glm-agent/journal.db
    """
    from glm_agent.journal.moving import move as carry

    with reporting(), sessions_at(database) as source, sessions_at(to) as target:
        if source.place == target.place:
            fail(f"session '{session}' is in '{source.place}' already")
        carry(session, source=source, target=target)
    say(f"session '{session}' is now in '{target.place}'")


def import_session(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="An export, or - for stdin.")],
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Another id than the export's.")] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Take over with which tools, servers and permissions it ran; they may run anything."
        ),
    ] = False,
    database: Database = None,
) -> None:
    """Add an exported session; its id is written to stdout.

    Example: glm-agent sessions import session.jsonl --id copy
    """
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(os.path.expanduser(file)).read_bytes()
        lines = text.decode("utf-8-sig").split("\n")
    except OSError as error:
        fail(f"'{file}' cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        fail(f"'{file}' is no export of a session: it is not UTF-8")
    with reporting(), sessions_at(database) as journal:
        new = journal.import_(lines, session_id=id, takes_setup=trust)
        missing = journal.missing_results(new)
    formats.write(f"{new}\n")
    if missing:
        say(f"not in the export: {phrases.count(len(missing), 'long result')}: {', '.join(missing)}")
