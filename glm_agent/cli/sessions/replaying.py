"""A past session once more: ``glm-agent sessions replay``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.database import Database, sessions_at
from glm_agent.cli.exits import leave, reporting
from glm_agent.cli.sessions.arguments import Id

if TYPE_CHECKING:
    from glm_agent.agent import Agent
    from glm_agent.journal.divergence import Change, Divergence
    from glm_agent.journal.replay import Replay
    from glm_agent.journal.store import Sessions
    from glm_agent.messages import Fact


def replay(
    session: Id,
    live_tools: Annotated[
        bool,
        typer.Option(
            "--live-tools", help="Run every call again, also those that change things; else what is on record answers."
        ),
    ] = False,
    wire: Annotated[
        str | None, typer.Option(metavar="FILE", help="The run's cassette (run --record): shows differences whole.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    database: Database = None,
) -> None:
    """Run a session once more, offline: the model's answers as recorded, every request made anew and compared.

    Every request must be the one whose hash was kept when it was sent, but for its `request_id`.

    The first one that differs is shown and ends the replay.

    [bold]Exit codes[/bold]  0 identical · 1 the requests differ · 2 usage

    Example: glm-agent sessions replay 20261122-213108-5f3a9c
    """
    with reporting(), sessions_at(database) as journal:
        bodies = _bodies(wire)
        facts = journal.facts(session)
        found = _replayed(journal, session, facts, bodies, live_tools=live_tools)
    if json:
        formats.write_line(_object(found))
    else:
        formats.write("".join(f"{line}\n" for line in _lines(found)))
    leave(0 if found.is_identical else 1)


def _bodies(wire: str | None) -> Mapping[str, bytes]:
    if wire is None:
        return {}
    from glm_agent.models.glm.cassette import Cassette

    return Cassette.load(wire).bodies


def _replayed(
    journal: Sessions, session: str, facts: Sequence[Fact], bodies: Mapping[str, bytes], *, live_tools: bool
) -> Replay:
    import anyio

    from glm_agent.cli.options import recall
    from glm_agent.journal.replay import replay as run

    if not live_tools:
        return anyio.run(partial(run, facts, bodies=bodies))
    from glm_agent.agent import Agent
    from glm_agent.simulate import ScriptedModel

    options = recall(journal, session)
    arguments = options.agent_arguments(options.load_task())
    arguments["model"] = ScriptedModel([], name=journal.summary(session).model)  # nobody asks it
    agent = Agent(**arguments)
    return anyio.run(_live, agent, facts, bodies)


async def _live(agent: Agent, facts: Sequence[Fact], bodies: Mapping[str, bytes]) -> Replay:
    from glm_agent.journal.replay import replay as run

    async with agent.open_tools() as tools:
        return await run(facts, tools=tools, bodies=bodies)


def _object(found: Replay) -> dict[str, object]:
    from dataclasses import asdict

    return {"version": 1, "is_identical": found.is_identical, "not_compared": found.not_compared, **asdict(found)}


def _lines(found: Replay) -> Iterator[str]:
    for step in found.steps:
        yield f"step {step.number}  turn {step.turn}  {step.outcome:<12}  {step.hash[:12]}".rstrip()
    if found.divergence is not None:
        yield from _difference(found.divergence)
        return
    same = len(found.steps) - found.not_compared
    verdict = f"identical: {phrases.count(same, 'request')} made anew, byte for byte as {_were(same)} sent"
    yield verdict if same else "nothing to compare: no request of this session has its hash on record"
    if same and found.not_compared:
        yield f"not compared: {phrases.count(found.not_compared, 'request')} without a hash on record"


def _were(count: int) -> str:
    return "it was" if count == 1 else "they were"


def _difference(found: Divergence) -> Iterator[str]:
    yield f"step {found.step}  turn {found.turn}  {_coloured('different', 31)}"
    yield found.reason
    for change in found.changes:
        yield from _change(change, has_recorded=found.has_recorded)
    if found.changes and not found.has_recorded:
        yield "(of the recorded request there is only the hash; --wire with the run's cassette shows both sides)"


def _change(change: Change, *, has_recorded: bool) -> Iterator[str]:
    yield f"  {change.path}"
    if has_recorded:
        yield _coloured(f"    - {_text(change.recorded)}", 31)
    yield _coloured(f"    + {_text(change.today)}", 32)


def _text(value: str | None) -> str:
    return "(not there)" if value is None else phrases.clean(value)


def _coloured(text: str, colour: int) -> str:
    is_wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[{colour}m{text}\033[0m" if is_wanted else text
