"""What one turn may spend."""

from __future__ import annotations

from dataclasses import dataclass

from glm_agent.models.purse import Purse


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
