"""Tokens before a request: the server's count, and an estimate that learns from what comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import ModelStatusError
from glm_agent.messages import ModelRequest, ToolSpec, Usage, UserMessage
from glm_agent.models.counting import TokenCounter
from glm_agent.models.endpoints import GLMClient
from glm_agent.simulate import SimulatorServer
from glm_agent.wire.endpoints import TokenCount

TOOL = ToolSpec(name="stock", description="Units in stock.", parameters={"type": "object", "properties": {}})


def asked(text: str = "word " * 400, *, model: str = "glm-4.6", **more: object) -> ModelRequest:
    return ModelRequest(model=model, messages=(UserMessage(text=text),), **more)  # type: ignore[arg-type]


def test_instructions_and_tools_count_too() -> None:
    counter = TokenCounter()
    assert counter.estimate(asked()) < counter.estimate(asked(instructions="Be brief. " * 10))
    assert counter.estimate(asked()) < counter.estimate(asked(tools=(TOOL,)))


def test_the_estimate_comes_near_what_the_provider_counts() -> None:
    counter, request = TokenCounter(), asked()
    real = round(counter.estimate(request) * 1.6)
    for _ in range(20):
        counter.learn(request, Usage(input_tokens=real))
    assert counter.estimate(request) == pytest.approx(real, rel=0.01)
    assert counter.estimate(asked("word " * 4_000)) == pytest.approx(real * 10, rel=0.02)


def test_an_answer_without_usage_teaches_nothing() -> None:
    counter = TokenCounter()
    counter.learn(asked(), Usage())
    assert counter.correction == 1.0


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_no_usage_however_odd_makes_nonsense_of_the_estimate(counts: list[int]) -> None:
    counter = TokenCounter()
    for count in counts:
        counter.learn(asked("x"), Usage(input_tokens=count))
    assert 0.25 <= counter.correction <= 4.0


@pytest.mark.anyio
async def test_the_server_counts_where_it_can_and_is_not_asked_again_where_it_cannot() -> None:
    with SimulatorServer("echo") as server:
        async with GLMClient(api_key="k.s", base_url=server.base_url) as client:
            known = TokenCounter(ask=client.count_tokens)
            assert await known.count(asked()) == (await client.count_tokens(asked())).prompt_tokens
            unknown = TokenCounter(ask=client.count_tokens)
            assert await unknown.count(asked(model="glm-5.3")) == unknown.estimate(asked(model="glm-5.3"))
    asks = 0

    async def refuses(request: ModelRequest) -> TokenCount:
        nonlocal asks
        asks += 1
        raise ModelStatusError("no such model", status_code=400, code="1211")

    counter = TokenCounter(ask=refuses)
    assert [await counter.count(asked()) for _ in range(3)] == [counter.estimate(asked())] * 3
    assert asks == 1
