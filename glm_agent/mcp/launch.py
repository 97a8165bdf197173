"""A server that speaks HTTP and is started here: ``command`` and ``url`` in one entry."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import anyio

from glm_agent.mcp.config import PORT, ServerConfig
from glm_agent.mcp.failure import Lost
from glm_agent.mcp.process import ServerProcess

_LOOK_AGAIN_SECONDS = 0.05


def with_port(config: ServerConfig) -> ServerConfig:
    """The configuration with a free port wherever it says ``${port}``."""
    if not any(PORT in text for text in (config.url, *config.args, *config.env.values())):
        return config
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return replace(
        config,
        url=config.url.replace(PORT, port),
        args=tuple(argument.replace(PORT, port) for argument in config.args),
        env={name: value.replace(PORT, port) for name, value in config.env.items()},
    )


@asynccontextmanager
async def launched(config: ServerConfig, process: ServerProcess) -> AsyncGenerator[None]:
    """Wait until the process listens at the URL, and read what it prints as long as the block lasts.

    Raises ``Lost`` when it ends before it listens; how long it may take is for the caller to bound.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read_on, process)
        await _listening(config.url, process)
        yield
        tasks.cancel_scope.cancel()


async def _listening(url: str, process: ServerProcess) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    while True:
        try:
            connection = await anyio.connect_tcp(parts.hostname or "", port)
        except OSError:
            if process.has_left:
                raise Lost("it ended before it listened", may_have_run=False) from None
            await anyio.sleep(_LOOK_AGAIN_SECONDS)
        else:
            await connection.aclose()
            return


async def _read_on(process: ServerProcess) -> None:
    """Its standard output has to be read, or a talkative server stands still."""
    while chunk := await process.read():
        for line in chunk.splitlines():
            process.note(line)
