"""What a server offers, one entry a tool: its definition, what runs it, and whether it may run as a task."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp import types
from mcp.server.context import ServerRequestContext

from glm_agent.messages import (
    ApprovalRequested,
    Event,
    OutcomeUnknown,
    ToolCall,
    ToolProgress,
    ToolResult,
    ToolSpec,
    TurnStopped,
)
from glm_agent.registry import ToolContext, Tools
from glm_agent.serve.results import read_result

Context = ServerRequestContext[Any, Any]
Outcome = types.CallToolResult | types.InputRequiredResult
TaskSupport = Literal["never", "may", "must"]


class Ask(Protocol):
    """Has the client answer questions, each under a key of ours, while the call waits."""

    async def __call__(self, requests: Mapping[str, dict[str, Any]], /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One call of a tool, as its client sent it."""

    context: Context
    params: types.CallToolRequestParams
    ask: Ask | None = None
    """There for a call that runs as a task."""

    @property
    def arguments(self) -> dict[str, Any]:
        return self.params.arguments or {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One tool."""

    tool: types.Tool
    run: Callable[[Request], Awaitable[Outcome]]
    tasks: TaskSupport = "never"
    before: Callable[[Request], types.InputRequiredResult | None] | None = None
    """What has to be asked before the call can become a task; None when everything is known."""


async def offers(tools: Tools, *, tasks: Callable[[str], TaskSupport]) -> dict[str, Offer]:
    """The tools of a registry, under their names and in their order."""
    return {spec.name: _offer(tools, spec, tasks(spec.name)) for spec in await tools.specs()}


def _offer(tools: Tools, spec: ToolSpec, support: TaskSupport) -> Offer:
    hints = types.ToolAnnotations(read_only_hint=spec.effect == "read", idempotent_hint=spec.effect != "write")
    tool = types.Tool(
        name=spec.name, description=spec.description, input_schema=dict(spec.parameters), annotations=hints
    )

    async def run(request: Request) -> Outcome:
        return await _run(tools, request)

    return Offer(tool=tool, run=run, tasks=support)


async def _run(tools: Tools, request: Request) -> types.CallToolResult:
    """Permit and run one call, its progress sent on as it comes."""
    call = ToolCall(
        id=f"mcp_{request.context.request_id}", name=request.params.name, arguments=json.dumps(request.arguments)
    )
    sender, receiver = anyio.create_memory_object_stream[ToolProgress](64)

    def emit(event: Event) -> None:
        if isinstance(event, ToolProgress):
            try:
                sender.send_nowait(event)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # Progress is for eyes: a client that reads too slowly misses some.

    result = ToolResult(call_id=call.id)
    with receiver:
        async with anyio.create_task_group() as group:
            # A task has outlived the request that progress would go with.
            group.start_soon(_forward, receiver, request.context if request.ask is None else None)
            with sender:
                result = await _outcome(tools, call, ToolContext(call=call, emit=emit))
    return read_result(result)


async def _outcome(tools: Tools, call: ToolCall, context: ToolContext) -> ToolResult:
    outcome = await tools.permit(call, context) or await tools.call(call, context)
    return outcome if isinstance(outcome, ToolResult) else _refusal(outcome)


async def _forward(progress: MemoryObjectReceiveStream[ToolProgress], context: Context | None) -> None:
    seen = 0.0
    async for event in progress:
        if context is None:
            continue
        # The protocol wants a number that only grows.
        seen = event.done if event.done is not None and event.done >= seen else seen + 1
        await context.session.report_progress(seen, event.total, event.text or None)


def _refusal(outcome: ApprovalRequested | OutcomeUnknown | TurnStopped) -> ToolResult:
    """Nobody is here to approve: what would ask is refused."""
    if isinstance(outcome, ApprovalRequested):
        said = f"the call needs the approval of a person, which an MCP client cannot give: {outcome.reason}"
    elif isinstance(outcome, OutcomeUnknown):
        said = f"unknown outcome: {outcome.reason}"
    else:
        said = f"the call was not run: {outcome.detail or outcome.stop_reason}"
    return ToolResult(call_id="", content=said, is_error=True)
