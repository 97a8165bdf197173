"""The tools seam, and the registry behind it: find, permit, validate, run, fold errors into results."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Event,
    Message,
    ToolCall,
    ToolProgress,
    ToolResult,
    ToolSpec,
    TurnStopped,
)


def _ignore(event: Event) -> None:
    pass


@dataclass(kw_only=True, slots=True)
class ToolContext:
    """What a running call may know and do. A tool gets it by naming a parameter of this type."""

    call: ToolCall
    deps: Any = None
    """Whatever was passed to ``run(deps=…)``."""
    session: str = ""
    idempotency_key: str = ""
    """The same for every attempt of this call, also in another process; send it to the far side."""
    messages: tuple[Message, ...] = ()
    """The conversation so far: what permissions decide on."""
    approval: ApprovalDecision | None = None
    """What a person decided about this call."""
    granted: frozenset[str] = frozenset()
    """Tools that need not ask again in this session."""
    was_started: bool = False
    """An earlier process began this ``write`` call and died before its outcome was kept."""
    emit: Callable[[Event], None] = field(default=_ignore, repr=False)

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"glm_agent.tool.{self.call.name}")

    def progress(self, text: str = "", *, done: float | None = None, total: float | None = None) -> None:
        """Show how far the call is; safe from any thread."""
        self.emit(ToolProgress(call_id=self.call.id, name=self.call.name, text=text, done=done, total=total))


class Tools(Protocol):
    """Anything that offers tools and runs their calls; a wrapper takes another one and is one."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered to the model, in a stable order."""
        ...

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        """What stands in the way of a call, before anything of it is on record; None lets it run.

        A permission or a budget answers here. It must not run the tool.
        """
        ...

    async def call(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped:
        """Run one call. Errors of the tool are results; only cancellation is raised."""
        ...
