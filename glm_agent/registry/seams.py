"""The tools seam: what a running call may know, what one tool is, and what offers many of them.

Only the interfaces live here. Nothing here knows whether a tool is a function, a server or an agent.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, cast

from glm_agent.errors import ToolError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Event,
    JsonObject,
    Message,
    OutcomeUnknown,
    ToolCall,
    ToolProgress,
    ToolResult,
    ToolSpec,
    TurnStopped,
)
from glm_agent.registry import asking
from glm_agent.registry.asking import Asker
from glm_agent.registry.bound import Bound
from glm_agent.registry.handles import Handles
from glm_agent.registry.threads import in_event_loop

Keep: TypeAlias = Callable[[str | bytes], str]
"""Keeps a long text as a whole, and returns the sentence that tells the model how to read on in it."""

Outcome: TypeAlias = ToolResult | ApprovalRequested | OutcomeUnknown | TurnStopped
"""What may come of a call: mostly its result."""

CallTool: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[ToolResult]]
"""Calls another tool under the run's permissions and budget."""


if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Deps = TypeVar("Deps", default=Any)
else:
    from typing import TypeVar

    Deps = TypeVar("Deps")  # the default is for type checkers: it spares the import


def _ignore(event: Event) -> None:
    pass


@dataclass(kw_only=True, slots=True)
class ToolContext(Generic[Deps]):
    """What a running call may know and do. A tool gets it by naming a parameter of this type."""

    call: ToolCall
    deps: Deps = cast("Any", None)  # noqa: RUF009 (a constant)
    """Whatever was passed to ``run(deps=…)``; ``ToolContext[Shelf]`` says to type checkers what that is."""
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
    is_unknown: bool = False
    """It was, and ``reconcile`` did not find out what came of it: then the result only says so."""
    is_tainted: bool = False
    """The call was made by a tool that had read text of strangers; of the conversation's own, ``messages`` say it."""
    attempt: int = 0
    """How often a person let this call run, or run again."""
    emit: Callable[[Event], None] = field(default=_ignore, repr=False)
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set once the call was cancelled or timed out: a tool that loops in a thread looks at it and stops."""

    asker: Asker | None = field(default=None, repr=False)
    """Asks the person; None where nobody is there."""
    keep: Keep | None = field(default=None, repr=False)
    """Keeps what is too long for a result; None where there is no place for it."""
    caller: CallTool | None = field(default=None, repr=False)
    """Runs calls of other tools; None where the call stands alone."""
    handles: Handles | None = field(default=None, repr=False)
    """Where what the call starts elsewhere can be kept; None where nothing outlives the process."""
    bound: Bound | None = field(default=None, repr=False)
    """The call's limit in time, once it runs."""

    @property
    def log(self) -> logging.Logger:
        return logging.getLogger(f"glm_agent.tool.{self.call.name}")

    def progress(self, text: str = "", *, done: float | None = None, total: float | None = None) -> None:
        """Show how far the call is; safe from any thread."""
        self.emit(ToolProgress(call_id=self.call.id, name=self.call.name, text=text, done=done, total=total))

    async def ask(self, text: str, *, answer: Any = bool) -> Any:
        """Ask the person; the call's timeout stands still meanwhile.

        Args:
            text: The question, one or two sentences.
            answer: The type wanted: ``bool`` to agree, ``Literal["a", "b"]`` or an enum to choose, ``str``, a number,
                or a model with fields to fill in.

        Returns:
            A value of that type; None when the person declines or nobody is there, so that a job nobody
            watches never takes silence for consent.

        Raises:
            ToolError: The third answer still did not fit.
        """
        self._still_running()
        question = asking.question(text, answer=answer, tool=self.call.name, call_id=self.call.id)
        with self.bound.paused() if self.bound is not None else nullcontext():
            return await asking.ask(self.asker, question, answer=answer)

    def ask_sync(self, text: str, *, answer: Any = bool) -> Any:
        """``ask`` for tools that are plain functions."""
        return in_event_loop(partial(self.ask, text, answer=answer))

    async def call_tool(self, name: str, /, **arguments: Any) -> ToolResult:
        """Call another of the run's tools, under the same permissions, budget, events and journal.

        Its errors are results. Raises ``ToolError`` where the call stands alone, without a run around it.
        """
        self._still_running()
        if self.caller is None:
            raise ToolError(f"{name!r} cannot be called from here: no agent runs this call")
        return await self.caller(name, arguments)

    def keep_handle(self, handle: Mapping[str, Any]) -> None:
        """Keep how the work of this call is found again (a job's id, as JSON), for ``reconcile`` in a later process.

        Call it after the work was started elsewhere and before it is waited for. Kept with the session; without
        a stored one nothing is.
        """
        if self.handles is not None:
            self.handles.save(self.idempotency_key, handle)

    def kept_handle(self) -> JsonObject | None:
        """What an earlier attempt of this call kept, in this process or in one that died; None where none did."""
        return self.handles.load(self.idempotency_key) if self.handles is not None else None

    def _still_running(self) -> None:
        # A thread that was given up goes on; what it does must not reach the person or other tools any more.
        if self.cancelled.is_set():
            raise ToolError(f"the call of {self.call.name!r} has ended")

    def call_tool_sync(self, name: str, /, **arguments: Any) -> ToolResult:
        """``call_tool`` for tools that are plain functions."""
        return in_event_loop(partial(self.call_tool, name, **arguments))


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

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        """Run one call. Errors of the tool are results; only cancellation is raised."""
        ...
