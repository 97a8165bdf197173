"""For turns that nobody watches: done again where that may help, and held where the key may not go on.

A worker has one patience for all its turns. A turn that is held keeps its place among those that run at once, so a dead
key stops the queue at the cost of a request now and then, and not of every task in it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from glm_agent.batch.outage import reset_seconds, verdict, wait_seconds
from glm_agent.errors import ConfigurationError, JournalError, QuotaExhausted

_T = TypeVar("_T")

DEAD_KEY_SECONDS: Final = (60.0, 120.0, 240.0, 480.0, 900.0)
"""Rests between two tries of a key that may not go on; the last one repeats."""


class Patience:
    """What the turns of one process know of each other's refusals.

    Args:
        retries: How often a turn is done again after what may pass, the model's own retries apart.
        max_wait_seconds: How long a turn is held before its refusal is its outcome.
        tell: Is told, in a sentence, what is waited for.
    """

    def __init__(
        self,
        *,
        retries: int = 2,
        max_wait_seconds: float = 6 * 3600.0,
        tell: Callable[[str], object] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._retries, self._max_wait_seconds, self._tell = retries, max_wait_seconds, tell
        self._sleep, self._clock = sleep, clock
        self._rests: dict[str, tuple[float, int]] = {}
        """By account: until when, and the how manieth rest in a row this is."""

    async def do(self, attempt: Callable[[bool], Awaitable[_T]], *, account: str) -> _T:
        """Do a turn; ``attempt`` is told whether it is not the first one.

        ``account`` names what is refused together. Raises what the last attempt raised.
        """
        until = self._clock() + self._max_wait_seconds
        tries, is_again = 0, False
        while True:
            await self._rested(account)
            try:
                found = await attempt(is_again)
            except Exception as error:
                is_again = True
                tries += 1
                if self._hold(error, account, until=until):
                    tries -= 1
                elif verdict(error) == "again" and tries <= self._retries:
                    await self._sleep(wait_seconds(attempt=tries, chance=random.random()))
                else:
                    raise
            else:
                self._rests.pop(account, None)
                return found

    def _hold(self, error: Exception, account: str, *, until: float) -> bool:
        """Whether all turns of the account are to wait for something that may pass."""
        kind, now = verdict(error), self._clock()
        if kind not in ("window", "stop") or isinstance(error, JournalError | ConfigurationError):
            return False
        ends, number = self._rests.get(account, (0.0, 0))
        if ends > now:
            return ends <= until  # another turn met the same refusal
        seconds = DEAD_KEY_SECONDS[min(number, len(DEAD_KEY_SECONDS) - 1)]
        if isinstance(error, QuotaExhausted) and kind == "window":
            seconds = reset_seconds(error.resets_at, now=now)
        if now + seconds > until:
            return False
        self._rests[account] = (now + seconds, number + 1)
        when = time.strftime("%H:%M", time.localtime(now + seconds))
        self._tell(f"all turns of this key wait until {when}: {error}")
        return True

    async def _rested(self, account: str) -> None:
        while (left := self._rests.get(account, (0.0, 0))[0] - self._clock()) > 0:
            await self._sleep(left)
