"""Tools from a plugin file, by its path; ``tools=["files"]`` would load an installed plugin by its name.

python examples/06_plugin/main.py
glm-agent tools list examples/06_plugin/kitchen.py
glm-agent tools call convert '{"amount": 2, "unit": "cup"}' --tools examples/06_plugin/kitchen.py
glm-agent chat --tools examples/06_plugin/kitchen.py --model simulate:directive
"""

from pathlib import Path

from glm_agent import Agent

# The directive model needs no scenario: it obeys lines like these, so that any tool can be tried without a key.
PROMPT = """
call convert {"amount": 2, "unit": "cup"}
call convert {"amount": 1, "unit": "bucket"}
then call bake {"minutes": 3}
"""

if __name__ == "__main__":
    agent = Agent("simulate:directive", tools=[str(Path(__file__).parent / "kitchen.py")])
    print(agent.run_sync(PROMPT).output)
