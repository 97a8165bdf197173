"""Standard input, line by line, in a way that can be given up: a thread that reads cannot be called back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress

import anyio

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


async def lines(descriptor: int) -> AsyncIterator[str]:
    """The lines until the end, the last one also without its end. For POSIX."""
    pieces: list[bytes] = []
    while True:
        # What is always readable, as a file and /dev/null are, cannot be waited for.
        with suppress(PermissionError):
            await anyio.wait_readable(descriptor)
        chunk = os.read(descriptor, _CHUNK)
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield (b"".join(pieces) + line + b"\n").decode(errors="replace")
            pieces.clear()
        pieces.append(rest)
        if not chunk:
            break
    if any(pieces):
        yield b"".join(pieces).decode(errors="replace")
