"""How many tokens a request will have: the server's count where it can be had, else an estimate that learns.

The estimate counts characters; every answer's ``usage`` says how far off it was, and the next one is corrected by that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from glm_agent.context import count_tokens
from glm_agent.errors import ModelError
from glm_agent.messages import ModelRequest, Usage, UserMessage
from glm_agent.wire.endpoints import TokenCount
from glm_agent.wire.jsontext import dumps

_WEIGHT = 0.3
"""How much one answer moves the correction."""
_BOUNDS = (0.25, 4.0)


class TokenCounter:
    """Counts the prompts of one model.

    ``ask`` counts at the server, such as ``GLMClient.count_tokens``; where it fails (newer models are refused) it is
    not asked again. ``learn`` takes the usage that came back for a request.
    """

    def __init__(self, *, ask: Callable[[ModelRequest], Awaitable[TokenCount]] | None = None) -> None:
        self._ask = ask
        self.correction = 1.0
        """What the estimate is multiplied by."""

    async def count(self, request: ModelRequest) -> int:
        """Tokens of the prompt: instructions, tools and messages."""
        if self._ask is not None:
            try:
                return (await self._ask(request)).prompt_tokens
            except ModelError:
                self._ask = None
        return self.estimate(request)

    def estimate(self, request: ModelRequest) -> int:
        """Tokens of the prompt, without asking anybody."""
        return round(_plain(request) * self.correction)

    def learn(self, request: ModelRequest, usage: Usage) -> None:
        """Correct the estimate by what the provider counted for this request."""
        if usage.input_tokens > 0:
            low, high = _BOUNDS
            seen = min(high, max(low, usage.input_tokens / _plain(request)))
            self.correction += _WEIGHT * (seen - self.correction)


def _plain(request: ModelRequest) -> int:
    tools = "".join(f"{tool.name}{tool.description}{dumps(tool.parameters).decode()}" for tool in request.tools)
    head = UserMessage(text=request.instructions + tools)
    return max(1, count_tokens((head, *request.messages)))
