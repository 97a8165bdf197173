"""Requests at once: what a refusal and successes make of the limit, over threads and loops; fallbacks; budgets."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import Agent, ConfigurationError, SignedKey
from glm_agent.agent.providers import model_maker
from glm_agent.errors import (
    AuthenticationError,
    ContextOverflow,
    ModelConnectionError,
    ModelError,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.messages import ModelRequest, ModelResponse, Notice, Retrying, TextDelta
from glm_agent.models.account import Bearer
from glm_agent.models.fallback import FallbackModel
from glm_agent.models.limit import Limit, LimitedModel, shared_limit
from glm_agent.models.model import ModelEvent
from glm_agent.models.retry import NEXT_MODEL, RetryBudget, RetryingModel, RetryPolicy, shared_budget
from glm_agent.models.waiting import lane
from glm_agent.simulate import ScriptedModel, SimulatorServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


TOO_MANY = RateLimited("slow", status_code=429, code="1302", is_retryable=True)
BUSY = RateLimited("busy", status_code=429, code="1305", is_retryable=True)
ASKED = ModelRequest(model="m")


class Gated:
    """A model that answers when it is told to."""

    name = "gated"

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.running = self.most = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
            await anyio.lowlevel.checkpoint()
            yield ModelResponse(text="ok")
        finally:
            self.running -= 1


async def listen(model: Any) -> list[ModelEvent]:
    return [event async for event in model.stream(ASKED)]


async def test_nothing_is_held_back_before_the_server_refuses() -> None:
    gated, limit = Gated(), Limit()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(listen, LimitedModel(gated, limit=limit))
        await anyio.wait_all_tasks_blocked()
        assert gated.running == limit.running == 100
        gated.open.set()
    assert (limit.running, limit.most) == (0, None)


async def test_only_so_many_run_at_once_and_the_first_to_come_is_the_first_to_go() -> None:
    gated, limit = Gated(), Limit(3)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(listen, LimitedModel(gated, limit=limit))
        await anyio.wait_all_tasks_blocked()
        assert gated.running == 3
        limit.most = 2  # so that successes of this test do not raise it above 3 at once
        gated.open.set()
    assert gated.most <= 6
    assert limit.running == 0


async def test_refusals_of_one_round_halve_once_and_a_round_of_successes_adds_one() -> None:
    limit = Limit()
    rounds = [await limit.enter() for _ in range(8)]
    for entered in rounds:
        limit.leave(entered, outcome=False)
    assert limit.most == 4
    for most in (5, 6):
        for _ in range(most - 1):
            limit.leave(await limit.enter(), outcome=True)
        assert limit.most == most
    limit.leave(await limit.enter(), outcome=False)
    assert limit.most == 1, "one alone was refused: others of the account run elsewhere"


async def test_what_failed_otherwise_says_nothing_about_the_limit() -> None:
    limit = Limit(2, overloaded_seconds=(0.0,))
    for error in (BUSY, ModelConnectionError("x")):
        with pytest.raises(ModelError):
            await listen(LimitedModel(ScriptedModel([error]), limit=limit))
    assert (limit.most, limit.running) == (2, 0)
    with pytest.raises(RateLimited):
        await listen(LimitedModel(ScriptedModel([TOO_MANY]), limit=limit))
    assert limit.most == 1


async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    gated, limit = Gated(), Limit(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, LimitedModel(gated, limit=limit))
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await listen(LimitedModel(gated, limit=limit))
        gated.open.set()
    assert repr(limit) == "Limit(most=2, running=0, waiting=0)"


async def test_who_is_cancelled_after_being_called_passes_the_place_on() -> None:
    limit, came = Limit(1), anyio.Event()
    entered = await limit.enter()
    scope = anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await limit.enter()

    async def next_one() -> None:
        await limit.enter()
        came.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancelled)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(next_one)
        await anyio.wait_all_tasks_blocked()
        limit.leave(entered, outcome=None)  # calls the first one
        scope.cancel()
        with anyio.fail_after(60):
            await came.wait()
    assert limit.running == 1


def test_the_limit_holds_over_threads_and_loops() -> None:
    limit, most, running, lock = Limit(2), 0, 0, threading.Lock()

    async def work() -> None:
        nonlocal most, running
        for _ in range(20):
            entered = await limit.enter()
            with lock:
                running += 1
                most = max(most, running)
            await anyio.lowlevel.checkpoint()
            with lock:
                running -= 1
            limit.leave(entered, outcome=None)

    async def many() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(work)

    def run(backend: str) -> None:
        anyio.run(many, backend=backend)

    threads = [threading.Thread(target=run, args=(one,)) for one in ("asyncio", "trio", "asyncio")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert (most, limit.running) == (2, 0)


def test_a_waiter_whose_loop_has_ended_is_passed_over() -> None:
    limit = Limit(1)
    left_behind: list[Any] = []

    async def wait_and_leave() -> int:
        entered = await limit.enter()
        left_behind.append(limit.enter())
        left_behind[0].send(None)  # it waits now, and its loop will never come back to it
        return entered

    entered = anyio.run(wait_and_leave)
    limit.leave(entered, outcome=None)
    assert repr(limit) == "Limit(most=1, running=0, waiting=0)"
    left_behind[0].close()
    assert limit.running == 0


def test_a_key_and_model_share_a_limit_that_does_not_hold_the_key() -> None:
    one = shared_limit(key="secret-key", model="glm-5.3")
    assert shared_limit(key="secret-key", model="glm-5.3") is one
    assert shared_limit(key="secret-key", model="glm-4.6") is not one
    assert shared_limit(key="other", model="glm-5.3") is not one
    assert shared_limit(key="secret-key", model="glm-5.3", base_url="http://x") is not one
    assert shared_budget(key="k", model="m") is shared_budget(key="k", model="m")


SLOW = {"version": 1, "concurrency": 2, "turns": [{"steps": [{"say": "ok", "pace": {"chunk_seconds": 0.1}}]}]}


async def test_agents_of_one_key_learn_together_what_the_account_allows() -> None:
    with SimulatorServer(SLOW) as server:
        agents = [Agent("glm-5.3", api_key="k.learning", base_url=server.base_url) for _ in range(8)]
        results: list[str] = []

        async def run(agent: Agent) -> None:
            results.append((await agent.run("Q")).output)

        async with anyio.create_task_group() as tasks:
            for agent in agents:
                tasks.start_soon(run, agent)
        limit = shared_limit(key="k.learning", model="glm-5.3", base_url=server.base_url)
    assert results == ["ok"] * 8
    assert limit.most is not None
    assert limit.most <= 8
    assert limit.running == 0


# -- what one request was told is true for all


class Refusing:
    """A model that refuses what it is asked, as long as it has errors; a request waits until it is let go."""

    name = "refusing"

    def __init__(self, *errors: ModelError) -> None:
        self.errors = list(errors)
        self.asked = 0
        self.go = anyio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.asked += 1
        await self.go.wait()
        await anyio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        yield ModelResponse(text="ok")


async def ask_all(model: Any, *, count: int, outcomes: list[Any]) -> None:
    async def one() -> None:
        try:
            outcomes.append((await listen(model))[-1])
        except ModelError as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)


@pytest.mark.parametrize("code", ["1113", "1308", "1000"])
async def test_a_key_that_may_not_go_on_costs_one_request_whoever_waits(code: str) -> None:
    kind = AuthenticationError if code == "1000" else QuotaExhausted
    model = Refusing(kind("no", status_code=429, code=code))
    limited, outcomes = LimitedModel(model, limit=Limit(1)), list[Any]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: ask_all(limited, count=50, outcomes=outcomes))
        await anyio.wait_all_tasks_blocked()
        model.go.set()
    assert (model.asked, len(outcomes)) == (1, 50)
    assert {each.code for each in outcomes} == {code}
    assert len(set(map(id, outcomes))) == 50, "each is an error of its own"


async def test_after_a_refusal_one_request_asks_and_the_others_wait_for_its_answer() -> None:
    def dead() -> QuotaExhausted:
        return QuotaExhausted("no", status_code=429, code="1113")

    model = Refusing(dead(), dead())
    model.go.set()
    limited, outcomes = LimitedModel(model, limit=Limit()), list[Any]()
    await ask_all(limited, count=1, outcomes=outcomes)
    model.go = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: ask_all(limited, count=30, outcomes=outcomes))
        await anyio.wait_all_tasks_blocked()
        assert model.asked == 2
        model.go.set()
    assert (model.asked, len(outcomes)) == (2, 31)
    outcomes.clear()
    await ask_all(limited, count=30, outcomes=outcomes)
    assert [each.text for each in outcomes] == ["ok"] * 30, "somebody has paid: all may go on"


async def test_an_overload_is_waited_for_by_all_and_tried_by_one() -> None:
    model = Refusing(BUSY, BUSY)
    limit = Limit(overloaded_seconds=(0.01,))
    outcomes: list[Any] = []
    model.go.set()
    await ask_all(LimitedModel(model, limit=limit), count=1, outcomes=outcomes)
    assert limit.refusal is BUSY
    with anyio.fail_after(60):
        await ask_all(LimitedModel(model, limit=limit), count=40, outcomes=outcomes)
    answered = [each for each in outcomes if isinstance(each, ModelResponse)]
    assert (len(answered), len(outcomes)) == (39, 41), "the one that tried was refused once more"
    assert (limit.refusal, limit.running, model.asked) == (None, 0, 41)


async def test_who_has_another_model_to_ask_does_not_wait_for_an_overload() -> None:
    model = Refusing(BUSY)
    model.go.set()
    limited = LimitedModel(model, limit=Limit(), patience_seconds=0.0)
    for _ in range(5):
        with pytest.raises(RateLimited), anyio.fail_after(60):
            await listen(limited)
    assert model.asked == 1


async def test_patience_has_an_end() -> None:
    now = [0.0]
    limit = Limit(overloaded_seconds=(60.0,), clock=lambda: now[0])
    limit.leave(await limit.enter(), outcome=None, error=BUSY)
    with pytest.raises(RateLimited):
        await limit.enter(patience_seconds=-1)
    now[0] = 61.0
    assert (await limit.enter(patience_seconds=-1)).is_probe


async def test_a_probe_that_says_nothing_is_followed_by_another() -> None:
    limit = Limit()
    limit.leave(await limit.enter(), outcome=None, error=quota())
    probe = await limit.enter()
    entered: list[Any] = []

    async def enter() -> None:
        entered.append(await limit.enter())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        assert entered == []
        limit.leave(probe, outcome=None, error=ModelConnectionError("x"))
        await anyio.wait_all_tasks_blocked()
        assert [each.is_probe for each in entered] == [True]
        limit.leave(entered[0], outcome=True)
    assert [each.is_probe for each in entered] == [True, False]


async def test_lanes_take_turns_and_the_more_urgent_goes_first() -> None:
    limit, order = Limit(1), list[str]()
    first = await limit.enter()

    async def enter(name: str, priority: int) -> None:
        with lane(name, priority=priority):
            place = await limit.enter()
        order.append(name)
        limit.most = 1
        limit.leave(place, outcome=None)

    async with anyio.create_task_group() as tasks:
        for name, count, priority in (("many", 6, 0), ("few", 2, 0), ("urgent", 2, -1)):
            for _ in range(count):
                tasks.start_soon(enter, name, priority)
            await anyio.wait_all_tasks_blocked()
        limit.leave(first, outcome=None)
    assert order == ["urgent", "urgent", "many", "few", "many", "few", "many", "many", "many", "many"]


# -- fallbacks


def quota() -> QuotaExhausted:
    return QuotaExhausted("no balance", status_code=429, code="1113")


async def test_the_next_model_answers_where_the_first_fails_and_the_first_rests() -> None:
    now = [0.0]
    first = ScriptedModel([[TextDelta(text="par"), quota()], "first again"], name="glm-5.3")
    second = ScriptedModel(["second", "second"], name="glm-5.2")
    model = FallbackModel([first, second], rest_seconds=60, clock=lambda: now[0])
    assert model.name == "glm-5.3"
    events = await listen(model)
    assert [event.kind for event in events] == ["text_delta", "notice", "retrying", "text_delta", "model_response"]
    assert isinstance(events[1], Notice)
    assert "'glm-5.3' failed, 'glm-5.2' is asked: no balance" in events[1].text
    assert (await listen(model))[-1] == ModelResponse(text="second", model="m")
    assert len(first.requests) == 1
    now[0] = 61.0
    assert (await listen(model))[-1] == ModelResponse(text="first again", model="m")


async def test_the_last_models_error_is_raised() -> None:
    model = FallbackModel([ScriptedModel([quota()]), ScriptedModel([BUSY])])
    with pytest.raises(RateLimited):
        await listen(model)


async def test_a_model_whose_window_was_too_small_does_not_rest() -> None:
    first = ScriptedModel([ContextOverflow("x"), "fits"])
    model = FallbackModel([first, ScriptedModel(["large"])])
    assert (await listen(model))[-1] == ModelResponse(text="large", model="m")
    assert (await listen(model))[-1] == ModelResponse(text="fits", model="m")


async def test_a_models_name_may_hold_its_fallbacks() -> None:
    with SimulatorServer("echo") as server:
        dead = "http://127.0.0.1:9/v4"
        agent = Agent("glm-5.3", api_key="k.s", base_url=dead, fallback=[ScriptedModel(["from the second"])])
        assert (await agent.run("Q")).output == "from the second"
        several = model_maker(
            "glm-5.3|glm-5.2 | zai:glm-4.6",
            api_key="k.s",
            base_url=server.base_url,
            client=None,
            environ={"ZAI_API_KEY": "z.s"},
        )()
        assert repr(several.model).count("GLMModel") == 3
        assert "https://api.z.ai" in repr(several.model)
        await several.aclose()


def test_a_fallback_that_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="unknown"):
        Agent("glm-5.3", fallback=["nowhere:glm-5.3"])
    with pytest.raises(ConfigurationError, match="not a name"):
        Agent("glm-5.3|")


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://openrouter.ai/api/v1/", "openrouter"),
        ("HTTPS://Open.BigModel.cn/api/paas/v4", "bigmodel"),
        ("https://open.bigmodel.cn/api/coding/paas/v4", "coding-cn"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("http://127.0.0.1:9999/v1", "zai"),
    ],
)
async def test_an_address_says_which_host_it_is(base_url: str, provider: str) -> None:
    made = model_maker("glm-5.3", api_key="k.s", base_url=base_url, client=None)()
    assert f"dialect='{provider}'" in repr(made.model)
    await made.aclose()


def test_an_overload_is_not_waited_for_where_another_model_stands_ready() -> None:
    from glm_agent.models.retry import wait_seconds

    assert wait_seconds(BUSY, attempt=1, elapsed_seconds=0, chance=1, policy=NEXT_MODEL) is None
    assert wait_seconds(TOO_MANY, attempt=1, elapsed_seconds=0, chance=1, policy=NEXT_MODEL) == 2.0


# -- the budget of retries


async def nap(seconds: float) -> None:
    return None


async def test_where_everything_fails_trying_again_ends() -> None:
    budget = RetryBudget(size=7, clock=lambda: 0.0)
    sent = 0
    for _ in range(10):
        model = ScriptedModel([ModelConnectionError("x", is_retryable=True)] * 6)
        with pytest.raises(ModelConnectionError):
            await listen(RetryingModel(model, budget=budget, sleep=nap, policy=RetryPolicy()))
        sent += len(model.requests)
    assert sent == 10 + 7


@given(st.lists(st.sampled_from(["spend", "answer", "wait"]), max_size=200))
def test_retries_never_exceed_what_was_there_and_came_back(actions: list[str]) -> None:
    now = [0.0]
    budget = RetryBudget(size=5, refill_seconds=10, clock=lambda: now[0])
    spent, back = 0, 0.0
    for action in actions:
        if action == "spend":
            spent += budget.spend()
        elif action == "answer":
            budget.answered()
            back += 0.5
        else:
            now[0] += 4
            back += 0.2
        assert spent <= 5 + back + 1e-9


async def test_every_attempt_has_its_own_number_also_those_of_the_server() -> None:
    lines: list[Any] = [
        [Retrying(attempt=2, wait_seconds=0, reason="anew"), ModelConnectionError("x", is_retryable=True)],
        [Retrying(attempt=2, wait_seconds=0, reason="anew"), ModelResponse(text="ok")],
    ]
    events = await listen(RetryingModel(ScriptedModel(lines), sleep=nap))
    assert [event.attempt for event in events if isinstance(event, Retrying)] == [2, 3, 4]


# -- signed keys


def test_a_token_is_signed_as_the_service_reads_it_and_used_for_three_minutes() -> None:
    now = [1_000_000.0]
    bearer = Bearer(SignedKey("id.0123456789abcdef0123456789abcdef"), clock=lambda: now[0])
    token = bearer.value()
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["sign_type"]) == ("HS256", "SIGN")
    claims = jwt.decode(token, "0123456789abcdef0123456789abcdef", algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"api_key": "id", "exp": 1_000_210_000, "timestamp": 1_000_000_000}
    now[0] += 179
    assert bearer.value() == token
    now[0] += 2
    assert bearer.value() != token


def test_an_expired_token_is_made_anew_once() -> None:
    now = [1_000.0]
    bearer = Bearer(SignedKey("id.secretsecretsecretsecretsecretse"), clock=lambda: now[0])
    first = bearer.value()
    assert not bearer.renew(), "it is brand new: another one would expire too"
    now[0] += 5
    assert bearer.renew()
    assert bearer.value() != first
    assert not Bearer("id.secret").renew()


@pytest.mark.parametrize("key", ["nodot", ".secret", "id."])
def test_a_key_that_cannot_sign_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="must have the form"):
        Bearer(SignedKey(key))


async def test_an_agent_signs_and_the_secret_stays_here() -> None:
    key = SignedKey("id.s3cr3tS3cr3tS3cr3t")
    assert "s3cr3t" not in repr(key)
    with SimulatorServer("echo") as server:
        result = await Agent("glm-4.6", api_key=key, base_url=server.base_url).run("Hello")
    assert "Hello" in result.output
