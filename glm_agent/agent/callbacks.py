"""The functions an agent is given, checked on arrival: what could not be called or awaited is a sentence here."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, TypeVar, cast

from glm_agent.agent.names import listed
from glm_agent.driver import Approver, Observer
from glm_agent.errors import ConfigurationError
from glm_agent.messages import ApprovalDecision, ApprovalRequested
from glm_agent.models.view import ContextPolicy

_Function = TypeVar("_Function", bound=Callable[..., Any])

Approving: TypeAlias = Callable[[ApprovalRequested], Awaitable[ApprovalDecision | bool | None]]
"""Asks a person about a call. True and False are decisions on this call alone; None: nobody is there."""


def observers(given: Iterable[Observer]) -> tuple[Observer, ...]:
    """Plain functions that see every event."""
    return tuple(_plain(one, argument="observers") for one in listed(given, argument="observers"))


def context(given: ContextPolicy | None) -> ContextPolicy | None:
    """A plain function on the messages of a request."""
    return None if given is None else _plain(given, argument="context")


def approver(given: Approving | None) -> Approver | None:
    """What the driver asks: a decision for True and False, an error for what is none."""
    if given is None:
        return None
    _callable(given, argument="approve")

    async def approve(request: ApprovalRequested) -> ApprovalDecision | None:
        answer: Any = given(request)
        said = await answer if inspect.isawaitable(answer) else answer
        if isinstance(said, bool):
            return ApprovalDecision(call_id=request.call_id, is_approved=said)
        if said is None or isinstance(said, ApprovalDecision):
            return said
        raise ConfigurationError(
            f"approve= said {said!r} about the call of {request.name!r}: return True, False, None where nobody is "
            "there, or an ApprovalDecision"
        )

    return approve


def asker(given: Any) -> Any:
    """An async function from a question to its answer."""
    return None if given is None else _callable(given, argument="ask")


def _plain(given: Any, *, argument: str) -> Any:
    if _is_async(_callable(given, argument=argument)):
        raise ConfigurationError(f"{argument}= takes plain functions, and got {given!r}: write 'def' without 'async'")
    return given


def _callable(given: _Function, *, argument: str) -> _Function:
    if not callable(given):
        raise ConfigurationError(f"{argument}= takes a function, and got {given!r}")
    return given


def _is_async(function: Callable[..., Any]) -> bool:
    own = cast("Any", type(function)).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)
