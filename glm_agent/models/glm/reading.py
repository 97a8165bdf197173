"""The body of an answer, read as servers and proxies really end it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import anyio
import httpx2

from glm_agent.models.glm.clients import Answer
from glm_agent.wire.decode import ResponseDecoder

GRACE_SECONDS = 2.0
"""How long a complete answer's stream may take to end, so that the connection can be used again."""


async def next_read(reads: AsyncGenerator[bytes, None], decoder: ResponseDecoder) -> bytes | None:
    """The next read; None at the end, or when an answer that is complete does not end in time."""
    # Where it is known that nothing will be waited for, the bound would cost more than the read.
    if not (decoder.is_finished or decoder.is_done) or getattr(reads, "is_complete", False):
        return await anext(reads, None)
    # Some servers never close, some proxies break off after the last chunk: nothing is missing any more.
    try:
        with anyio.move_on_after(GRACE_SECONDS):
            return await anext(reads, None)
    except httpx2.TransportError:
        pass
    return None


def reads_of(answer: Answer) -> AsyncGenerator[bytes, None]:
    """The body as it comes; three generators fewer per read where nothing has to be unpacked."""
    if "content-encoding" in answer.headers:
        return answer.aiter_bytes()
    return cast("AsyncGenerator[bytes, None]", aiter(cast("httpx2.AsyncByteStream", answer.stream)))


async def read(answer: Answer, limit: int) -> bytes:
    """The body, or its first ``limit`` bytes."""
    data = bytearray()
    async with aclosing(answer.aiter_bytes()) as reads:
        async for piece in reads:
            data += piece
            if len(data) >= limit:
                break
    return bytes(data[:limit])


def is_stream(answer: Answer) -> bool:
    """Whether to read the answer as events; some proxies say nothing or ``text/plain`` about a stream."""
    kind = answer.headers.get("content-type", "")
    return "json" not in kind and "html" not in kind
