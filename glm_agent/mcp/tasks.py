"""Calls that a server runs as tasks (SEP-2663): polled until they end, asked questions answered on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import anyio
from mcp import MCPError, types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession

from glm_agent.mcp.peer import Peer

TASKS = "io.modelcontextprotocol/tasks"
MIN_POLL_SECONDS = 0.05
MAX_POLL_SECONDS = 30.0
"""Between these a server chooses how often it is asked."""

_CANCEL_SECONDS = 2.0


class CreatedTask(types.Result):
    """What a server says that runs a call as a task."""

    result_type: Literal["task"] = "task"
    task_id: str
    poll_interval_ms: int | None = None


class _State(types.Result):
    status: str
    status_message: str | None = None
    poll_interval_ms: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    input_requests: dict[str, dict[str, Any]] | None = None


class _Params(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class _Get(types.Request[_Params, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str = "tasks/get"


class _Update(types.Request[_Params, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str = "tasks/update"


class _Cancel(types.Request[_Params, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str = "tasks/cancel"


class Tasks(ClientExtension):
    """Lets a server run calls as tasks."""

    identifier = TASKS

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def claims(self) -> tuple[ResultClaim[Any], ...]:
        """The one shape of a result that is a task."""
        return (ResultClaim(result_type="task", model=CreatedTask, resolve=self._resolve),)

    async def _resolve(self, created: CreatedTask, context: ClaimContext) -> types.CallToolResult:
        """The result, when there is one. A caller that gives up has the task cancelled."""
        try:
            return await self._polled(created, context.session)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
                await context.session.send_request(_Cancel(params=_Params(task_id=created.task_id)), types.Result)
            raise

    async def _polled(self, created: CreatedTask, session: ClientSession) -> types.CallToolResult:
        params = _Params(task_id=created.task_id)
        answered = set[str]()
        wait = created.poll_interval_ms
        while True:
            await anyio.sleep(_seconds(wait))
            state = await session.send_request(_Get(params=params), _State)
            wait = state.poll_interval_ms if state.poll_interval_ms is not None else wait
            match state.status:
                case "completed":
                    return types.CallToolResult.model_validate(state.result or {"content": []})
                case "failed":
                    raise _failure(state)
                case "cancelled":
                    raise MCPError(types.INTERNAL_ERROR, "the server cancelled the task")
                case "input_required":
                    await self._answer(session, created.task_id, state.input_requests or {}, answered)
                case _:
                    pass

    async def _answer(
        self, session: ClientSession, task_id: str, requests: Mapping[str, dict[str, Any]], answered: set[str]
    ) -> None:
        """Answer what is new; what is asked again was answered already, and the server is slow to see it."""
        new = {key: request for key, request in requests.items() if key not in answered}
        if not new:
            return
        responses = {key: await self._peer.respond(request) for key, request in new.items()}
        answered |= set(new)
        params = _Params(task_id=task_id, input_responses=responses)
        await session.send_request(_Update(params=params), types.Result)


def _seconds(milliseconds: int | None) -> float:
    return min(max((milliseconds or 500) / 1000, MIN_POLL_SECONDS), MAX_POLL_SECONDS)


def _failure(state: _State) -> MCPError:
    error = state.error or {}
    code = error.get("code")
    said = str(error.get("message") or state.status_message or "the task failed")
    return MCPError(code if isinstance(code, int) else types.INTERNAL_ERROR, said)
