"""Ending what is still being answered when a server stops, so that nobody waits and nothing is logged as broken."""

from __future__ import annotations

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACE_SECONDS = 2
"""How long calls may take to end by themselves."""


class Closing:
    """Answers requests until it is told to end them: streams that only listen at once, calls after a grace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._listening = set[anyio.CancelScope]()
        self._calling = set[anyio.CancelScope]()
        self._is_over = False
        self._is_quiet = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        # A GET only listens, for as long as its client likes: nothing is lost when it is cut off at once.
        among = self._listening if scope["method"] == "GET" else self._calling
        with anyio.CancelScope() as running:
            among.add(running)
            try:
                if not self._is_over:
                    await self._app(scope, receive, answer.send)
            finally:
                among.discard(running)
                if self._is_over and not self._calling:
                    self._is_quiet.set()
        await answer.end(scope, receive)

    async def close(self) -> None:
        """End everything; from now on nothing is begun."""
        self._is_over = True
        _cancel(self._listening)
        if self._calling:
            with anyio.move_on_after(GRACE_SECONDS):
                await self._is_quiet.wait()
        _cancel(self._calling)


class _Answer:
    """One response, which is brought to its end whatever happens."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_begun = self._is_ended = False

    async def send(self, message: Message) -> None:
        self._is_begun = True
        self._is_ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self, scope: Scope, receive: Receive) -> None:
        if not self._is_begun:
            await Response("the server is closing\n", 503)(scope, receive, self._send)
        elif not self._is_ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _cancel(scopes: set[anyio.CancelScope]) -> None:
    for scope in tuple(scopes):
        scope.cancel()
