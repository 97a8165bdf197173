"""A well-behaved MCP server on the SDK: python sdk.py http|sse|stdio [PORT]. Prints its port when it listens."""

import logging
import socket
import sys

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations


def build(name: str = "sdk") -> MCPServer:
    server = MCPServer(name)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def repeat(text: str, times: int) -> str:
        """The text, many times."""
        return text * times

    @server.tool()
    def fail(reason: str) -> str:
        """Fail."""
        raise ToolError(reason)

    @server.tool()
    def picture() -> Image:
        """A picture."""
        return Image(data=b"\x89PNG\r\n\x1a\n", format="png")

    @server.tool()
    async def count(to: int, context: Context) -> str:
        """Count with progress."""
        for step in range(to):
            await context.report_progress(step + 1, to, f"step {step + 1}")
        return f"counted to {to}"

    @server.tool()
    async def wait(context: Context) -> str:
        """Say so, and wait for ever."""
        await context.report_progress(0, 1, "waiting")
        await anyio.sleep_forever()
        return ""

    here = [0]

    @server.tool()
    async def meet(count: int) -> str:
        """Wait until so many calls are here at once."""
        here[0] += 1
        while here[0] < count:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        return "met"

    return server


def main() -> None:
    import uvicorn

    logging.disable(logging.CRITICAL)
    kind, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = build()
    if kind == "stdio":
        server.run("stdio")
        return
    app = server.sse_app() if kind == "sse" else server.streamable_http_app()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
