"""Standard input, line by line, in a way that can be given up: a thread that reads cannot be called back."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress

import anyio

from glm_agent.errors import AgentError

MAX_MESSAGE = 64 << 20
"""Bytes of one line."""

_CHUNK = 65_536


@contextmanager
def claimed() -> Generator[int]:
    """Standard input for us alone; what a tool starts finds an empty one, and eats no messages. For POSIX."""
    ours, empty = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        yield ours
    finally:
        os.dup2(ours, 0)
        os.close(ours)


async def lines(descriptor: int) -> AsyncGenerator[str]:
    """The lines until the end, the last one also without its end. For POSIX. Raises ``AgentError``."""
    pieces: list[bytes] = []
    size = 0
    while True:
        # What is always readable, as a file and /dev/null are, cannot be waited for.
        with suppress(PermissionError):
            await anyio.wait_readable(descriptor)
        chunk = os.read(descriptor, _CHUNK)
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield (b"".join(pieces) + line + b"\n").decode(errors="replace")
            pieces.clear()
            size = 0
        pieces.append(rest)
        size += len(rest)
        if size > MAX_MESSAGE:
            raise AgentError(f"standard input gave a line of more than {MAX_MESSAGE >> 20} MiB, which is no message")
        if not chunk:
            break
    if any(pieces):
        yield b"".join(pieces).decode(errors="replace")
