"""The observer seam: who is shown what happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from glm_agent.messages import Event

Observer: TypeAlias = Callable[[Event], None]
"""Sees every event of a turn; must not block. What it raises is logged and goes no further."""

_log = logging.getLogger("glm_agent")


def tell(observers: Iterable[Observer], event: Event) -> None:
    """Show the event to all of them."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            _log.exception("an observer failed on %r and was passed over", event.kind)
