"""What a run gives to its calls beside the call itself: a person to ask, a place for long results and for handles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from glm_agent.messages import ApprovalRequested, ToolCall, ToolResult, ToolSpec, TurnStopped
from glm_agent.registry.asking import Asker
from glm_agent.registry.handles import Handles
from glm_agent.registry.registry import ToolRegistry
from glm_agent.registry.seams import Outcome, ToolContext, Tools

if TYPE_CHECKING:
    from glm_agent.registry.results import KeptResults


class EquippedTools:
    """Another ``Tools``, with ``read_result`` beside them where long results are kept.

    It stands outside of permissions: what it shows is the result of a call that was allowed.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        asker: Asker | None = None,
        results: KeptResults | None = None,
        handles: Handles | None = None,
    ) -> None:
        self._tools, self._asker, self._results, self._handles = tools, asker, results, handles
        self._own = ToolRegistry([results.tool] if results is not None else [])

    async def specs(self) -> tuple[ToolSpec, ...]:
        """The tools; where there are any, whose results could be too long, the one that reads on."""
        specs = await self._tools.specs()
        taken = {spec.name for spec in specs}
        return (*specs, *(spec for spec in await self._own.specs() if specs and spec.name not in taken))

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        return None if await self._is_own(call) else await self._tools.permit(call, context)

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        if await self._is_own(call):
            return await self._own.call(call, context)
        context.asker, context.handles = self._asker, self._handles
        if self._results is not None:
            context.keep = partial(self._results.keep, key=context.idempotency_key)
        return await self._tools.call(call, context)

    async def _is_own(self, call: ToolCall) -> bool:
        """Whether the call is for the tool beside the others, which may have one of the same name."""
        if not self._own.knows(call):
            return False
        return all(spec.name != call.name for spec in await self._tools.specs())
