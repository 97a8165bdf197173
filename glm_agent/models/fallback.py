"""Other models for when one fails: asked in order, and the one that failed rests for a while."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from glm_agent.errors import ContextOverflow, ModelError
from glm_agent.messages import ModelRequest, Notice, Retrying
from glm_agent.models.model import Model, ModelEvent

REST_SECONDS = 300.0
"""How long a model that failed is not asked first: an overload of GLM (1305) lasts minutes."""


class FallbackModel:
    """Asks ``models`` in order until one answers; the last one's error is raised as it came.

    It carries the first one's name. Thinking of one model is not shown to another.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        rest_seconds: float = REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.models = tuple(models)
        self._rest_seconds, self._clock = rest_seconds, clock
        self._rests_until: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"FallbackModel({list(self.models)!r})"

    @property
    def name(self) -> str:
        return self.models[0].name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        order = self._order()
        for attempt, (at, after) in enumerate(zip(order, [*order[1:], None], strict=True), start=1):
            try:
                async with aclosing(self.models[at].stream(request)) as events:
                    async for event in events:
                        yield event
                return
            except ModelError as error:
                if after is None:
                    raise
                if not isinstance(error, ContextOverflow):  # another conversation may fit
                    self._rests_until[at] = self._clock() + self._rest_seconds
                said = f"the model '{self.models[at].name}' failed, '{self.models[after].name}' is asked: {error}"
            yield Notice(text=said, level="warning", source=self.name)
            yield Retrying(attempt=attempt + 1, wait_seconds=0.0, reason=said)

    def _order(self) -> list[int]:
        """Those that are not resting first."""
        now = self._clock()
        return sorted(range(len(self.models)), key=lambda at: self._rests_until.get(at, 0.0) > now)
