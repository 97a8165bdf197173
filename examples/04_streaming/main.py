"""A turn as a stream of events: thinking and text as they come, tools as they run.

python examples/04_streaming/main.py                         on the simulator, no key
MODEL=glm-5.3-flash python examples/04_streaming/main.py     on GLM, with ZAI_API_KEY
"""

import asyncio
import os
from pathlib import Path

from glm_agent import Agent, tool


@tool(read_only=True)
async def boil(minutes: int) -> str:
    """Boil an egg, in kitchen time."""
    await asyncio.sleep(minutes / 20)
    return f"an egg of {minutes} minutes"


agent = Agent(os.environ.get("MODEL", f"simulate:{Path(__file__).parent / 'scenario.yaml'}"), tools=[boil])


async def main() -> None:
    async with agent.stream("Two eggs, please: one soft (4 minutes), one hard (9 minutes).") as events:
        async for event in events:
            match event.kind:
                case "reasoning_delta":
                    print(f"\033[2m{event.text}\033[0m", end="", flush=True)
                case "text_delta":
                    print(event.text, end="", flush=True)
                case "tool_started":
                    print(f"\n-> {event.call.name}{event.call.arguments}")
                case "tool_finished":
                    print(f"<- {event.result.content} after {event.duration_seconds:.2f} s")
                case "retrying":
                    print(f"\n(again: {event.reason}; what was shown of the answer is void)")
    print(f"\n{events.result.stop_reason}, {events.result.usage.total_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
