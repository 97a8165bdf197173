"""How a task of a server is found again, as data: what is kept so that it outlives this process. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from glm_agent.messages import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskHandle:
    """A task on its server."""

    task_id: str = field(repr=False)
    """Whoever knows it may ask for the task: it is kept like a token."""
    is_modern: bool = True
    """Whether it was made in protocol 2026-07-28 or later."""
    poll_interval_ms: int | None = None


def to_json(task: TaskHandle, *, server: str) -> JsonObject:
    """The task and the ``server`` that has it."""
    return {
        "server": server,
        "task_id": task.task_id,
        "is_modern": task.is_modern,
        "poll_interval_ms": task.poll_interval_ms,
    }


def from_json(data: Any, *, server: str) -> TaskHandle | None:
    """The task that ``to_json`` wrote; None where it is another server's, or no task."""
    match data:
        case {"server": kept, "task_id": str(task_id), "is_modern": bool(is_modern)} if kept == server:
            interval = data.get("poll_interval_ms")
            return TaskHandle(
                task_id=task_id,
                is_modern=is_modern,
                poll_interval_ms=interval if isinstance(interval, int) else None,
            )
        case _:
            return None
