"""Money that many turns spend together."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from glm_agent.errors import ConfigurationError
from glm_agent.messages import ModelRequest, ModelResponse, TurnStopped, Usage
from glm_agent.models.model import Model, ModelEvent

_lock = threading.Lock()
"""Of all purses: paying takes no time, and a purse stays plain data."""


@dataclass(kw_only=True)
class Purse:
    """What any number of turns may spend together, also at once and on several threads.

    A request that has begun is paid for, so the sum may go over the limit by the requests in flight.
    """

    limit_usd: float | None = None
    """US dollars by the catalog's prices; None only counts."""
    spent_usd: float = 0.0

    def __post_init__(self) -> None:
        if self.limit_usd is not None and not (isinstance(self.limit_usd, int | float) and self.limit_usd >= 0):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"a limit of money is a number from 0 on, and got {self.limit_usd!r}")

    @property
    def is_empty(self) -> bool:
        return self.limit_usd is not None and self.spent_usd >= self.limit_usd

    @property
    def detail(self) -> str:
        """Why a turn stops where it is empty, in a sentence."""
        return f"the limit of ${self.limit_usd or 0:g} for all tasks together is used up"

    def pay(self, usd: float | None) -> None:
        """Take out what something cost; None, a price that is not known, counts as nothing."""
        with _lock:
            self.spent_usd += usd or 0.0


class PursedModel:
    """Stops the turn with ``budget`` before a request when the purse is empty, and pays for every answer."""

    def __init__(self, model: Model, *, purse: Purse, cost_usd: Callable[[Usage], float | None]) -> None:
        self._model, self._purse, self._cost_usd = model, purse, cost_usd
        if purse.limit_usd is not None and cost_usd(Usage()) is None:
            raise ConfigurationError(
                f"a limit of money needs prices, and none are known for the model {model.name!r}: limit tokens instead"
            )

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if self._purse.is_empty:
            yield TurnStopped(stop_reason="budget", detail=self._purse.detail)
            return
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, ModelResponse):
                    self._purse.pay(self._cost_usd(event.usage))
                yield event
