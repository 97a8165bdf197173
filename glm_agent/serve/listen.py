"""Serving over standard input and output, and over streamable HTTP: loopback, unless a token guards the door."""

from __future__ import annotations

import ipaddress
import logging
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from glm_agent.errors import AgentError, ConfigurationError
from glm_agent.mcp.failure import first
from glm_agent.serve.closing import Closing
from glm_agent.serve.doors import Guarded, Local
from glm_agent.serve.sessions import MAX_SESSIONS, Sessions
from glm_agent.serve.stdin import claimed, lines

if TYPE_CHECKING:
    import uvicorn

PATH = "/mcp"
_CLOSE_SECONDS = 3
_BOUNDS: dict[str, Any] = {"max_sessions": 2 * MAX_SESSIONS, "session_idle_timeout": 1800}
"""More sessions at once than this are refused even while they are in use; one left for half an hour is ended."""


async def serve_stdio(server: Server[Any]) -> None:
    """Speak on standard input and output until the input ends.

    Raises ``AgentError`` when the answers cannot be written, or a line is longer than any message.
    """
    if sys.platform == "win32":
        await _serve_stdio(server, None)
    else:
        with claimed() as descriptor:
            await _serve_stdio(server, lines(descriptor))


async def _serve_stdio(server: Server[Any], given: Any) -> None:
    try:
        async with stdio_server(stdin=given) as (read, write):
            await server.run(read, write, server.create_initialization_options())
    except ExceptionGroup as failed:
        # Who called has left without waiting for the answer.
        _, others = failed.split(BrokenPipeError)
        if others is not None:
            raise _readable(others) from None


def _readable(failed: BaseException) -> BaseException:
    """What went wrong, as one exception; of the streams themselves as one of ours."""
    error = first(failed)
    if isinstance(error, OSError):
        return AgentError(f"the answers cannot be written to standard output: {error.strerror or error}")
    return error


async def serve_http(
    server: Server[Any],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    on_ready: Callable[[str], None] = lambda _url: None,
    options: dict[str, Any] | None = None,
) -> None:
    """Listen until cancelled; ``on_ready`` gets the address.

    Raises ``ConfigurationError`` for an address that others can reach without a ``token``.
    """
    import uvicorn

    app = Closing(http_app(server, host=host, token=token, options=options))
    listener = _bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    on_ready(f"http://{shown}:{listener.getsockname()[1]}{PATH}")
    config = uvicorn.Config(
        app,
        http="h11",  # httptools, which uvicorn takes where it is installed, leaves white space around headers' values
        ws="none",
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
    running = uvicorn.Server(config)
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_when_cancelled, running, app)
            # Cut off, it would leave its connections open; told to stop, it closes them within its bound.
            with anyio.CancelScope(shield=True):
                await running.serve(sockets=[listener])
            tasks.cancel_scope.cancel()


async def _stop_when_cancelled(running: uvicorn.Server, app: Closing) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await app.close()
        running.should_exit = True


def http_app(
    server: Server[Any], *, host: str = "127.0.0.1", token: str = "", options: dict[str, Any] | None = None
) -> ASGIApp:
    """The server as an ASGI application, guarded against foreign pages and strangers."""
    local = is_loopback(host)
    if not local and not token:
        raise ConfigurationError(
            f"the host {host!r} can be reached by others: give a token with --token-env, or serve on 127.0.0.1"
        )
    logging.getLogger("mcp").addHandler(logging.NullHandler())
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        host=host,
        # Ours is stricter; behind a name of its own the Host header is whatever that name is: there the token guards.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        **(_BOUNDS | (options or {})),
    )
    bounded = Sessions(app)
    guarded = Guarded(bounded, token=token) if token else bounded
    return Local(guarded) if local else guarded


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError, TypeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{host}:{port} cannot be listened on: {reason}") from None
    return listener
