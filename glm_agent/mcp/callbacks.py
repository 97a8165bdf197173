"""What a connection calls back with, and what happens to its notices where nobody asked for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeAlias

from glm_agent.messages import Event, Notice

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence for a person about what a server did."""


class Progress(Protocol):
    """Takes how far a call is."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


def log_notice(event: Event) -> None:
    """Write a notice to the log, so that what a server did is not lost."""
    if isinstance(event, Notice):
        level = logging.INFO if event.level == "info" else logging.WARNING
        logging.getLogger("glm_agent.mcp").log(level, "%s", event.text)
