"""What a connection calls back with, and what happens to its notices where nobody asked for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.sampling import Sampler
from glm_agent.mcp.token_store import TokenStore
from glm_agent.messages import Event, Notice
from glm_agent.registry.asking import Asker

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence for a person about what a server did."""


class Progress(Protocol):
    """Takes how far a call is."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


OnTask: TypeAlias = Callable[[TaskHandle], None]
"""Puts a task on record that a server made of a call, before it is waited for."""


class Login(Protocol):
    """Sends a person to an address, and takes what the browser brings back."""

    @property
    def redirect_uri(self) -> str:
        """Where the browser is sent back to."""
        ...

    async def authorize(self, url: str) -> Mapping[str, str]:
        """The query of the address the browser came back to. Raises ``Refused`` when nobody answers."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Callbacks:
    """What servers may ask of us. Nothing is offered to a server that is not given here."""

    elicit: Asker | None = None
    """Asks a person what a server wants to know, as tools ask; ``elicitation.decline`` where nobody is there."""
    sampler: Sampler | None = None
    """Answers a server's questions to the model, for servers whose configuration allows it."""
    roots: tuple[Path, ...] = ()
    """Folders that a server is told it may work in."""
    login: Login | None = None
    tokens: TokenStore | None = None
    """Where tokens are kept; None is the user's file."""


def log_notice(event: Event) -> None:
    """Write a notice to the log, so that what a server did is not lost."""
    if isinstance(event, Notice):
        level = logging.INFO if event.level == "info" else logging.WARNING
        logging.getLogger("glm_agent.mcp").log(level, "%s", event.text)
