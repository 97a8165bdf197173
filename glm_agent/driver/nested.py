"""Calls that a tool makes: other tools of the run, under the same permissions, budget, events and journal.

A nested call is no part of the conversation. The journal keeps it beside the facts, the observers see it
start and end, and the calling tool gets the whole of its result, since only the model's view needs bounds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from glm_agent.driver.keys import intent_key, nested_key
from glm_agent.driver.steps import Intent, NestedCall, Record, Steps
from glm_agent.errors import ToolError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    OutcomeUnknown,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolSpec,
    ToolStarted,
    TurnStopped,
)
from glm_agent.registry import Outcome, ToolContext, Tools

Approve: TypeAlias = Callable[[ApprovalRequested], Awaitable[ApprovalDecision | None]]

_MAX_CALLS = 1_000
"""Nested calls of one call; a loop without an end stops there."""


class NestingTools:
    """Another ``Tools`` whose tools may call each other with ``context.call_tool``, one level deep."""

    def __init__(self, tools: Tools, *, steps: Steps, approve: Approve | None = None) -> None:
        self._tools, self._steps, self._approve = tools, steps, approve

    async def specs(self) -> tuple[ToolSpec, ...]:
        return await self._tools.specs()

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        return await self._tools.permit(call, context)

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        """Run it. Where a nested call stopped the turn, that is the answer."""
        nest = _Nest(self._tools, context, steps=self._steps, approve=self._approve)
        context.caller = nest.call
        answer = await self._tools.call(call, context)
        if nest.is_untrusted and isinstance(answer, ToolResult):
            answer = replace(answer, is_untrusted=True)
        return nest.stopped or answer


class _Nest:
    """The nested calls of one call."""

    def __init__(self, tools: Tools, outer: ToolContext, *, steps: Steps, approve: Approve | None) -> None:
        self._tools, self._outer, self._steps, self._approve = tools, outer, steps, approve
        self._count = 0
        self.stopped: TurnStopped | OutcomeUnknown | None = None
        self.is_untrusted = False
        """Whether a nested result may hold text of strangers: then so may what was made of it."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        if self.stopped is not None:
            raise self._ended(self.stopped)
        if self._count >= _MAX_CALLS:
            raise ToolError(f"{_MAX_CALLS} calls were made, which is the limit of one program")
        self._count += 1
        call = ToolCall(id=f"{self._outer.call.id}.{self._count}", name=name, arguments=_json(arguments))
        context = self._context(call)
        # An earlier process came so far with the same call: what it got holds, or a finished write would run twice.
        finished = self._steps.nested(context.idempotency_key)
        return await self._permitted(call, context) if finished is None else self._got(finished.result)

    def _context(self, call: ToolCall) -> ToolContext:
        outer = self._outer
        return ToolContext(
            call=call,
            deps=outer.deps,
            session=outer.session,
            idempotency_key=nested_key(outer.idempotency_key, call, place=self._count),
            messages=outer.messages,
            granted=outer.granted,
            is_tainted=outer.is_tainted or self.is_untrusted,
            attempt=outer.attempt,
            emit=outer.emit,
            asker=outer.asker,
            handles=outer.handles,
        )

    async def _permitted(self, call: ToolCall, context: ToolContext) -> ToolResult:
        refused = await self._tools.permit(call, context)
        if isinstance(refused, ApprovalRequested):
            refused = await self._decided(refused, context)
            if refused is None:
                call = context.call
                refused = await self._tools.permit(call, context)
        return await self._run(call, context) if refused is None else self._settled(refused, call)

    async def _decided(self, request: ApprovalRequested, context: ToolContext) -> ToolResult | None:
        """What the person says to it; a program cannot wait for somebody who is not there."""
        with self._outer.bound.paused() if self._outer.bound is not None else nullcontext():
            decision = await self._approve(request) if self._approve is not None else None
        if decision is None:
            said = f"{request.name!r} waits for a person's approval, which a program cannot: call it directly"
            return _error(context.call, said)
        if not decision.is_approved:
            return _error(context.call, f"denied: {decision.reason}" if decision.reason else "denied")
        context.approval = decision
        if decision.arguments is not None:
            context.call = replace(context.call, arguments=decision.arguments)
        return None

    async def _run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        key, holder = context.idempotency_key, self._steps.holder
        if await self._effect(call) == "write":
            intent = Intent(
                key=intent_key(key, attempt=context.attempt), call_id=call.id, name=call.name, holder=holder
            )
            kept = await self._keep(intent)
            context.was_started = isinstance(kept, Intent) and kept.holder != holder
        whole: list[str | bytes] = []
        context.keep = partial(_hold, whole)
        started = time.monotonic()
        context.emit(ToolStarted(call=call))
        answer = await self._tools.call(call, context)
        result = self._settled(answer, call)
        if whole:
            text = whole[0]
            result = replace(result, content=text if isinstance(text, str) else text.decode(errors="replace"))
        context.emit(ToolFinished(result=result, duration_seconds=time.monotonic() - started))
        await self._keep(NestedCall(key=key, parent_key=self._outer.idempotency_key, call=call, result=result))
        return self._got(result)

    def _got(self, result: ToolResult) -> ToolResult:
        self.is_untrusted = self.is_untrusted or result.is_untrusted
        return result

    def _settled(self, answer: Outcome, call: ToolCall) -> ToolResult:
        match answer:
            case ToolResult():
                return answer
            case TurnStopped():
                self.stopped = answer
            case OutcomeUnknown():
                # What a person can decide about is the call of the conversation: the program as a whole.
                outer, reason = self._outer.call, f"within it, {answer.name!r} was called: {answer.reason}"
                self.stopped = replace(
                    answer, call_id=outer.id, name=outer.name, arguments=outer.arguments, reason=reason
                )
            case ApprovalRequested():
                return _error(call, f"{call.name!r} asked for approval while it ran: call it directly")
        raise self._ended(self.stopped)

    def _ended(self, stopped: TurnStopped | OutcomeUnknown) -> ToolError:
        why = stopped.detail if isinstance(stopped, TurnStopped) else stopped.reason
        return ToolError(f"the turn has ended: {why}")

    async def _effect(self, call: ToolCall) -> str:
        return next((spec.effect for spec in await self._tools.specs() if spec.name == call.name), "write")

    async def _keep(self, record: Record) -> Record:
        async def same() -> Record:
            return record

        return await self._steps.reserve().run(same)


def _hold(held: list[str | bytes], text: str | bytes) -> str:
    held.append(text)
    return ""


def _json(arguments: Mapping[str, Any]) -> str:
    from pydantic_core import to_json

    try:
        return to_json(dict(arguments)).decode()
    except ValueError:
        # Half an emoji, or what only Python has: the tool says what is wrong with it.
        return json.dumps(dict(arguments), default=repr)


def _error(call: ToolCall, said: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=said, is_error=True)
