"""Sessions: a conversation that outlives its process, and a turn that goes on where it was killed.

python examples/05_sessions/main.py                         on the simulator, no key
MODEL=glm-5.3-flash python examples/05_sessions/main.py     on GLM, with ZAI_API_KEY
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from glm_agent import Agent, tool

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER") or tempfile.mkdtemp())
WASHED = FOLDER / "washed.txt"


@tool(read_only=True)
def count_plates() -> int:
    """How many plates there are."""
    return 3


@tool
def wash(plate: int) -> str:
    """Wash a plate."""
    with WASHED.open("a") as file:
        file.write(f"plate {plate}\n")
    return f"plate {plate} is clean"


@tool(idempotent=True)
def dry(plate: int) -> str:
    """Dry a plate. The first process dies here, in the middle of the turn."""
    if os.environ.get("EXAMPLE_DIES"):
        os._exit(9)
    return f"plate {plate} is dry"


agent = Agent(
    os.environ.get("MODEL", f"simulate:{Path(__file__).parent / 'scenario.yaml'}"),
    tools=[count_plates, wash, dry],
    journal=FOLDER / "journal.db",
    session="dishes",
)


def main() -> None:
    if os.environ.get("EXAMPLE_DIES"):
        agent.run_sync("Do the dishes: count, wash all, dry all.")
        return
    # The same program, as another process that is killed while it dries.
    environ = {**os.environ, "EXAMPLE_DIES": "1", "EXAMPLE_FOLDER": str(FOLDER)}
    died = subprocess.run([sys.executable, __file__], env=environ, check=False)
    print(f"the first process ended with {died.returncode}, having washed {WASHED.read_text().count('plate')} plates")

    result = agent.run_sync()  # no prompt: finish the turn that was cut off
    print(f"resumed: {result.output}")
    print(f"plates washed in both processes together: {WASHED.read_text().count('plate')}")

    result = agent.run_sync("Thank you! How many was that?")  # the next turn of the same conversation
    print(f"next turn: {result.output}")


if __name__ == "__main__":
    main()
