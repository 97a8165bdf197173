"""The tools seam: what a running call may know, what one tool is, and what offers many of them.

Only the interfaces live here. Nothing here knows whether a tool is a function, a server or an agent.
"""

from __future__ import annotations

import logging
import threading
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
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set once the call was cancelled or timed out: a tool that loops in a thread looks at it and stops."""

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"glm_agent.tool.{self.call.name}")

    def progress(self, text: str = "", *, done: float | None = None, total: float | None = None) -> None:
        """Show how far the call is; safe from any thread."""
        self.emit(ToolProgress(call_id=self.call.id, name=self.call.name, text=text, done=done, total=total))


class Tool(Protocol):
    """One tool that a registry runs. Subclass it to get the defaults; a plain function becomes one by itself.

    The registry bounds the time, folds exceptions into results, cuts long output and fills in the
    result's ``call_id``, ``name`` and ``is_untrusted``: a tool only does its work.
    """

    timeout_seconds: float | None = 60.0
    """Bound of one call; None for none."""
    max_output_tokens: int = 25_000
    """Longer text loses its middle; counted as four bytes a token."""
    is_hung: bool = False
    """Whether a call that was given up still runs in a thread."""

    @property
    def spec(self) -> ToolSpec:
        """The tool as data; the same value for as long as the tool is offered."""
        ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Do it. ``call.arguments`` is JSON text as the model wrote it, unchecked.

        A ``ToolError`` reaches the model word for word, any other exception as type and message.
        """
        ...

    async def reconcile(self, call: ToolCall, context: ToolContext) -> ToolResult | None:  # noqa: ARG002
        """What came of a ``write`` call that another process began; None when it cannot be known."""
        return None


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
