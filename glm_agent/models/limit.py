"""How many requests of one key run at once: found out by trying, and shared by the whole process.

GLM limits requests in flight per account and model, publishes no number and sends no header about it. So nothing is
held back until the server says 1302; then the half of what was in flight may run, and every full round of
successes adds one. Nobody waits for what is not limited.

Source: docs.bigmodel.cn, rate limits and error table, 2026-07-11.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any

import anyio
import anyio.lowlevel

from glm_agent.errors import ModelStatusError
from glm_agent.messages import ModelRequest, ModelResponse
from glm_agent.models.account import account_name
from glm_agent.models.model import Model, ModelEvent

_TOO_MANY = frozenset({"1302"})


class Limit:
    """Requests in flight, and how many there may be. Safe from every thread and event loop."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        """How many may run at once; None: no limit is known."""
        self.running = 0
        self._lock = threading.Lock()
        self._waiting: deque[_Waiter] = deque()
        self._round = 0
        self._successes = 0

    def __repr__(self) -> str:
        return f"Limit(most={self.most}, running={self.running}, waiting={len(self._waiting)})"

    async def enter(self) -> int:
        """Wait for a place, first come first served; the number of the round goes back to ``leave``."""
        with self._lock:
            if self._has_room():  # then nobody waits
                self.running += 1
                return self._round
            waiter = _Waiter()
            self._waiting.append(waiter)
        try:
            await waiter.called.wait()
        except BaseException:
            self._give_up(waiter)
            raise
        return self._round

    def leave(self, entered: int, *, outcome: bool | None) -> None:
        """Give the place back. ``outcome``: True: answered; False: refused because too many ran; None: neither.

        Requests that were in flight together are refused together, and count as one refusal.
        """
        with self._lock:
            if outcome is False and entered == self._round:
                self.most, self._round, self._successes = max(1, self.running // 2), self._round + 1, 0
            elif outcome and self.most is not None:
                self._successes += 1
                if self._successes >= self.most:
                    self.most, self._successes = self.most + 1, 0
            self.running -= 1
            self._call_next()

    def _has_room(self) -> bool:
        return self.most is None or self.running < self.most

    def _call_next(self) -> None:
        while self._waiting and self._has_room():
            if self._waiting.popleft().call():
                self.running += 1

    def _give_up(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.was_called:  # and cancelled before it could come
                self.running -= 1
                self._call_next()


class _Waiter:
    """Somebody on some event loop."""

    def __init__(self) -> None:
        self.called = anyio.Event()
        self.was_called = False
        native: Any = anyio.lowlevel.current_token().native_token
        # asyncio's loop and trio's token each have a word for it.
        self._soon: Callable[[Callable[[], object]], object] = (
            native.call_soon_threadsafe if hasattr(native, "call_soon_threadsafe") else native.run_sync_soon
        )

    def call(self) -> bool:
        """Tell it that there is a place; False where its loop is gone."""
        with suppress(RuntimeError):  # both libraries' word for a loop that has ended
            self._soon(self.called.set)
            self.was_called = True
        return self.was_called


class LimitedModel:
    """A model whose requests wait for a place."""

    def __init__(self, model: Model, *, limit: Limit) -> None:
        self.model, self.limit = model, limit

    def __repr__(self) -> str:
        return f"LimitedModel({self.model!r})"

    @property
    def name(self) -> str:
        return self.model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``."""
        entered = await self.limit.enter()
        outcome: bool | None = None
        try:
            async with aclosing(self.model.stream(request)) as events:
                async for event in events:
                    outcome = True if isinstance(event, ModelResponse) else outcome
                    yield event
        except ModelStatusError as error:
            outcome = False if error.code in _TOO_MANY else None
            raise
        finally:
            self.limit.leave(entered, outcome=outcome)


_shared: dict[str, Limit] = {}
_shared_lock = threading.Lock()


def shared_limit(*, key: str, model: str, base_url: str = "") -> Limit:
    """The process's one limit for a model under a key; the key itself is not kept."""
    with _shared_lock:
        return _shared.setdefault(account_name(key=key, model=model, base_url=base_url), Limit())
