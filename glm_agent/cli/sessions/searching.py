"""Finding what was said: ``glm-agent sessions search``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import reporting, say

if TYPE_CHECKING:
    from glm_agent.journal.search import Hit


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words or parts of them; capitals do not matter.")],
    limit: Annotated[int, typer.Option(min=1, help="Hits to show.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    database: Database = None,
) -> None:
    """Where a text stands in what was said and done, in the latest session first. Exits with 1 where it does not.

    Example: glm-agent sessions search "invoice 4711"
    """
    with reporting(), sessions_at(database) as journal:
        found = journal.search(text)
        shown = list(islice(found, limit))
        is_all = next(found, None) is None
    for hit in shown:
        if json:
            formats.write_line(asdict(hit))
        else:
            _write(hit)
    if not shown:
        say(f"'{text}' stands in no session of '{journal.place}'")
        raise typer.Exit(1)
    if not is_all:
        say(f"there are more than {limit}: --limit shows them")


def _write(hit: Hit) -> None:
    at = datetime.fromtimestamp(hit.at).strftime("%Y-%m-%d %H:%M")
    place = f"{hit.session}  {at}  step {hit.step}  {phrases.clean(hit.who)}:"
    before, found, after = (phrases.clean(part) for part in (hit.before, hit.found, hit.after))
    marked = f"\033[1;33m{found}\033[0m" if sys.stdout.isatty() else found
    formats.write(f"{place} {' '.join(f'…{before}{marked}{after}…'.split())}\n")
