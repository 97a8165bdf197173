"""Servers that ask the model something (sampling): who answers, and how much they may ask. Does not import ``mcp``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from glm_agent.mcp.failure import Refused
from glm_agent.messages import ModelRequest, ModelResponse, ModelSettings, TurnStopped
from glm_agent.models.model import Model

Ask = Callable[[ModelRequest], Awaitable[ModelResponse]]
"""Sends one request to a model and waits for the whole answer."""


class Sampler:
    """A model for servers, within a budget of tokens for each of them."""

    def __init__(self, ask: Ask, *, model: str) -> None:
        self._ask = ask
        self.model = model
        """The model's id, which a server is told."""
        self._spent: dict[str, int] = {}

    async def answer(self, request: ModelRequest, *, server: str, max_tokens: int, budget_tokens: int) -> ModelResponse:
        """The model's answer to a server's question.

        ``max_tokens`` is what the server wants of this answer, ``budget_tokens`` what it may use in all,
        question and answer. Raises ``Refused`` when that is spent.
        """
        left = budget_tokens - self._spent.get(server, 0)
        if left <= 0:
            raise Refused(f"the budget of {budget_tokens} tokens for sampling is spent")
        bound = max(1, min(max_tokens, left))
        settings = ModelSettings(
            max_tokens=bound, temperature=request.settings.temperature, stop=request.settings.stop, thinking=False
        )
        # Taken before the answer, so that questions asked at once cannot all use the same rest.
        self._spent[server] = self._spent.get(server, 0) + bound
        used = 0
        try:
            response = await self._ask(_with(request, model=self.model, settings=settings))
            used = response.usage.total_tokens
        finally:
            self._spent[server] += used - bound
        return response


async def whole_response(model: Model, request: ModelRequest) -> ModelResponse:
    """The answer of a model, when it is complete. Raises ``Refused`` where the model was not to be asked."""
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            if isinstance(event, ModelResponse):
                return event
            if isinstance(event, TurnStopped):
                raise Refused(event.detail or event.stop_reason)
    raise Refused("the model gave no answer")


def _with(request: ModelRequest, *, model: str, settings: ModelSettings) -> ModelRequest:
    return ModelRequest(
        model=model,
        instructions=request.instructions,
        messages=request.messages,
        tools=request.tools,
        settings=settings,
    )
