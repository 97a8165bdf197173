"""Tasks as protocol 2025-11-25 has them: the client asks for one with the call, polls it, and fetches its result.

Imports the SDK, which has the words of this and not the deeds. Delete it when nobody speaks that protocol any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import MCPError, types
from mcp.client.session import ClientSession
from mcp.types import ServerCapabilities, Tool
from pydantic import ConfigDict

from glm_agent.mcp.callbacks import Progress
from glm_agent.mcp.handle import TaskHandle
from glm_agent.messages import JsonObject

MIN_POLL_SECONDS = 0.05
MAX_POLL_SECONDS = 30.0
"""Between these a server chooses how often it is asked."""

TTL_MS = 24 * 60 * 60 * 1000
"""For how long we ask a server to keep a task: a process that is started again must still find it."""

_ENDED = ("completed", "failed", "cancelled", "input_required")
"""Where the result is asked for: a server that has a question puts it while it is waited for."""


class _Params(types.RequestParams):
    task_id: str


class _Request(types.Request[_Params, str]):
    method: str = ""


class _Payload(types.Result):
    model_config = ConfigDict(extra="allow")


class _State(types.Result):
    status: str
    status_message: str | None = None
    poll_interval: float | None = None


def is_asked_for(tool: Tool | None, server: ServerCapabilities, *, is_wanted: bool) -> bool:
    """Whether a call of the tool is asked for as a task: where it must be, and where it may be and that is wanted."""
    requests = server.tasks.requests if server.tasks is not None else None
    if tool is None or tool.execution is None or requests is None or requests.tools is None:
        return False
    support = tool.execution.task_support
    return requests.tools.call is not None and (support == "required" or (support == "optional" and is_wanted))


async def start(
    session: ClientSession,
    name: str,
    arguments: dict[str, Any],
    *,
    progress: Progress | None,
    meta: dict[str, Any] | None,
) -> types.CallToolResult:
    """Begin the call as a task; the result carries it (``normalize.TASK``), or is one of a server that did not."""
    params = types.CallToolRequestParams.model_validate(
        {"name": name, "arguments": arguments, "task": {"ttl": TTL_MS}, "_meta": meta}
    )
    request = types.CallToolRequest(params=params)
    return await session.send_request(request, types.CallToolResult, progress_callback=progress)


async def polled(session: ClientSession, task: TaskHandle, say: Callable[[str], Awaitable[None]]) -> JsonObject:
    """The result of the task, as it came. Raises ``MCPError``."""
    params = _Params(task_id=task.task_id)
    wait, limit, said = MIN_POLL_SECONDS, seconds(task.poll_interval_ms), ""
    while True:
        await anyio.sleep(wait)
        # The first questions come quickly: most calls end before the server wants to be asked at all.
        wait = min(2 * wait, limit)
        state = await session.send_request(_Request(method="tasks/get", params=params), _State)
        limit = seconds(state.poll_interval) if state.poll_interval is not None else limit
        if state.status_message and state.status_message != said:
            said = state.status_message
            await say(said)
        if state.status in _ENDED:
            break
    if state.status == "cancelled":
        raise MCPError(types.INTERNAL_ERROR, "the server cancelled the task")
    payload = await session.send_request(_Request(method="tasks/result", params=params), _Payload)
    return dict(payload.model_extra or {})


async def cancel(session: ClientSession, task: TaskHandle) -> None:
    """Tell the server that nobody waits any more."""
    await session.send_request(_Request(method="tasks/cancel", params=_Params(task_id=task.task_id)), _Payload)


def seconds(milliseconds: float | None) -> float:
    """How long a server wants to be left alone, within bounds."""
    return min(max((500 if milliseconds is None else milliseconds) / 1000, MIN_POLL_SECONDS), MAX_POLL_SECONDS)
