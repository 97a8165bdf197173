"""A guard against going round in circles: the same calls with the same results, again and again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from glm_agent.context import repeated_steps
from glm_agent.messages import ModelRequest, TurnStopped
from glm_agent.models.model import Model, ModelEvent


class RepeatLimitModel:
    """Stops the turn with ``loop`` instead of asking after ``max_repeats`` steps that were the same."""

    def __init__(self, model: Model, *, max_repeats: int) -> None:
        self._model, self._max_repeats = model, max_repeats

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        same = repeated_steps(request.messages, at_most=self._max_repeats)
        if same >= self._max_repeats:
            detail = f"the same calls had the same results {same} times in a row"
            yield TurnStopped(stop_reason="loop", detail=detail)
            return
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                yield event
