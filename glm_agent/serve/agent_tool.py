"""A whole agent as one tool: the prompt goes in, the answer comes out, what it does meanwhile is progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from glm_agent.errors import ToolError
from glm_agent.mcp.arguments import read_arguments
from glm_agent.messages import Event, Notice, ToolCall, ToolResult, ToolSpec, ToolStarted, TurnResult
from glm_agent.registry import Tool, ToolContext

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "description": "What the agent is to do, complete in itself."}},
    "required": ["prompt"],
    "additionalProperties": False,
}


class Runner(Protocol):
    """What an agent can do."""

    async def run(self, prompt: str, *, observers: Sequence[Callable[[Event], None]]) -> TurnResult: ...


class AgentTool(Tool):
    """Runs an agent for one prompt."""

    # The agent has limits of its own, and its calls have theirs.
    timeout_seconds: float | None = None

    def __init__(self, agent: Runner, *, name: str = "run", description: str = "") -> None:
        self._agent = agent
        self._spec = ToolSpec(
            name=name,
            description=description or "Let an agent work on a task and return its answer.",
            parameters=_PARAMETERS,
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """One turn of the agent. A turn without an answer is an error that says why it ended."""
        prompt = read_arguments(call.arguments, _PARAMETERS).get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise ToolError("the argument 'prompt' is missing: say what the agent is to do")

        def observe(event: Event) -> None:
            if isinstance(event, ToolStarted):
                context.progress(f"runs {event.call.name}")
            elif isinstance(event, Notice):
                context.progress(event.text)

        result = await self._agent.run(prompt, observers=[observe])
        if result.stop_reason == "end_turn":
            return ToolResult(call_id=call.id, content=str(result.output))
        said = f"the agent stopped without an answer ({result.stop_reason}): {result.detail}"
        return ToolResult(call_id=call.id, content=said, is_error=True)
