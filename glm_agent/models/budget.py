"""Budgets of tokens and money around any model: what is spent is not asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from glm_agent.errors import ConfigurationError
from glm_agent.messages import ModelRequest, ModelResponse, TurnStopped, Usage
from glm_agent.models.model import Model, ModelEvent


class BudgetedModel:
    """Stops the turn with ``budget`` before a request when the limit is reached. One instance serves one turn."""

    def __init__(
        self,
        model: Model,
        *,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        cost_usd: Callable[[Usage], float | None] | None = None,
        spent: Usage | None = None,
    ) -> None:
        self._model = model
        self._max_tokens, self._max_cost_usd, self._cost_usd = max_tokens, max_cost_usd, cost_usd
        self._spent = spent or Usage()
        if max_cost_usd is not None and self._cost() is None:
            raise ConfigurationError(
                f"a budget of money needs prices, and none are known for the model {model.name!r}: limit tokens instead"
            )

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if detail := self._exceeded():
            yield TurnStopped(stop_reason="budget", detail=detail)
            return
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, ModelResponse):
                    self._spent += event.usage
                yield event

    def _exceeded(self) -> str:
        tokens = self._spent.total_tokens
        if self._max_tokens is not None and tokens >= self._max_tokens:
            return f"the budget of {self._max_tokens:,} tokens is used up ({tokens:,} spent)"
        cost = self._cost()
        if self._max_cost_usd is not None and cost is not None and cost >= self._max_cost_usd:
            return f"the budget of ${self._max_cost_usd:g} is used up (${cost:.4f} spent)"
        return ""

    def _cost(self) -> float | None:
        return self._cost_usd(self._spent) if self._cost_usd is not None else None
