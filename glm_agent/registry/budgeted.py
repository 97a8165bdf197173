"""A budget of calls around any tools."""

from __future__ import annotations

from glm_agent.messages import ApprovalRequested, ToolCall, ToolResult, ToolSpec, TurnStopped
from glm_agent.registry.seams import Outcome, ToolContext, Tools


class BudgetedTools:
    """Stops the turn with ``budget`` at the call over the limit. One instance serves one turn."""

    def __init__(self, tools: Tools, *, max_calls: int, used: int = 0) -> None:
        self._tools, self._max_calls, self._used = tools, max_calls, used

    async def specs(self) -> tuple[ToolSpec, ...]:
        return await self._tools.specs()

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        """The inner word first: a call that is denied or waits for a person costs nothing."""
        refused = await self._tools.permit(call, context)
        if refused is not None:
            return refused
        if self._used >= self._max_calls:
            return TurnStopped(stop_reason="budget", detail=f"the budget of {self._max_calls} tool calls is used up")
        self._used += 1
        return None

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        return await self._tools.call(call, context)
