"""Sessions of the older protocol, bounded: a new one is never refused because of others that were left without a word.

Newer clients have no sessions. An ASGI wrapper that sees sessions come and go by their header alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_SESSIONS = 500
"""About 40 kB each."""

_HEADER = b"mcp-session-id"


class Sessions:
    """Ends the session that was used longest ago, and is not in use, when there are too many."""

    def __init__(self, app: ASGIApp, *, limit: int = MAX_SESSIONS) -> None:
        self._app, self._limit = app, limit
        self._known: dict[bytes, None] = {}
        """The ids, the one that was used last at the end."""
        self._requests = Counter[bytes]()
        """How many requests of each are being answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = _session(scope["headers"])
        begun: list[bytes] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and (new := _session(message["headers"])):
                self._use(new)
                begun.append(new)
            await send(message)

        self._requests[session] += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            self._requests[session] -= 1
            if not self._requests[session]:
                del self._requests[session]
        if scope["method"] == "DELETE":
            self._known.pop(session, None)
        elif begun and not session:  # only a request without a session can have added one
            await self._make_room(scope)

    def _use(self, session: bytes) -> None:
        self._known.pop(session, None)
        self._known[session] = None

    async def _make_room(self, scope: Scope) -> None:
        idle = [session for session in self._known if not self._requests[session]]
        for session in idle[: max(0, len(self._known) - self._limit)]:
            del self._known[session]
            await self._end(session, scope)

    async def _end(self, session: bytes, scope: Scope) -> None:
        """As its client would have ended it: with a request of its own."""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_message: Message) -> None:
            return

        headers = [(b"host", b"localhost"), (b"accept", b"application/json"), (_HEADER, session)]
        await self._app({**scope, "method": "DELETE", "headers": headers, "state": {}}, receive, send)


def _session(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return next((value for name, value in headers if name.lower() == _HEADER), b"")
