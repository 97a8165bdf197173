"""Two MCP servers, nothing to glue: one is a command (stdio), one an address (streamable HTTP).

python examples/03_mcp_servers/main.py                         on the simulator, no key
MODEL=glm-5.3-flash python examples/03_mcp_servers/main.py     on GLM, with ZAI_API_KEY
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from glm_agent import Agent

HERE = Path(__file__).parent
PROMPT = "What time is it in UTC, and how many seconds are left until 2100-01-01T00:00:00+00:00?"


async def main(clock: str) -> None:
    agent = Agent(
        os.environ.get("MODEL", f"simulate:{HERE / 'scenario.yaml'}"),
        mcp_servers=["mcp-server-time", {"mcpServers": {"clock": {"url": clock}}}],
    )
    async with agent:  # keeps both servers over many turns
        result = await agent.run(PROMPT)
    print(result.output)


if __name__ == "__main__":
    # Usually somebody else runs the server and you write its address; here it lives as long as the example.
    with subprocess.Popen([sys.executable, HERE / "clock_server.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            asyncio.run(main(process.stdout.readline().strip()))
        finally:
            process.terminate()
