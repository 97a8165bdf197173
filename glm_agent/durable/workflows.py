"""What the engine knows to run: one kind of workflow, a turn's run. Importing this registers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from dbos import DBOS

from glm_agent.messages import JsonObject

TURN: Final = "glm_agent.turn"
MAX_ATTEMPTS: Final = 50
"""A turn that took so many workers with it is given up."""

Entrance: TypeAlias = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""From the id of a workflow and its spec to its outcome."""

_entrances: list[Entrance] = []


def enter_through(entrance: Entrance | None) -> None:
    """Who runs the turns of this process from now on; None when nobody does any more."""
    _entrances[:] = [] if entrance is None else [entrance]


@DBOS.workflow(name=TURN, max_recovery_attempts=MAX_ATTEMPTS)
async def turn(spec: dict[str, Any]) -> JsonObject:
    """One run of a session."""
    id = DBOS.workflow_id
    assert id is not None
    return await _entrances[0](id, spec)
