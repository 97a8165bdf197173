"""An MCP server on standard input and output, by the official SDK."""

from __future__ import annotations

import logging
import os

from mcp.server import MCPServer

server = MCPServer("echo")


@server.tool()
def echo(text: str) -> str:
    """Echo the text back."""
    return text


@server.tool(structured_output=False)  # else the SDK sends the text twice
def big(megabytes: int) -> str:
    """A text of that size."""
    return "x" * (megabytes * 2**20)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(os.getppid()) | {1})} & set(range(os.cpu_count() or 1)))
    server.run(transport="stdio")
