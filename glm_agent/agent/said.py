"""What was said in a run that raises."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from glm_agent.driver import Driver
from glm_agent.messages import Message


@dataclass
class Said:
    """What was said in a run: whatever the run raises carries it, so that nothing is lost."""

    messages: tuple[Message, ...]
    session: str
    driver: Driver | None = None
    """Knows better, once there is one."""

    @asynccontextmanager
    async def carried(self) -> AsyncGenerator[None]:
        try:
            yield
        except BaseException as error:
            if self.driver is not None:
                turn = self.driver.turn
                self.messages, self.session = turn.messages or self.messages, turn.started.session
            with suppress(AttributeError):  # an exception with slots takes no more attributes
                error.messages = self.messages  # type: ignore[attr-defined]
                error.session = self.session  # type: ignore[attr-defined]
            raise
