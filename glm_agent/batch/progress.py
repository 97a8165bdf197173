"""What a batch has done so far, and the report at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from glm_agent.batch.results import BatchResult
from glm_agent.messages import StopReason


@dataclass(kw_only=True)
class Progress:
    """Figures of a running batch, counted up as it goes."""

    total: int = 0
    """Tasks in the file, each key once."""
    skipped: int = 0
    """Had their result before."""
    done: int = 0
    """Got their result in this run."""
    running: int = 0
    ended: Counter[StopReason] = field(default_factory=Counter["StopReason"])
    """Results of this run by how they ended."""
    cost_usd: float = 0.0
    """Of the whole batch, earlier runs included."""
    spent_before_usd: float = 0.0
    """Of earlier runs."""
    waiting: str = ""
    """What all tasks wait for, in a sentence."""

    @property
    def left(self) -> int:
        """Tasks without a result."""
        return self.total - self.skipped - self.done

    @property
    def failed(self) -> int:
        return self.done - self.ended["end_turn"]

    def rest_usd(self) -> float | None:
        """What the tasks that are left will cost, if they are like those that are done."""
        return (self.cost_usd - self.spent_before_usd) / self.done * self.left if self.done else None

    def count(self, result: BatchResult) -> None:
        self.done += 1
        self.ended[result.stop_reason] += 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """How a batch ended."""

    id: str
    total: int
    skipped: int
    """Had their result before this run."""
    duplicates: int
    """Lines that said what another one with their key said."""
    left: int
    """Have no result: run the batch again to go on."""
    ended: dict[StopReason, int]
    """Results by how they ended, those of earlier runs included."""
    cost_usd: float
    """Of the whole batch, earlier runs included; prices that are not known count as nothing."""
    duration_seconds: float
    is_spent: bool = False
    """Whether the limit of money was reached."""
    stopped: str = ""
    """Why it ended before all tasks had a result, in a sentence."""
    error: BaseException | None = None
    """What made it stop, where that was an error."""

    @property
    def answered(self) -> int:
        return self.ended.get("end_turn", 0)

    @property
    def failed(self) -> int:
        """Results that are no answer."""
        return sum(self.ended.values()) - self.answered
