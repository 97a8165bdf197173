"""Serving over standard input and output, and over streamable HTTP: loopback, unless a token guards the door."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    import uvicorn

PATH = "/mcp"
_CLOSE_SECONDS = 3


async def serve_stdio(server: Server[Any]) -> None:
    """Speak on standard input and output until the input ends."""
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


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

    app = http_app(server, host=host, token=token, options=options)
    listener = _bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    on_ready(f"http://{shown}:{listener.getsockname()[1]}{PATH}")
    config = uvicorn.Config(
        app,
        http="h11",  # httptools, which uvicorn takes where it is installed, leaves white space around headers' values
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
    running = uvicorn.Server(config)
    with listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_when_cancelled, running)
            # Cut off, it would leave its connections open; told to stop, it closes them within its bound.
            with anyio.CancelScope(shield=True):
                await running.serve(sockets=[listener])
            tasks.cancel_scope.cancel()


async def _stop_when_cancelled(running: uvicorn.Server) -> None:
    try:
        await anyio.sleep_forever()
    finally:
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
    names = ["127.0.0.1", "localhost", "[::1]"] if local else [host]
    security = TransportSecuritySettings(
        # Behind a name of its own the Host header is whatever that name is: there the token is the guard.
        enable_dns_rebinding_protection=local,
        allowed_hosts=[pattern for name in names for pattern in (name, f"{name}:*")],
        allowed_origins=[
            f"{scheme}://{name}{end}" for scheme in ("http", "https") for name in names for end in ("", ":*")
        ],
    )
    app = server.streamable_http_app(
        streamable_http_path=PATH, host=host, transport_security=security, **(options or {})
    )
    return Guarded(app, token=token) if token else app


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guarded:
    """Lets nobody in without the token."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_known(scope):
            said = {"error": "unauthorized", "error_description": "a bearer token is needed"}
            await JSONResponse(said, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise ConfigurationError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from None
    return listener
