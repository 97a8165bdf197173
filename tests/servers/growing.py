"""An MCP server on the SDK whose tools change while it runs: python growing.py.

``grow`` adds a tool and says so twenty times, in the words of the era that the client speaks; ``lists`` says how often
the server was asked for its tools.
"""

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import Tool


class Growing(MCPServer):
    lists = 0

    async def list_tools(self) -> list[Tool]:
        self.lists += 1
        return await super().list_tools()


def build() -> Growing:
    server = Growing("growing")

    @server.tool()
    async def grow(context: Context) -> str:
        """Offer one tool more."""
        server.add_tool(lambda: "new", name="new", description="New.")
        for _ in range(20):
            await context.notify_tools_changed()
            await context.session.send_tool_list_changed()
        return "grown"

    @server.tool()
    def lists() -> int:
        """How often the tools were listed."""
        return server.lists

    return server


if __name__ == "__main__":
    build().run("stdio")
