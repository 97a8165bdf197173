"""Turns by the clock: cron expressions in the database, of which each moment puts one turn into a queue.

Whichever worker's clock is first does it; the moment is the run's name, so that two workers do not do it twice.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import croniter  # type: ignore[import-untyped]
from dbos import DBOS

from glm_agent.durable import engine as engines
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.queue import QUEUE, TurnQueue, TurnSpec
from glm_agent.durable.rows import runs_of
from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject

SCHEDULED: Final = "glm_agent.scheduled"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A turn that is put into a queue again and again."""

    name: str
    cron: str
    """Five fields (minute, hour, day, month, weekday), or six with seconds in front."""
    timezone: str = "UTC"
    """What the fields are in, such as ``Europe/Berlin``."""
    queue: str = QUEUE
    prompt: str | None = None
    task: str = ""
    """The task file; read when a worker begins the turn."""
    options: JsonObject = field(default_factory=dict[str, Any])
    """What the worker makes an agent of: the options of ``glm-agent run``."""
    last: str = ""
    """The moment it was put into the queue for last, as ISO 8601; empty before the first."""

    def next(self, *, now: datetime) -> datetime:
        """The next moment after ``now``."""
        moments = croniter(self.cron, now.astimezone(ZoneInfo(self.timezone)), second_at_beginning=True)
        found: datetime = moments.get_next(datetime)
        return found


class Schedules:
    """The schedules in a database."""

    def __init__(self, url: str) -> None:
        self._database = Database(Address.parse(url))

    def add(self, schedule: Schedule) -> None:
        """One more. Raises ``ConfigurationError`` for what cannot be one, or where its name is taken."""
        _check(schedule)
        self._database.prepare()
        if any(each.name == schedule.name for each in self.all()):
            raise ConfigurationError(
                f"there is a schedule '{schedule.name}' already: remove it first, or give this one another name"
            )
        context = {"prompt": schedule.prompt, "task": schedule.task, "options": schedule.options}
        with self._database.explained():
            self._database.client.create_schedule(
                schedule_name=schedule.name,
                workflow_name=SCHEDULED,
                schedule=schedule.cron,
                cron_timezone=schedule.timezone,
                queue_name=schedule.queue,
                context={**context, "name": schedule.name, "queue": schedule.queue},
            )

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        if not self._database.exists:
            return []
        self._database.prepare()
        with self._database.explained():
            found = self._database.client.list_schedules(workflow_name=SCHEDULED)
        return sorted(map(_schedule, found), key=lambda each: each.name)

    def remove(self, name: str) -> None:
        """Raises ``ConfigurationError`` where there is none. Turns that wait already stay."""
        names = [each.name for each in self.all()]
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(names) or 'none'}"
            raise ConfigurationError(f"there is no schedule '{name}': {hint}")
        with self._database.explained():
            self._database.client.delete_schedule(name)

    def close(self) -> None:
        self._database.close()


@DBOS.workflow(name=SCHEDULED)
async def scheduled(at: Any, context: dict[str, Any]) -> None:
    """One moment of a schedule: its turn is put into the queue."""
    await asyncio.to_thread(_put, str(at), context)


def _put(at: str, context: JsonObject) -> None:
    """A session for each moment; one that is there was put by a worker that died after it."""
    engine = engines.current()
    assert engine is not None
    moment = datetime.fromisoformat(at).astimezone(UTC)
    session = f"{context['name']}-{moment:%Y%m%d-%H%M%S}"
    if runs_of(engine.database, session):
        return
    queue = TurnQueue(engine.address.url)
    try:
        spec = TurnSpec(
            session=session,
            prompt=context.get("prompt"),
            options=context.get("options", {}),
            task=context.get("task", ""),
            labels={"schedule": context["name"], "at": at},
        )
        queue.put([spec], queue=context["queue"])
    finally:
        queue.close()


def _check(schedule: Schedule) -> None:
    if not _NAME.fullmatch(schedule.name):
        raise ConfigurationError(
            f"'{schedule.name}' cannot be the name of a schedule: use 1 to 50 letters, digits, '.', '_' and '-'"
        )
    if not croniter.is_valid(schedule.cron, second_at_beginning=True):
        raise ConfigurationError(
            f"'{schedule.cron}' is no cron expression: write minute, hour, day, month and weekday, "
            "such as '0 3 * * *' for every night at three"
        )
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = difflib.get_close_matches(schedule.timezone, available_timezones(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else "write one such as 'Europe/Berlin'"
        raise ConfigurationError(f"'{schedule.timezone}' is no time zone: {hint}") from None


def _schedule(row: Any) -> Schedule:
    context = cast("JsonObject", row["context"] or {})
    return Schedule(
        name=row["schedule_name"],
        cron=row["schedule"],
        timezone=row["cron_timezone"] or "UTC",
        queue=row["queue_name"] or QUEUE,
        prompt=context.get("prompt"),
        task=context.get("task", ""),
        options=context.get("options", {}),
        last=row["last_fired_at"] or "",
    )
