"""What was said in a run that raises."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from glm_agent.driver import Driver
from glm_agent.messages import Message


@dataclass
class Said:
    """What was said in a run: whatever is raised in the block carries it, so that nothing is lost."""

    messages: tuple[Message, ...]
    session: str
    driver: Driver | None = None
    """Knows better, once there is one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if self.driver is not None:
            turn = self.driver.turn
            self.messages, self.session = turn.messages or self.messages, turn.started.session
        with suppress(AttributeError):  # an exception with slots takes no more attributes
            error.messages = self.messages  # type: ignore[attr-defined]
            error.session = self.session  # type: ignore[attr-defined]
