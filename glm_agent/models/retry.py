"""Trying again: a model that sends a failed request once more, when that may help.

The decision is a pure function of the error and of what was tried; GLM's business code decides, not the
HTTP status. The numbers are those that worked: one second is no help against an overload that lasts minutes.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import anyio

from glm_agent.errors import ModelError, ModelStatusError, RateLimited
from glm_agent.messages import ModelRequest, ModelResponse, Retrying
from glm_agent.models.account import account_name
from glm_agent.models.limit import OVERLOADED_SECONDS
from glm_agent.models.model import Model, ModelEvent

_OVERLOADED = frozenset({"1305", "1312"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often and how long. Times are in seconds."""

    max_attempts: int = 6
    """Attempts of one request, the first included."""
    max_seconds: float = 600.0
    """No new attempt begins later than this after the first."""
    base_seconds: float = 0.5
    """The first wait is between 0 and this, and the bound doubles with every attempt."""
    cap_seconds: float = 30.0
    """The bound of a wait."""
    throttled_base_seconds: float = 2.0
    """The same as ``base_seconds`` where the key sent too much at once."""
    overloaded_seconds: tuple[float, ...] = OVERLOADED_SECONDS
    """Waits while the model is overloaded (1305, 1312); the last one repeats. Empty: it is not waited for."""
    longest_wait_seconds: float = 120.0
    """A server that asks for a longer wait than this (``Retry-After``) is not waited for."""


def wait_seconds(
    error: ModelError, *, attempt: int, elapsed_seconds: float, chance: float, policy: RetryPolicy
) -> float | None:
    """How long to wait before the next attempt; None: give up.

    ``attempt`` is the number of the one that failed, from 1; ``chance`` is random, from 0 to 1.
    """
    if not error.is_retryable or attempt >= policy.max_attempts:
        return None
    if _is_overloaded(error) and not policy.overloaded_seconds:
        return None
    asked = error.retry_after_seconds if isinstance(error, ModelStatusError) else None
    if asked is not None and asked > policy.longest_wait_seconds:
        return None
    wait = max(asked or 0.0, _backoff(error, attempt, chance, policy))
    return None if elapsed_seconds + wait > policy.max_seconds else wait


class RetryBudget:
    """How much may be tried again, shared by all requests of one key and model.

    Where everything fails, trying everything again makes it worse: a retry costs 1 of ``size``, an answer gives half
    of one back, and so does every ``refill_seconds``. With nothing left, errors are raised at once.
    """

    def __init__(
        self, *, size: float = 50.0, refill_seconds: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size, self._refill_seconds, self._clock = size, refill_seconds, clock
        self._left, self._seen = size, clock()

    def spend(self) -> bool:
        """Whether one more retry is in it."""
        self._refill(0.0)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def answered(self) -> None:
        """An answer came."""
        self._refill(0.5)

    def _refill(self, more: float) -> None:
        now = self._clock()
        self._left = min(self._size, self._left + more + 0.5 * (now - self._seen) / self._refill_seconds)
        self._seen = now


_budgets: dict[str, RetryBudget] = {}


def shared_budget(*, key: str, model: str, base_url: str = "") -> RetryBudget:
    """The process's one budget for a model under a key; the key itself is not kept."""
    return _budgets.setdefault(account_name(key=key, model=model, base_url=base_url), RetryBudget())


NEXT_MODEL = RetryPolicy(max_attempts=3, max_seconds=30.0, overloaded_seconds=(), longest_wait_seconds=10.0)
"""For a model with another one behind it: an overload is not waited for."""


class RetryingModel:
    """A model that tries another one again, as the policy says; shows ``Retrying`` before every wait.

    Deltas of a failed attempt were shown already; ``Retrying`` makes them void. When it gives up, the last
    attempt's error is raised as it came.
    """

    def __init__(
        self,
        model: Model,
        *,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.model = model
        self.policy = policy or RetryPolicy()
        self.budget = budget or RetryBudget()
        self._sleep, self._clock, self._chance = sleep, clock, chance

    def __repr__(self) -> str:
        return f"RetryingModel({self.model!r})"

    @property
    def name(self) -> str:
        return self.model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        began = self._clock()
        attempt = shown = 1
        while True:
            try:
                async with aclosing(self.model.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, ModelResponse):
                            self.budget.answered()
                        elif isinstance(event, Retrying):  # the server began anew by itself
                            shown += 1
                            event = replace(event, attempt=shown)  # noqa: PLW2901
                        yield event
                return
            except ModelError as error:
                wait = wait_seconds(
                    error,
                    attempt=attempt,
                    elapsed_seconds=self._clock() - began,
                    chance=self._chance(),
                    policy=self.policy,
                )
                if wait is None or not self.budget.spend():
                    raise
                reason = str(error)
            attempt, shown = attempt + 1, shown + 1
            yield Retrying(attempt=shown, wait_seconds=wait, reason=reason)
            await self._sleep(wait)


def _is_overloaded(error: ModelError) -> bool:
    return isinstance(error, ModelStatusError) and error.code in _OVERLOADED


def _backoff(error: ModelError, attempt: int, chance: float, policy: RetryPolicy) -> float:
    if _is_overloaded(error):
        ladder = policy.overloaded_seconds
        return ladder[min(attempt, len(ladder)) - 1]
    base = policy.throttled_base_seconds if isinstance(error, RateLimited) else policy.base_seconds
    # Full jitter: many agents that failed together must not come back together.
    return min(policy.cap_seconds, base * 2.0 ** (attempt - 1)) * chance
