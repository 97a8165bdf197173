"""What one turn may spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from glm_agent.errors import ConfigurationError
from glm_agent.models.purse import Purse

_LEAST: Final = {"max_tokens": 0, "max_cost_usd": 0, "max_tool_calls": 0, "max_repeats": 1, "timeout_seconds": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Limits of one turn; at each the turn stops with ``budget``, or as it says. None: no limit."""

    max_tokens: int | None = None
    """Tokens of all requests together, prompts included."""
    max_cost_usd: float | None = None
    """Money by the catalog's prices."""
    max_tool_calls: int | None = None
    max_repeats: int | None = None
    """Steps in a row with the same calls and the same results; then the turn stops with ``loop``."""
    timeout_seconds: float | None = None
    """Time from the first request on."""
    purse: Purse | None = None
    """What this turn spends together with others that have the same one."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, int | float) and limit >= least):
                raise ConfigurationError(
                    f"the budget's {name!r} is {limit!r}: a limit is a number from {least} on; leave it out for none"
                )
