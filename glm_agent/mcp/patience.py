"""The bounds in time of a server's open calls, which stand still while the server asks a person.

A server may ask during a call, and nothing it sends says during which one: so all its calls wait.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from glm_agent.registry.bound import Bound


class Patience:
    """The open calls of one connection."""

    def __init__(self) -> None:
        self._open = set[Bound]()

    @contextmanager
    def bounded(self, seconds: float) -> Generator[None]:
        """One call, in so many seconds beside those in which a person was asked. Raises ``TimeoutError``."""
        bound = Bound(seconds)
        self._open.add(bound)
        try:
            with bound.scope:
                yield
        finally:
            self._open.discard(bound)
        if bound.scope.cancelled_caught:
            raise TimeoutError

    @contextmanager
    def paused(self) -> Generator[None]:
        """No time passes for the calls that are open now."""
        with ExitStack() as pauses:
            for bound in tuple(self._open):
                pauses.enter_context(bound.paused())
            yield
