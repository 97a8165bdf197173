"""The gate of a key and model: how many requests run at once, found out by trying, and what a refusal says to all.

GLM limits requests in flight per account and model, publishes no number and sends no header about it. So nothing is
held back until the server says 1302; then the half of what was in flight may run, and every full round of
successes adds one. Nobody waits for what is not limited.

What the server says of the model or of the account is true for everybody: after an overload (1305) all wait, and after
"no balance" (1113) or a used-up allowance (1308) one request at a time is sent, on whose answer the others wait.

Source: docs.bigmodel.cn, rate limits and error table, 2026-07-11.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from glm_agent.errors import AuthenticationError, ModelError, ModelStatusError, QuotaExhausted
from glm_agent.messages import ModelRequest, ModelResponse, Notice
from glm_agent.models.account import account_name
from glm_agent.models.model import Model, ModelEvent
from glm_agent.models.waiting import Place, Waiter, Waiting

_TOO_MANY: Final = frozenset({"1302"})
_OVERLOADED: Final = frozenset({"1305", "1312"})

OVERLOADED_SECONDS: Final = (30.0, 60.0, 90.0, 120.0)
"""Rests of a model that is overloaded; the last one repeats.

Source: hermes-agent#93507 and #100065: this worked where 1 to 8 seconds did not.
"""

PATIENCE_SECONDS: Final = 600.0
"""How long a request waits for an overloaded model before it is refused as the others were."""


class Limit:
    """Requests in flight, and how many there may be, never more than ``bound``. Safe from every thread and loop."""

    def __init__(
        self,
        most: int | None = None,
        *,
        bound: int | None = None,
        overloaded_seconds: tuple[float, ...] = OVERLOADED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        """How many may run at once; None: no limit is known."""
        self._bound = bound
        self.running = 0
        self.refusal: ModelError | None = None
        """What the server said of the model or the key, until a request has its answer again."""
        self._overloaded_seconds, self._clock = overloaded_seconds, clock
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._round = self._successes = 0
        self._is_probed = False
        self._overloads = 0
        self._opens_at = 0.0

    def __repr__(self) -> str:
        return f"Limit(most={self.most}, running={self.running}, waiting={len(self._waiting)})"

    async def enter(self, *, patience_seconds: float = PATIENCE_SECONDS) -> Place:
        """Wait for a place, first come first served within a lane; it goes back to ``leave``.

        Raises the server's refusal where another request has just met it.
        """
        until = self._clock() + patience_seconds
        while True:
            with self._lock:
                if (place := self._admit()) is not None:
                    return place
                if self.refusal is not None and self.refusal.is_retryable and self._clock() >= until:
                    raise copy.copy(self.refusal)  # errors are given more facts on their way
                waiter = Waiter()
                self._waiting.append(waiter)
                seconds = self._rest(until)
            try:
                await waiter.wait(seconds)
            except BaseException:
                self._give_up(waiter)
                raise
            if (answer := self._answer(waiter)) is not None:
                return answer

    def leave(self, place: Place, *, outcome: bool | None, error: ModelError | None = None) -> None:
        """Give the place back.

        ``outcome``: True: answered; False: refused because too many ran; None: neither. ``error``: what came instead
        of an answer. Requests that were in flight together are refused together, and count as one refusal.
        """
        with self._lock:
            self.running -= 1
            if place.is_probe:
                self._is_probed = False
            if outcome is False and place.round == self._round:
                # Half of what was in flight: those that still run, and the one that was refused.
                self.most, self._round, self._successes = max(1, (self.running + 1) // 2), self._round + 1, 0
            elif outcome:
                self._succeed()
            if error is not None and is_refusal(error):
                self._refuse(error, is_new=self.refusal is None or place.is_probe)
            elif place.is_probe and self.refusal is not None:
                self._waiting.call_all(None)  # it said nothing: another one is to ask
            self._call_next()

    def _admit(self) -> Place | None:
        if self.refusal is None:
            if self.most is not None and self.running >= self.most:
                return None
        elif self._is_probed or self._clock() < self._opens_at:
            return None
        self._is_probed = self.refusal is not None
        self.running += 1
        return Place(self._round, self._is_probed)

    def _rest(self, until: float) -> float | None:
        """How long to wait before looking again, unless called; None where somebody will call."""
        if self.refusal is None or not self.refusal.is_retryable:
            return None
        wakes = until if self._is_probed else min(until, self._opens_at)
        return max(0.0, wakes - self._clock())

    def _succeed(self) -> None:
        self.refusal, self._overloads = None, 0
        if self.most is not None:
            self._successes += 1
            if self._successes >= self.most:
                self._successes = 0
                self.most = self.most + 1 if self._bound is None else min(self.most + 1, self._bound)

    def _refuse(self, error: ModelError, *, is_new: bool) -> None:
        """Those that wait look again after an overload, and fail as this one did after everything else."""
        if is_new:
            seconds = 0.0
            if error.is_retryable:
                self._overloads += 1
                seconds = self._overloaded_seconds[min(self._overloads, len(self._overloaded_seconds)) - 1]
            self.refusal, self._opens_at = error, self._clock() + seconds
        self._waiting.call_all(None if error.is_retryable else error)

    def _call_next(self) -> None:
        while self._waiting and self.refusal is None and (place := self._admit()) is not None:
            if not self._waiting.call_one(place):  # whoever waited has left meanwhile
                self.running -= 1

    def _answer(self, waiter: Waiter) -> Place | None:
        """What it was called for: a place, to look again, or to fail."""
        with self._lock:
            self._waiting.remove(waiter)
            answer = waiter.answer
        if isinstance(answer, ModelError):
            raise copy.copy(answer)
        return answer

    def _give_up(self, waiter: Waiter) -> None:
        with self._lock:
            self._waiting.remove(waiter)
            if isinstance(waiter.answer, Place):  # and cancelled before it could come
                self.running -= 1
                self._call_next()


def is_refusal(error: ModelError) -> bool:
    """Whether it is true for every request of this key and model: overload, no balance, no right, no plan."""
    is_overload = isinstance(error, ModelStatusError) and error.code in _OVERLOADED
    return is_overload or isinstance(error, QuotaExhausted | AuthenticationError)


class LimitedModel:
    """A model whose requests wait for a place."""

    def __init__(self, model: Model, *, limit: Limit, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.model, self.limit = model, limit
        self._patience_seconds = patience_seconds

    def __repr__(self) -> str:
        return f"LimitedModel({self.model!r})"

    @property
    def name(self) -> str:
        return self.model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        refusal = self.limit.refusal
        if refusal is not None and refusal.is_retryable and self._patience_seconds:
            yield Notice(text=f"{self.name} is overloaded: this request waits with others", source=self.name)
        place = await self.limit.enter(patience_seconds=self._patience_seconds)
        outcome: bool | None = None
        failed: ModelError | None = None
        try:
            async with aclosing(self.model.stream(request)) as events:
                async for event in events:
                    outcome = True if isinstance(event, ModelResponse) else outcome
                    yield event
        except ModelError as error:
            failed = error
            outcome = False if isinstance(error, ModelStatusError) and error.code in _TOO_MANY else None
            raise
        finally:
            self.limit.leave(place, outcome=outcome, error=failed)


_shared: dict[str, Limit] = {}
_shared_lock = threading.Lock()
_makers: list[Callable[[str], Limit]] = []


def make_limits_with(make: Callable[[str], Limit] | None) -> None:
    """From now on, limits of accounts are made by this, from a name that says nothing about the key; None: as ever."""
    with _shared_lock:
        _makers[:] = [] if make is None else [make]
        _shared.clear()


def shared_limit(*, key: str, model: str, base_url: str = "") -> Limit:
    """The process's one limit for a model under a key; the key itself is not kept."""
    with _shared_lock:
        account = account_name(key=key, model=model, base_url=base_url)
        if account not in _shared:
            _shared[account] = _makers[0](account) if _makers else Limit()
        return _shared[account]
