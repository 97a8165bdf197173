"""Permissions as a wrapper around tools: what the policy denies is not offered and does not run."""

from __future__ import annotations

from glm_agent.messages import ApprovalRequested, OutcomeUnknown, ToolCall, ToolResult, ToolSpec, TurnStopped
from glm_agent.permissions import Policy, decide, tainted
from glm_agent.registry.seams import Outcome, ToolContext, Tools
from glm_agent.schema import recover_call


class PermittedTools:
    """Another ``Tools`` under a ``Policy``."""

    def __init__(self, tools: Tools, policy: Policy) -> None:
        self._tools, self._policy = tools, policy
        self._specs: dict[str, ToolSpec] = {}

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered: tools that every call would be denied of do not exist for the model."""
        specs = await self._tools.specs()
        self._specs = {spec.name: spec for spec in specs}
        return tuple(spec for spec in specs if decide(spec, self._policy).verdict != "deny")

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        """The policy's word on this call, then that of the tools inside."""
        if call.name not in self._specs:
            await self.specs()  # a resumed turn may call what this process never offered
        # GLM's markup may have run into the name: what would run is what has to be decided about.
        spec = self._specs.get(recover_call(call, self._specs).name)
        if spec is not None:
            decision = decide(spec, self._policy, granted=context.granted, is_tainted=self._is_tainted(call, context))
            if decision.verdict == "deny":  # also what a person approved: the rule may be newer
                return ToolResult(call_id=call.id, name=call.name, content=f"denied: {decision.reason}", is_error=True)
            if decision.verdict == "ask" and context.approval is None:
                return ApprovalRequested(
                    call_id=call.id,
                    name=spec.name,
                    arguments=call.arguments,
                    rule=decision.rule,
                    reason=decision.reason,
                )
        return await self._tools.permit(call, context)

    def _is_tainted(self, call: ToolCall, context: ToolContext) -> bool:
        if not (self._policy.ask_after_untrusted or self._policy.deny_after_untrusted):
            return False
        return context.is_tainted or tainted(context.messages, call_id=call.id)

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        """Run it. Whether an outcome that nobody knows is told to the model or to a person is the policy's word."""
        outcome = await self._tools.call(call, context)
        if not context.is_unknown or self._policy.unknown_outcome == "tell":
            return outcome
        spec = self._specs.get(recover_call(call, self._specs).name)
        return OutcomeUnknown(
            call_id=call.id,
            name=spec.name if spec is not None else call.name,
            arguments=call.arguments,
            reason="an earlier process began this call and ended before its outcome was kept",
        )
