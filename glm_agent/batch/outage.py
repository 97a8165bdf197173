"""What a failure says about the tasks still to come: nothing, wait, or stop. Pure but for the clock it is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

from glm_agent.errors import (
    AuthenticationError,
    JournalError,
    MCPServerError,
    ModelError,
    QuotaExhausted,
)

Verdict: TypeAlias = Literal["task", "again", "window", "stop"]
"""``task``: this one failed; ``again``: it may succeed later; ``window``: all wait until the key may go on;
``stop``: none of the others would succeed either."""

WINDOWS: Final = frozenset({"1304", "1308", "1310", "1316", "1317", "1318", "1319", "1320", "1321"})
"""Allowances that begin anew by themselves. Source: error table of docs.bigmodel.cn, 2026-07-11."""

UNKNOWN_RESET_SECONDS: Final = 900.0
"""Where a server does not say when: then one request asks again after so long."""

_ZONES: Final[Sequence[timezone]] = (timezone(timedelta(hours=8)), UTC)
"""What "local time" of the server may mean: it is not documented. The mainland's first."""

_MARGIN_SECONDS: Final = 5.0
"""Clocks differ."""


def verdict(error: BaseException) -> Verdict:
    """What the failure of one task says about the others."""
    match error:
        case QuotaExhausted() if error.code in WINDOWS:
            return "window"
        case QuotaExhausted() | AuthenticationError() | JournalError():
            return "stop"
        case ModelError() if error.is_retryable:
            return "again"
        case MCPServerError():
            return "again"
        case _:
            return "task"


def reset_seconds(resets_at: str, *, now: float) -> float:
    """How long until an allowance begins anew, by the server's own words; ``now`` in seconds since 1970."""
    try:
        said = datetime.fromisoformat(resets_at)
    except ValueError:
        return UNKNOWN_RESET_SECONDS
    waits = [said.replace(tzinfo=zone).timestamp() - now for zone in _ZONES]
    return min((wait for wait in waits if wait > 0), default=UNKNOWN_RESET_SECONDS - _MARGIN_SECONDS) + _MARGIN_SECONDS


def wait_seconds(*, attempt: int, chance: float) -> float:
    """How long a task rests before it is taken up again; ``chance`` from 0 to 1.

    The model's own retries have come before it, so these are long.
    """
    return min(300.0, 10.0 * 2.0 ** (attempt - 1)) * (0.5 + chance / 2)
