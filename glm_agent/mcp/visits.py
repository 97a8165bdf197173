"""Addresses that a person has agreed to go to, and waiting until the server has seen them there.

A server wants a visit before it runs a call (error -32042), or in a round of the call. It is asked again until it is
content: a person who has agreed is not asked for the same address again meanwhile, and the server is asked less and
less often.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

MAX_ROUNDS = 10
"""How often a call that wants a visit is sent again."""

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 60.0
"""Between these a server has time to see the person; ten rounds are about four minutes."""

_REMEMBERED_SECONDS = 2 * MAX_WAIT_SECONDS
"""A server that is waited for is asked again within the longest wait, so a yes is not forgotten meanwhile."""
_MAX_KEPT = 100


@dataclass(frozen=True, slots=True)
class _Agreed:
    rounds: int
    """How often the server was asked since."""
    at: float


@dataclass(slots=True)
class Visits:
    """The visits of one connection."""

    _agreed: dict[str, _Agreed] = field(default_factory=dict[str, _Agreed])
    """What was agreed to, by address."""
    _seen: dict[str, anyio.Event] = field(default_factory=dict[str, anyio.Event])
    """Set when the server says that it has seen the person, by its id of the visit."""

    async def agree(self, url: str, visit_id: str, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Whether the person goes there. Who has agreed a moment ago is on the way: that is waited for."""
        known = self._agreed.get(url)
        if known is not None and anyio.current_time() - known.at < _REMEMBERED_SECONDS:
            await self.wait(url, visit_id)
            return True
        if not await ask():
            return False
        if len(self._agreed) >= _MAX_KEPT:
            self._agreed.clear()
        self._agreed[url] = _Agreed(0, anyio.current_time())
        return True

    async def wait(self, url: str, visit_id: str) -> None:
        """Until the server says that it has seen the person, or is to be asked."""
        rounds = self._agreed[url].rounds if url in self._agreed else 0
        with anyio.move_on_after(min(FIRST_WAIT_SECONDS * 2**rounds, MAX_WAIT_SECONDS)):
            await self._event(visit_id).wait()
        self._agreed[url] = _Agreed(rounds + 1, anyio.current_time())

    def seen(self, visit_id: str) -> None:
        """The server says so."""
        self._event(visit_id).set()

    def _event(self, visit_id: str) -> anyio.Event:
        if visit_id not in self._seen and len(self._seen) >= _MAX_KEPT:
            self._seen.clear()
        return self._seen.setdefault(visit_id, anyio.Event())
