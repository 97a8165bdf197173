"""``--record FILE``: the client that keeps the raw wire of a run or a chat."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from glm_agent.models.glm.recorder import RecordingClient

_CLOSE_SECONDS: Final = 2.0


def recorder(path: str | None) -> RecordingClient | None:
    """The client that records to this file, made now; None where nothing is to be recorded.

    Raises ``ConfigurationError`` where the file cannot be written, or is there and no cassette.
    """
    if not path:
        return None
    from glm_agent.models.glm.cassette import CassetteWriter
    from glm_agent.models.glm.recorder import RecordingClient

    return RecordingClient(CassetteWriter(path))


@asynccontextmanager
async def closing(client: RecordingClient | None) -> AsyncGenerator[None]:
    """Close the client's connections and its cassette at the end of the block."""
    try:
        yield
    finally:
        if client is not None:
            import anyio

            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):  # also of a run that was interrupted
                await client.aclose()
