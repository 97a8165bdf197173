"""Trying again: the decision as a function, and the model that follows it."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import (
    ContextOverflow,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.messages import ModelRequest, ModelResponse, Retrying, TextDelta, TurnStopped
from glm_agent.models.model import ModelEvent
from glm_agent.models.retry import RetryingModel, RetryPolicy, wait_seconds


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


def status(kind: type[ModelStatusError] = RateLimited, code: str = "", after: float | None = None) -> ModelStatusError:
    return kind("no", status_code=429, code=code, is_retryable=True, retry_after_seconds=after)


BROKEN = ModelConnectionError("reset", is_retryable=True)


def wait(
    error: ModelError, attempt: int = 1, *, elapsed: float = 0.0, chance: float = 1.0, **policy: Any
) -> float | None:
    return wait_seconds(error, attempt=attempt, elapsed_seconds=elapsed, chance=chance, policy=RetryPolicy(**policy))


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (BROKEN, [0.5, 1.0, 2.0, 4.0, 8.0, None]),
        (ModelProtocolError("cut", is_retryable=True), [0.5, 1.0, 2.0, 4.0, 8.0, None]),
        (status(code="1302"), [2.0, 4.0, 8.0, 16.0, 30.0, None]),
        (status(), [2.0, 4.0, 8.0, 16.0, 30.0, None]),
        (status(code="1305"), [30.0, 60.0, 90.0, 120.0, 120.0, None]),
        (status(code="1312"), [30.0, 60.0, 90.0, 120.0, 120.0, None]),
        (status(ModelStatusError, "1200"), [0.5, 1.0, 2.0, 4.0, 8.0, None]),
    ],
)
def test_the_longest_waits_of_each_kind_of_failure(error: ModelError, waits: list[float | None]) -> None:
    assert [wait(error, attempt) for attempt in range(1, 7)] == waits


@pytest.mark.parametrize(
    "error",
    [
        ModelError("x"),
        ContextOverflow("x"),
        QuotaExhausted("x", status_code=429, code="1113"),
        ModelConnectionError("certificate"),
    ],
)
def test_what_cannot_succeed_is_not_tried_again(error: ModelError) -> None:
    assert wait(error) is None


@pytest.mark.parametrize(
    ("after", "expected"), [(0.0, 2.0), (7.0, 7.0), (120.0, 120.0), (120.5, None), (86_400.0, None), (None, 2.0)]
)
def test_the_servers_own_wait_is_kept_or_too_long(after: float | None, expected: float) -> None:
    assert wait(status(after=after)) == expected


def test_no_attempt_begins_after_the_time_is_up() -> None:
    assert wait(BROKEN, elapsed=599.5) == 0.5
    assert wait(BROKEN, elapsed=599.6) is None
    assert wait(status(code="1305"), 2, elapsed=50, max_seconds=100) is None


@given(st.integers(1, 9), st.floats(0, 1), st.floats(0, 700), st.sampled_from([BROKEN, status(), status(code="1305")]))
def test_a_wait_is_never_negative_nor_longer_than_two_minutes(
    attempt: int, chance: float, elapsed: float, error: ModelError
) -> None:
    seconds = wait(error, attempt, chance=chance, elapsed=elapsed)
    assert seconds is None or 0 <= seconds <= 120
    assert seconds is None or seconds + elapsed <= 600


def test_agents_that_failed_together_do_not_come_back_together() -> None:
    assert [wait(BROKEN, 3, chance=chance) for chance in (0.0, 0.25, 1.0)] == [0.0, 0.5, 2.0]


# -- the model


class Script:
    """A model that fails as told; counts its streams, and how many were closed."""

    name = "scripted"

    def __init__(self, *attempts: ModelError | ModelResponse | TurnStopped) -> None:
        self.attempts = list(attempts)
        self.closed = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            yield TextDelta(text=str(len(self.attempts)))
            match self.attempts.pop(0):
                case ModelError() as error:
                    raise error
                case answer:
                    yield answer
        finally:
            self.closed += 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


REQUEST = ModelRequest(model="scripted")
DONE = ModelResponse(text="done")


def retrying(model: Script, clock: Clock, **policy: Any) -> RetryingModel:
    return RetryingModel(
        model, policy=RetryPolicy(**policy), sleep=clock.sleep, clock=lambda: clock.now, chance=lambda: 1.0
    )


@pytest.mark.anyio
async def test_an_answer_comes_after_two_failures_and_each_wait_is_told_first() -> None:
    clock, script = Clock(), Script(BROKEN, status(code="1305"), DONE)
    events: list[ModelEvent] = []
    async for event in retrying(script, clock).stream(REQUEST):
        if isinstance(event, Retrying):
            assert len(clock.slept) == event.attempt - 2
        events.append(event)
    assert events == [
        TextDelta(text="3"),
        Retrying(attempt=2, wait_seconds=0.5, reason="reset"),
        TextDelta(text="2"),
        Retrying(attempt=3, wait_seconds=60.0, reason="no"),
        TextDelta(text="1"),
        DONE,
    ]
    assert clock.slept == [0.5, 60.0]
    assert script.closed == 3


@pytest.mark.anyio
async def test_the_last_error_is_raised_as_it_came() -> None:
    cut = ModelConnectionError("lost", is_retryable=True, response=DONE)
    script = Script(BROKEN, BROKEN, cut)
    with pytest.raises(ModelConnectionError) as caught:
        _ = [event async for event in retrying(script, Clock(), max_attempts=3).stream(REQUEST)]
    assert caught.value is cut
    assert caught.value.response is DONE


@pytest.mark.anyio
async def test_what_is_not_retryable_is_raised_at_once() -> None:
    clock, script = Clock(), Script(ContextOverflow("long"), DONE)
    with pytest.raises(ContextOverflow):
        _ = [event async for event in retrying(script, clock).stream(REQUEST)]
    assert (clock.slept, script.closed) == ([], 1)


@pytest.mark.anyio
async def test_a_stop_is_an_answer() -> None:
    stopped = TurnStopped(stop_reason="budget")
    events = [event async for event in retrying(Script(stopped), Clock()).stream(REQUEST)]
    assert events[-1] == stopped


@pytest.mark.anyio
async def test_leaving_early_closes_the_attempt() -> None:
    script = Script(DONE)
    events = retrying(script, Clock()).stream(REQUEST)
    assert await anext(events) == TextDelta(text="1")
    await events.aclose()
    assert script.closed == 1


@pytest.mark.anyio
async def test_cancelling_the_wait_ends_it() -> None:
    model = RetryingModel(Script(status(code="1305"), DONE))
    with anyio.move_on_after(5) as bound:
        async with anyio.create_task_group() as tasks:
            async for event in model.stream(REQUEST):
                if isinstance(event, Retrying):
                    tasks.cancel_scope.cancel()
    assert not bound.cancelled_caught


def test_it_is_named_as_the_model_it_tries() -> None:
    assert RetryingModel(Script()).name == "scripted"
