"""The openings of one server, one on each event loop: begun when they are needed, begun again when they have died."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.lowlevel

from glm_agent.errors import MCPServerError
from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import LeftAlone, sentence, shown
from glm_agent.mcp.owner import Owner
from glm_agent.mcp.remembered import Memory
from glm_agent.mcp.restarts import Restarts
from glm_agent.messages import Event, Notice

if TYPE_CHECKING:
    from glm_agent.mcp.link import Link

State = Literal["idle", "starting", "ready", "failed", "needs authorization", "closed"]
"""``idle``: never started; ``closed``: stopped by us, and started again by the next use."""

_LAST_WORDS_SECONDS = 5.0
"""Why a server ended is known when it has been waited for; an error should not wait longer than this for that."""


@dataclass(slots=True)
class Openings:
    """Starts, shares and ends what a server needs to be used."""

    config: ServerConfig
    on_event: Callable[[Event], None]
    callbacks: Callbacks = field(default_factory=Callbacks)
    memory: Memory | None = None
    """Where it is kept what the server was like; None keeps nothing."""
    clock: Callable[[], float] = time.monotonic
    restarts: Restarts = field(default_factory=Restarts)
    on_listed: Callable[[Link], None] = field(default=lambda link: None)  # noqa: ARG005
    """Called when the server has listed its tools: when it has become ready, and when they have changed."""
    state: State = "idle"
    _owners: dict[anyio.lowlevel.EventLoopToken, Owner] = field(
        default_factory=dict[anyio.lowlevel.EventLoopToken, Owner]
    )
    _is_legacy: bool | None = None
    _began: float = 0.0
    """When the last opening began, and since when it has been ready."""
    _last_error: MCPServerError | None = None

    @property
    def current(self) -> Owner | None:
        """The opening of this event loop, if there is one."""
        # Also asked where no loop runs, and where there is none, there is no opening.
        return self._owners.get(anyio.lowlevel.current_token()) if self._owners else None

    @property
    def link(self) -> Link | None:
        """The session of this event loop, if it can be used right now."""
        owner = self.current
        if owner is None or owner.is_stopping or owner.link is None or owner.link.over.is_set():
            return None
        return owner.link

    async def ready(self) -> tuple[Owner, Link]:
        """The opening of this event loop, when it can be used. Raises ``MCPServerError`` when it cannot be."""
        owner = self.current
        if owner is not None and (owner.is_stopping or (owner.link is not None and owner.link.over.is_set())):
            await owner.done.wait()
            owner = self.current
        if owner is None:
            owner = self.open()
        if not owner.ready.is_set():
            await owner.ready.wait()
        if owner.link is None:
            raise self._again(owner.error) if owner.error else self._error("it was closed while it started")
        return owner, owner.link

    def open(self, *, is_beside: bool = False) -> Owner:
        """Begin to open on this event loop; ``is_beside`` where nobody waits for it, so that failures are told.

        Raises ``MCPServerError`` when that was in vain a moment ago.
        """
        self._refuse_haste()
        token = anyio.lowlevel.current_token()
        owner = Owner(
            config=self.config,
            note=self.warn,
            on_change=lambda owner: self._changed(token, owner),
            is_legacy=self._speaks_legacy(),
            callbacks=self.callbacks,
            is_beside=is_beside,
        )
        self._owners[token] = owner
        self._began = self.clock()
        self._enter("starting")
        owner.start()
        return owner

    async def ended(self, owner: Owner) -> None:
        """Wait until a lost connection is cleared away, so that its exit code and last words are known."""
        if owner.link is not None and owner.link.over.is_set():
            with anyio.move_on_after(_LAST_WORDS_SECONDS):
                await owner.done.wait()

    async def aclose(self) -> None:
        """Stop the opening of this event loop; what failed before is forgotten."""
        owner = self.current
        if owner is not None:
            await owner.stop()
        self._last_error = None
        self.restarts.succeeded()

    def warn(self, said: str, *, limit: int = 500) -> None:
        """Tell a person something about the server."""
        self._tell(sentence(self.config, shown(self.config, said, limit=limit)), level="warning")

    def say_absent(self, error: MCPServerError) -> None:
        """Tell a person that the server, which nobody waits for, cannot be had."""
        self._tell(f"it is not there yet: {error}", level="warning")

    # -- the books --------------------------------------------------------------------------------------

    def _refuse_haste(self) -> None:
        wait = self.restarts.wait(self.clock())
        if wait > 0 and self._last_error is not None:
            said = f"{self._last_error} It is not started again for {math.ceil(wait)} s."
            raise LeftAlone(said, server=self.config.name)

    def _speaks_legacy(self) -> bool:
        if self._is_legacy is None:
            self._is_legacy = self.memory is not None and self.memory.load(self.config).is_legacy
        return self._is_legacy

    def _changed(self, token: anyio.lowlevel.EventLoopToken, owner: Owner) -> None:
        """An opening has become ready, lists other tools, or has ended."""
        if not owner.done.is_set():
            assert owner.link is not None
            self._keep(owner.link)
            if self.state == "ready":
                self._tell(f"its tools have changed: {_count(owner.link)} from the next turn on")
            else:
                self._became_ready(owner.link)
            self.on_listed(owner.link)
            return
        if self._owners.get(token) is owner:
            del self._owners[token]
        if owner.error is None:
            self._enter("closed")
        else:
            self._failed(owner, owner.error)

    def _became_ready(self, link: Link) -> None:
        now = self.clock()
        took, self._began = now - self._began, now
        self._is_legacy = not link.is_modern
        self._enter("ready", f"{link.client.protocol_version}, {_count(link)}, {took:.1f} s")

    def _keep(self, link: Link) -> None:
        if self.memory is not None:
            self.memory.keep(self.config, tools=link.listed, ttl_seconds=link.ttl_seconds, is_legacy=not link.is_modern)

    def _failed(self, owner: Owner, error: MCPServerError) -> None:
        """One failure more. Who started it is told by an error; of a later end nobody would hear."""
        was_ready = owner.link is not None
        self.restarts.failed(self.clock(), lived_seconds=self.clock() - self._began if was_ready else 0.0)
        self._last_error = error
        if was_ready:
            self._tell(str(error), level="warning")
        else:
            if owner.is_beside:
                self.say_absent(error)
            if self.memory is not None:
                # The next run is to wait for it, and to say so where it cannot be had.
                self.memory.forget(self.config)
        self._enter("needs authorization" if owner.is_unauthorized else "failed")

    def _enter(self, state: State, about: str = "") -> None:
        if state != self.state:
            self.state = state
            self._tell(f"{state}: {about}" if about else state)

    def _tell(self, text: str, *, level: Literal["info", "warning"] = "info") -> None:
        self.on_event(Notice(text=text, level=level, source=f"mcp:{self.config.name}"))

    def _again(self, error: MCPServerError) -> MCPServerError:
        """The same error as a new one: one object raised in many tasks would collect their tracebacks."""
        return MCPServerError(str(error), server=self.config.name)

    def _error(self, what: str) -> MCPServerError:
        return MCPServerError(sentence(self.config, shown(self.config, what)), server=self.config.name)


def _count(link: Link) -> str:
    number = len(link.listed)
    return f"{number} {'tool' if number == 1 else 'tools'}"
