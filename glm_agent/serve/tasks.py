"""Calls that outlive their request (the tasks extension, SEP-2663): made, polled, asked, answered, cancelled.

Tasks are kept in this process, for an hour after their last change. A task's id is its only key: whoever has it may
ask for it, so it is as long and as random as a token.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import anyio
from mcp import MCPError, types
from mcp.server.mcpserver.server import require_client_extension

from glm_agent.mcp.owner import detach
from glm_agent.serve.offers import Context, Offer, Request

TASKS = "io.modelcontextprotocol/tasks"
TTL_SECONDS = 3600
POLL_MS = 500
MAX_TASKS = 1000
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
_ENDED = ("completed", "failed", "cancelled")


class TaskParams(types.RequestParams):
    """Which task."""

    task_id: str


class TaskUpdateParams(TaskParams):
    """Answers to what a task has asked."""

    input_responses: dict[str, Any] = {}  # noqa: RUF012


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Task:
    """One call that goes on without its request."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    status: Status = "working"
    created_at: str = field(default_factory=_now)
    changed_at: str = field(default_factory=_now)
    touched: float = field(default_factory=time.monotonic)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    pending: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """What the client has still to answer."""
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    answered: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def become(self, status: Status) -> None:
        self.status, self.changed_at, self.touched = status, _now(), time.monotonic()

    def shown(self) -> dict[str, Any]:
        """The task in the protocol's words."""
        return {
            "taskId": self.id,
            "status": self.status,
            "createdAt": self.created_at,
            "lastUpdatedAt": self.changed_at,
            "ttlMs": TTL_SECONDS * 1000,
            "pollIntervalMs": POLL_MS,
        }

    def detailed(self) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if self.status == "completed":
            more["result"] = self.result
        if self.status == "failed":
            more["error"] = self.error
        if self.status == "input_required":
            more["inputRequests"] = dict(self.pending)
        return {"resultType": "complete", **self.shown(), **more}

    async def ask(self, requests: Mapping[str, dict[str, Any]], /) -> Mapping[str, Any]:
        """Wait until the client has answered all of them."""
        self.answered, self.answers = anyio.Event(), {}
        self.pending = dict(requests)
        self.become("input_required")
        await self.answered.wait()
        return self.answers

    def answer(self, responses: Mapping[str, Any]) -> None:
        """Take what was asked; other keys are nobody's."""
        for key in [key for key in responses if key in self.pending]:
            del self.pending[key]
            self.answers[key] = responses[key]
        if self.status == "input_required" and not self.pending:
            self.become("working")
            self.answered.set()


class TaskStore:
    """The tasks of one server."""

    def __init__(self) -> None:
        self.kept: dict[str, Task] = {}

    def create(self, offer: Offer, context: Context, params: types.CallToolRequestParams) -> dict[str, Any]:
        """Begin a call as a task; its first state."""
        self._make_room()
        task = Task()
        self.kept[task.id] = task
        shown = task.shown()
        detach(_worker(task, offer, Request(context=context, params=params, ask=task.ask)), name=f"task {task.id[:8]}")
        return {"resultType": "task", **shown}

    async def get(self, context: Context, params: TaskParams) -> dict[str, Any]:
        return self._found(context, params).detailed()

    async def update(self, context: Context, params: TaskUpdateParams) -> dict[str, Any]:
        self._found(context, params).answer(params.input_responses)
        return {"resultType": "complete"}

    async def cancel(self, context: Context, params: TaskParams) -> dict[str, Any]:
        task = self._found(context, params)
        if task.status not in _ENDED:
            task.become("cancelled")
            task.scope.cancel()
        return {"resultType": "complete"}

    def _found(self, context: Context, params: TaskParams) -> Task:
        """The task that is meant. Raises ``MCPError`` as the extension wants it."""
        require_client_extension(context, TASKS)
        _check_header(context, params.task_id)
        self._forget()
        task = self.kept.get(params.task_id)
        if task is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown task: {params.task_id[:100]}")
        return task

    def _forget(self) -> None:
        """Drop what has ended long ago."""
        limit = time.monotonic() - TTL_SECONDS
        for task in self._ended():
            if task.touched < limit:
                del self.kept[task.id]

    def _make_room(self) -> None:
        """Drop what has ended, the longest ago first, as far as there is need. Raises ``MCPError`` if all still run."""
        self._forget()
        for task in self._ended()[: max(0, len(self.kept) - MAX_TASKS + 1)]:
            del self.kept[task.id]
        if len(self.kept) >= MAX_TASKS:
            raise MCPError(types.INTERNAL_ERROR, f"{MAX_TASKS} tasks are running: try again later")

    def _ended(self) -> list[Task]:
        return sorted((task for task in self.kept.values() if task.status in _ENDED), key=lambda task: task.touched)


def _worker(task: Task, offer: Offer, request: Request) -> Callable[[], Any]:
    async def work() -> None:
        with task.scope:
            try:
                result = await offer.run(request)
                task.result = result.model_dump(mode="json", by_alias=True, exclude_none=True)
                status: Status = "completed"
            except MCPError as error:
                task.error = error.error.model_dump(mode="json", by_alias=True, exclude_none=True)
                status = "failed"
            except Exception:
                task.error = {"code": types.INTERNAL_ERROR, "message": "Internal error"}
                status = "failed"
            if task.status != "cancelled":
                task.become(status)

    return work


def offers_tasks(context: Context) -> bool:
    """Whether the client of this request knows tasks."""
    try:
        require_client_extension(context, TASKS)
    except MCPError:
        return False
    return True


def missing() -> MCPError:
    """What a tool that only runs as a task says to a client that knows none."""
    data: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    return MCPError(MISSING_CAPABILITY, f"the tool runs as a task only: declare the extension {TASKS!r}", data)


def _check_header(context: Context, task_id: str) -> None:
    """Over HTTP, what a router reads and what we read must be the same."""
    headers = getattr(context.request, "headers", None)
    if headers is not None and headers.get("mcp-name") != task_id:
        raise MCPError(HEADER_MISMATCH, "the header Mcp-Name must be the task's id")
