"""A small MCP server over streamable HTTP; prints its address when it listens."""

import logging
import socket
from datetime import UTC, datetime

import uvicorn
from mcp.server import MCPServer

server = MCPServer("clock")


@server.tool()
def seconds_until(moment: str) -> float:
    """Seconds from now until a moment, such as 2100-01-01T00:00:00+00:00."""
    return round((datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds(), 1)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
        app = server.streamable_http_app()
        uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
