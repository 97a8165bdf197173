"""A Python function as a tool: type hints are its schema, the docstring is what the model reads.

python examples/02_custom_tool/main.py                         on the simulator, no key
MODEL=glm-5.3-flash python examples/02_custom_tool/main.py     on GLM, with ZAI_API_KEY
"""

import os
from pathlib import Path

from glm_agent import Agent, ToolError, tool

INVENTORY = {"A-17": 4, "B-3": 0}


@tool(read_only=True)
def stock(sku: str) -> int:
    """Units in stock.

    Args:
        sku: Article number, as printed on the shelf.
    """
    if sku not in INVENTORY:
        raise ToolError(f"no article {sku!r}; there are {', '.join(INVENTORY)}")
    return INVENTORY[sku]


agent = Agent(
    os.environ.get("MODEL", f"simulate:{Path(__file__).parent / 'scenario.yaml'}"),
    instructions="You know the shelves. Answer in one sentence.",
    tools=[stock],
)

if __name__ == "__main__":
    result = agent.run_sync("How many A-17, B-3 and C-9 are left?")
    print(result.output)
    print(f"({result.steps} steps, {result.usage.total_tokens} tokens, {result.stop_reason})")
