"""The provider's prompt cache, over a run of thirty steps: what was sent once is sent the same way ever after."""

from itertools import pairwise

import pytest

from glm_agent import Agent, TurnResult, tool
from glm_agent.simulate import SimulatorServer

STEPS = 30


@tool(read_only=True)
def page(number: int) -> str:
    """A page of the book."""
    return f"page {number}: " + "word " * 100


@tool
def note(text: str) -> str:
    """Write something down."""
    return f"noted {text}"


def script() -> str:
    """What the simulated model is to do: read page after page, two calls in some steps, and note something."""
    calls = [f'then call page {{"number": {number}}}' for number in range(STEPS)]
    calls[7] += '\ncall page {"number": 100}'
    calls[11] = 'then call note {"text": "a — ü"}'
    calls[0] = calls[0].removeprefix("then ")
    return "\n".join(["Read the book.", *calls, "say done"])


async def read_the_book(server: SimulatorServer) -> TurnResult:
    agent = Agent(
        server.model,
        base_url=server.base_url,
        api_key=server.api_key,
        instructions="You read books. " * 20,
        tools=[page, note],
        max_steps=2 * STEPS,
    )
    return await agent.run(script())


@pytest.mark.anyio
async def test_of_thirty_steps_nine_tenths_of_the_prompts_are_cached(anyio_backend: str) -> None:
    async with SimulatorServer("directive") as server:
        result = await read_the_book(server)
    assert (result.stop_reason, result.steps) == ("end_turn", STEPS + 1)
    assert result.usage.cached_tokens >= 0.9 * result.usage.input_tokens


@pytest.mark.anyio
async def test_every_request_begins_with_the_one_before(anyio_backend: str) -> None:
    async with SimulatorServer("directive") as server:
        await read_the_book(server)
        bodies = server.requests
    assert len(bodies) == STEPS + 1
    changing = {"messages", "request_id"}
    for before, after in pairwise(bodies):
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert {name: after[name] for name in after.keys() - changing} == {
            name: before[name] for name in before.keys() - changing
        }
