"""What the SDK raises, alone or in groups of groups, as an exception of ``failure``."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager

import httpx2
from mcp import MCPError
from mcp.client import InputRequiredRoundsExceededError
from mcp.types import CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR
from pydantic import ValidationError

from glm_agent.mcp.failure import UNREADABLE, Lost, Refused, SessionLost, Unauthorized, Unreadable, first
from glm_agent.mcp.framing import too_long
from glm_agent.mcp.http import LOST, NOT_SENT, SESSION_LOST, UNAUTHORIZED

_EVENT_LIMIT = re.compile(r"event exceeded the (\d+) byte limit")
"""What ``httpx2`` says of an event that is too long, after the SDK has turned it into the error of a request."""


@contextmanager
def translated(is_over: Callable[[], bool]) -> Generator[None]:
    """Raises ``Lost``, ``SessionLost`` or ``Refused`` in place of whatever the block raises.

    ``is_over`` says whether the connection has ended: only then an error that says so is believed.
    """
    try:
        yield
    except Exception as error:
        raise translation(error, is_over=is_over()) from None


def translation(error: BaseException, *, is_over: bool) -> Exception:
    """The exception of ``failure`` that says the same."""
    match first(error):
        case MCPError(code=code, message=said):
            return _of_protocol(code, said, is_over=is_over)
        case Refused() as refused:
            return refused
        case ValidationError() as invalid:
            wrong = invalid.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in wrong["loc"])
            return Refused(f"its answer breaks the protocol at {place!r}: {wrong['msg']}")
        case InputRequiredRoundsExceededError():
            return Refused("it asked again and again, and was given up")
        case httpx2.HTTPStatusError(response=response):
            return Refused(f"HTTP {response.status_code} {response.reason_phrase}".strip())
        case httpx2.HTTPError() | httpx2.StreamError() | OSError() as broken:
            return Lost(f"{type(broken).__name__}: {broken}".rstrip(": "), may_have_run=False)
        case other:
            return Refused(f"{type(other).__name__}: {other}")


def _of_protocol(code: int, said: str, *, is_over: bool) -> Exception:
    if code == SESSION_LOST or (code == INVALID_REQUEST and said == "Session terminated"):
        return SessionLost(said)
    if code == UNAUTHORIZED:
        return Unauthorized(said)
    if code in (NOT_SENT, LOST):
        return Lost(said, may_have_run=code == LOST)
    if code == UNREADABLE:
        return Unreadable(said)
    if code == PARSE_ERROR and said.startswith("Failed to parse"):
        why = "it is nested too deeply" if "recursion limit" in said else "it is no message of the protocol"
        return Unreadable(f"its answer cannot be read: {why}")
    if (passed := _EVENT_LIMIT.search(said)) is not None:
        return Unreadable(too_long(int(passed[1])))
    # A server may use the same number for an error of its own: then the connection is still there.
    if code == CONNECTION_CLOSED and (is_over or said.startswith(("Connection closed", "SSE stream"))):
        return Lost("the connection was closed", may_have_run=True)
    return Refused(said)
