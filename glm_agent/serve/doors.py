"""Who may come in: only this machine's own programs and pages, or whoever has the token. ASGI wrappers."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_HERE = rb"(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d{1,5})?"
_HOST = re.compile(_HERE, re.IGNORECASE)
_ORIGIN = re.compile(rb"https?://" + _HERE, re.IGNORECASE)


class Local:
    """Lets in what was sent to a name of this machine, and by no page from elsewhere.

    A page whose name was made to lead here (DNS rebinding) sends its own name as Host, and any page its Origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            return PlainTextResponse("Invalid Host header", 421)
        if origins and (len(origins) != 1 or not _ORIGIN.fullmatch(origins[0])):
            return PlainTextResponse("Invalid Origin header", 403)
        return None


class Guarded:
    """Lets nobody in without the token."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_known = scope["type"] != "http" or self._is_known(scope)
        await (self._app if is_known else _unauthorized())(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = _values(scope, b"authorization")
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"


def _unauthorized() -> Response:
    said = b'{"error": "unauthorized", "error_description": "a bearer token is needed"}'
    return Response(said, 401, {"WWW-Authenticate": "Bearer"}, media_type="application/json")


def _values(scope: Mapping[str, list[tuple[bytes, bytes]]], name: bytes) -> list[bytes]:
    """Every value of a header, which stands under its name in small letters."""
    return [value for header, value in scope["headers"] if header == name]
