"""Calls that a server runs as tasks: recognised, polled until they end, asked questions answered, cancelled.

Protocol 2026-07-28 has them as an extension (SEP-2663): the server decides, and answers a call with a task. In
2025-11-25 the client asks for a task with the call (``legacy_tasks``). In both a task is known by its id alone, so a
later process that knows the id can wait for it too. Imports the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import anyio
from mcp import MCPError, types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession

from glm_agent.mcp import legacy_tasks, normalize, sanitize
from glm_agent.mcp.callbacks import Progress
from glm_agent.mcp.failure import UnknownTask
from glm_agent.mcp.handle import TaskHandle
from glm_agent.mcp.legacy_tasks import seconds
from glm_agent.mcp.peer import Peer
from glm_agent.messages import JsonObject

TASKS = "io.modelcontextprotocol/tasks"

_CANCEL_SECONDS = 2.0
"""For telling the server; whoever cancelled is waiting meanwhile."""


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

    def claims(self) -> tuple[ResultClaim[Any], ...]:
        """The one shape of a result that is a task."""
        return (ResultClaim(result_type="task", model=CreatedTask, resolve=_carried),)


async def _carried(created: CreatedTask, context: ClaimContext) -> types.CallToolResult:  # noqa: ARG001
    task = {"taskId": created.task_id, "pollInterval": created.poll_interval_ms}
    return types.CallToolResult(content=[], _meta={normalize.TASK: task})


def created(result: types.CallToolResult, *, is_modern: bool) -> TaskHandle | None:
    """The task that a result stands for; None for a result that is one."""
    carried = (result.meta or {}).get(normalize.TASK)
    if not isinstance(carried, dict):
        return None
    task = cast(JsonObject, carried)
    interval = task.get("pollInterval")
    return TaskHandle(
        task_id=str(task.get("taskId")),
        is_modern=is_modern,
        poll_interval_ms=interval if isinstance(interval, int) else None,
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """Waits for one task on one session."""

    task: TaskHandle
    session: ClientSession
    peer: Peer
    progress: Progress | None = None

    async def result(self) -> types.CallToolResult:
        """The result, when there is one. Who gives up has the task cancelled.

        Raises ``MCPError``, and ``UnknownTask`` where the server has no such task (any more).
        """
        try:
            return _checked(await (self._polled() if self.task.is_modern else self._polled_legacy()))
        except MCPError as error:
            if error.code == types.INVALID_PARAMS:
                raise UnknownTask(error.message) from None
            raise
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
                await self._cancel()
            raise

    async def _cancel(self) -> None:
        if self.task.is_modern:
            await self.session.send_request(_Cancel(params=_Params(task_id=self.task.task_id)), types.Result)
        else:
            await legacy_tasks.cancel(self.session, self.task)

    async def _polled_legacy(self) -> JsonObject:
        return await legacy_tasks.polled(self.session, self.task, self._say)

    async def _polled(self) -> JsonObject:
        params = _Params(task_id=self.task.task_id)
        answered = set[str]()
        wait, said = self.task.poll_interval_ms, ""
        while True:
            await anyio.sleep(seconds(wait))
            state = await self.session.send_request(_Get(params=params), _State)
            wait = state.poll_interval_ms if state.poll_interval_ms is not None else wait
            if state.status_message and state.status_message != said:
                said = state.status_message
                await self._say(said)
            match state.status:
                case "completed":
                    return state.result or {}
                case "failed":
                    raise _failure(state)
                case "cancelled":
                    raise MCPError(types.INTERNAL_ERROR, "the server cancelled the task")
                case "input_required":
                    await self._answer(state.input_requests or {}, answered)
                case _:
                    pass

    async def _answer(self, requests: Mapping[str, dict[str, Any]], answered: set[str]) -> None:
        """Answer what is new; what is asked again was answered already, and the server is slow to see it."""
        new = {key: request for key, request in requests.items() if key not in answered}
        if not new:
            return
        responses = {key: await self.peer.respond(request) for key, request in new.items()}
        answered |= set(new)
        params = _Params(task_id=self.task.task_id, input_responses=responses)
        await self.session.send_request(_Update(params=params), types.Result)

    async def _say(self, said: str) -> None:
        """Show the words of the server about its task as the progress of the call."""
        if self.progress is not None:
            await self.progress(0, None, sanitize.description(said, limit=200))


def _checked(result: JsonObject) -> types.CallToolResult:
    """The result with its faults repaired: it came past the repairs of the transport."""
    found: JsonObject = {"content": [], **result}
    normalize.repair_result("tools/call", found, is_modern=True, is_valid=_is_valid)
    return types.CallToolResult.model_validate(found)


def _is_valid(candidate: JsonObject) -> bool:
    try:
        types.CallToolResult.model_validate(candidate)
    except ValueError:
        return False
    return True


def _failure(state: _State) -> MCPError:
    error = state.error or {}
    code = error.get("code")
    said = str(error.get("message") or state.status_message or "the task failed")
    return MCPError(code if isinstance(code, int) else types.INTERNAL_ERROR, said)
