"""Time: what it is, somewhere; reckoning with dates, which models get wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, TypedDict
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from glm_agent import ToolError, tool

Number = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class Moment(TypedDict):
    """A point in time, as people of one zone say it."""

    time: str
    timezone: str
    weekday: str
    week: int
    day_of_year: int
    unix_seconds: int


class Span(TypedDict):
    """What lies between two points in time; negative where the second comes first."""

    seconds: float
    minutes: float
    hours: float
    days: float
    calendar_days: int
    weekdays: int


@tool(read_only=True)
def current_time(timezone: str = "UTC") -> Moment:
    """The time now, with weekday and week.

    Args:
        timezone: A zone such as "Asia/Shanghai" or "UTC".
    """
    return _moment(datetime.now(_zone(timezone)))


@tool(read_only=True)
def convert_time(
    time: str, from_timezone: str = "UTC", to_timezone: str = "UTC", add_days: Number = 0, add_minutes: Number = 0
) -> Moment:
    """A given time in another zone, and some days and minutes later or earlier.

    Days are those of the calendar: a day later it is the same time of day, also where clocks change in between.

    Args:
        time: As in 2026-11-22T14:30; a time with an offset, such as +08:00 or Z, stands for itself.
        from_timezone: The zone of the time, where it has no offset.
        to_timezone: The zone to tell it in.
        add_days: Days to add, or with a minus to go back.
        add_minutes: Minutes to add.
    """
    start = _read(time, _zone(from_timezone))
    try:
        moved = start + timedelta(days=add_days)
        moment = (moved.astimezone(UTC) + timedelta(minutes=add_minutes)).astimezone(_zone(to_timezone))
    except OverflowError:
        raise ToolError("that is outside the years 1 to 9999") from None
    return _moment(moment)


@tool(read_only=True)
def time_between(start: str, end: str, timezone: str = "UTC") -> Span:
    """How much time lies between two times, also in days of the calendar and days from Monday to Friday.

    Args:
        start: As in 2026-11-22 or 2026-11-22T14:30.
        end: Likewise. The last day does not count.
        timezone: The zone of times without an offset.
    """
    zone = _zone(timezone)
    first, last = _read(start, zone), _read(end, zone)
    seconds = (last.astimezone(UTC) - first.astimezone(UTC)).total_seconds()
    days = (last.date() - first.date()).days
    return Span(
        seconds=seconds,
        minutes=seconds / 60,
        hours=seconds / 3600,
        days=seconds / 86_400,
        calendar_days=days,
        weekdays=_weekdays(first.date().toordinal(), last.date().toordinal()),
    )


def _moment(moment: datetime) -> Moment:
    return Moment(
        time=moment.isoformat(timespec="seconds"),
        timezone=str(moment.tzinfo),
        weekday=moment.strftime("%A"),
        week=moment.isocalendar().week,
        day_of_year=moment.timetuple().tm_yday,
        unix_seconds=int(moment.timestamp()),
    )


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError(f"there is no time zone '{name}': write one such as 'Europe/Berlin' or 'UTC'") from None


def _read(text: str, zone: tzinfo) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ToolError(f"'{text}' is no time: write one such as 2026-11-22T14:30 or 2026-11-22") from None
    return time if time.tzinfo else time.replace(tzinfo=zone)


def _weekdays(first: int, last: int) -> int:
    """Days from Monday to Friday, the last one left out; ordinal 1 is a Monday."""
    if last < first:
        return -_weekdays(last, first)
    weeks, rest = divmod(last - first, 7)
    return weeks * 5 + sum((first + day - 1) % 7 < 5 for day in range(rest))
