"""What every endpoint does with a request: who asks, what the body holds, and how a refusal is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from glm_agent.simulate.json_values import JsonObject, is_object
from glm_agent.simulate.service import authenticate
from glm_agent.simulate.service_rules import Refused

Handler: TypeAlias = Callable[[Any, Request], Coroutine[Any, Any, Response]]
Bound: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]

CREATED = 1_763_740_800
"""When everything was made, in seconds since 1970: tests can tell."""


def answered(handler: Handler) -> Handler:
    """An endpoint that knows who asks, and whose refusals are answers."""

    @wraps(handler)
    async def answer(self: Any, request: Request) -> Response:
        try:
            authenticate(request.headers)
            return await handler(self, request)
        except Refused as refused:
            return JSONResponse(refused.body, status_code=refused.status)

    return answer


def routes(prefix: str, *table: tuple[str, str, Bound]) -> Iterator[Route]:
    """The routes below a prefix, from paths, methods and what answers them."""
    for path, method, handler in table:
        yield Route(prefix + path, handler, methods=[method])


class Ids:
    """Names of what a server makes, in the order in which it is made."""

    def __init__(self) -> None:
        self._made = 0

    def next(self) -> str:
        """A new one."""
        self._made += 1
        return f"20261122{self._made:06}{hashlib.sha256(str(self._made).encode()).hexdigest()[:16]}"


async def body_of(request: Request, *required: str) -> JsonObject:
    """The object in a request's body. Raises ``Refused`` where it is none, or lacks what is required."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not is_object(body):
        raise Refused(400, "1210", "The request body must be a JSON object")
    for name in required:
        if body.get(name) in (None, ""):
            raise Refused(400, "1213", f"The parameter '{name}' was not received")
    return body


def illegal(name: str) -> Refused:
    """What is said of a parameter that is there and wrong."""
    return Refused(400, "1214", f"The parameter '{name}' is illegal")


def written(body: JsonObject) -> Response:
    """An answer with this body."""
    return JSONResponse(body)
