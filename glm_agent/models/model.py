"""The model seam: what the driver asks for answers, and what every wrapper takes and is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, TypeAlias

from glm_agent.messages import Delta, ModelRequest, ModelResponse, Notice, Retrying, ToolCallReady, TurnStopped

ModelEvent: TypeAlias = Delta | ToolCallReady | Retrying | Notice | ModelResponse | TurnStopped


class Model(Protocol):
    """Anything that answers a request."""

    @property
    def name(self) -> str:
        """The model's id, as sent and as looked up in the catalog."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The answer as it comes.

        Yields deltas and notices and, last and once, the ``ModelResponse``; or a ``TurnStopped`` where
        the request must not be sent. After a ``Retrying`` all earlier deltas are void. Raises
        ``ModelError``. A wrapper closes the stream it reads (``contextlib.aclosing``) and never yields
        inside a cancel scope.
        """
        ...
