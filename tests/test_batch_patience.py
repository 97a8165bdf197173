"""Turns that nobody watches: done again, held together, and given up in the end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from glm_agent.batch.outage import UNKNOWN_RESET_SECONDS
from glm_agent.batch.patience import DEAD_KEY_SECONDS, Patience
from glm_agent.errors import ConfigurationError, ModelConnectionError, QuotaExhausted

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self.said: list[str] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now = max(self.now, self.now + seconds)
        await anyio.lowlevel.checkpoint()

    def patience(self, **more: Any) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now, tell=self.said.append, **more)


def failing(*errors: Exception) -> Any:
    left, seen = list(errors), list[bool]()

    async def attempt(is_again: bool) -> str:
        seen.append(is_again)
        if left:
            raise left.pop(0)
        return "done"

    return attempt, seen


def dead(code: str = "1113") -> QuotaExhausted:
    return QuotaExhausted("no", status_code=429, code=code)


async def test_what_may_pass_is_done_again_and_goes_on() -> None:
    time = Time()
    attempt, seen = failing(ModelConnectionError("x", is_retryable=True), ModelConnectionError("x", is_retryable=True))
    assert await time.patience().do(attempt, account="a") == "done"
    assert seen == [False, True, True]
    assert 5 <= time.slept[0] <= 10 <= time.slept[1] <= 20
    attempt, seen = failing(*(ModelConnectionError("x", is_retryable=True) for _ in range(3)))
    with pytest.raises(ModelConnectionError):
        await time.patience().do(attempt, account="a")
    for error in (ValueError("x"), ConfigurationError("x")):
        attempt, seen = failing(error)
        with pytest.raises(type(error)):
            await time.patience().do(attempt, account="a")
        assert seen == [False]


async def test_a_dead_key_is_tried_now_and_then_until_somebody_pays() -> None:
    time = Time()
    attempt, seen = failing(*(dead() for _ in range(7)))
    assert await time.patience().do(attempt, account="a") == "done"
    assert time.slept == [*DEAD_KEY_SECONDS, 900.0, 900.0]
    assert len(seen) == 8
    assert "all turns of this key wait until" in time.said[0]


async def test_an_allowance_is_waited_for_and_not_for_ever() -> None:
    time = Time()
    attempt, _ = failing(dead("1308"))
    assert await time.patience().do(attempt, account="a") == "done"
    assert time.slept == [UNKNOWN_RESET_SECONDS]
    attempt, _ = failing(*(dead() for _ in range(100)))
    with pytest.raises(QuotaExhausted):
        await time.patience(max_wait_seconds=3600).do(attempt, account="a")


async def test_turns_of_one_key_are_held_together_and_others_are_not() -> None:
    time = Time()
    patience = time.patience()
    attempt, _ = failing(dead())
    waiting, more = failing()
    other, free = failing()
    order: list[str] = []

    async def run(what: Any, account: str) -> None:
        await patience.do(what, account=account)
        order.append(account)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, attempt, "a")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(run, waiting, "a")
        tasks.start_soon(run, other, "b")
    assert len(time.said) == 1
    assert order.count("a") == 2
    assert (more, free) == ([False], [False])
