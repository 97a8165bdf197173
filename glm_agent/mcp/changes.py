"""When a list of tools has changed, in both eras of the protocol. Imports the SDK.

Before 2026-07-28 a server says so unasked; since then it is asked for a subscription. A server may say it many times in
a moment: it is asked for its list once it has been quiet for a while, or has talked for too long.
"""

from __future__ import annotations

import logging
import math

import anyio
from mcp import Client
from mcp.client.subscriptions import SubscriptionLost

QUIET_SECONDS = 0.2
"""A server that registers its tools one by one says so at each: it is asked once it has been quiet for this long."""
MAX_WAIT_SECONDS = 2.0
"""How long a server may go on saying that its tools change before it is asked for them."""

_ACKNOWLEDGED_SECONDS = 10.0
"""For the server to say that it will tell; from then on it may be silent for ever."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Before a subscription that was lost is asked for again."""

log = logging.getLogger("glm_agent.mcp")


class Changes:
    """What is known of changes on one connection."""

    def __init__(self) -> None:
        self.are_due = True
        """Whether the list has to be asked for again."""
        self.are_heard = False
        """Whether a subscription tells of every change."""
        self._said = anyio.Event()
        self._wanted = anyio.Event()

    def heard(self) -> None:
        """The server says that its tools have changed."""
        self.are_due = True
        self._said.set()

    def seen(self) -> None:
        """The list is asked for now: what was said before is settled with it."""
        self.are_due = False

    def want(self) -> None:
        """The list is used for long enough that a subscription is worth its request."""
        self._wanted.set()

    async def settled(self) -> None:
        """Until the server has said that something changed, and has then been quiet, and nobody has asked yet."""
        while True:
            await self._said.wait()
            with anyio.move_on_after(MAX_WAIT_SECONDS):
                while self._said.is_set():
                    self._said = anyio.Event()
                    with anyio.move_on_after(QUIET_SECONDS):
                        await self._said.wait()
            if self.are_due:
                return

    async def listen(self, client: Client) -> None:
        """Subscribe to changes, again after every loss; returns where the server gives no subscription."""
        await self._wanted.wait()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._subscribed(client)
                return
            except SubscriptionLost as error:
                log.debug("a subscription to changes was lost: %s", error)
            except Exception as error:
                # Not having one costs a request a turn; the connection is not to end over it.
                log.debug("the server gives no subscription to changes: %s", error)
                return
            finally:
                self.are_heard = False
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _subscribed(self, client: Client) -> None:
        """One subscription, to its end."""
        with anyio.fail_after(_ACKNOWLEDGED_SECONDS) as waiting:
            async with client.listen(tools_list_changed=True) as subscription:
                waiting.deadline = math.inf
                if not subscription.honored.tools_list_changed:
                    return
                # Whatever changed before the subscription began was not told.
                self.heard()
                self.are_heard = True
                async for _ in subscription:
                    self.heard()
