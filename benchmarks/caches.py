"""The provider's prompt cache, as the simulator counts it: a run's prompts and how much of them was sent before."""

from __future__ import annotations

from typing import Any


async def missed(_: Any, *, steps: int) -> dict[str, float]:
    """Prompt tokens that had to be read anew, in percent of all, over one turn."""
    from glm_agent import Agent, tool
    from glm_agent.simulate import SimulatorServer

    @tool(read_only=True)
    def page(number: int) -> str:
        """A page of the book."""
        return f"page {number}: " + "word " * 100

    calls = "\n".join(f'{"then " * (number > 0)}call page {{"number": {number}}}' for number in range(steps))
    async with SimulatorServer("directive") as server:
        agent = Agent(server.model, base_url=server.base_url, api_key="x.y", tools=[page], max_steps=2 * steps)
        result = await agent.run(f"Read the book.\n{calls}\nsay done")
    assert (result.stop_reason, result.steps) == ("end_turn", steps + 1)
    return {"missed_percent": 100 - 100 * result.usage.cached_tokens / result.usage.input_tokens}
