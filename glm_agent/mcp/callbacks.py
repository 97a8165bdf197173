"""What a connection calls back with. Types only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Note: TypeAlias = Callable[[str], None]
"""Takes a sentence for a person about what a server did."""


class Progress(Protocol):
    """Takes how far a call is."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...
