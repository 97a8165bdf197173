"""An MCP server on standard input and output, by the official SDK: python -m benchmarks.echo_server [TOOLS]."""

from __future__ import annotations

import logging
import os
import sys
import time

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


def find(query: str, limit: int = 10, mode: str = "fast", min_score: float = 0.5) -> str:
    return f"{query} {limit} {mode} {min_score}"


if __name__ == "__main__":
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        told = f"Search the catalogue number {number} and give back the best matching records."
        server.add_tool(find, name=f"tool_{number:03}", description=told)
    logging.disable(logging.INFO)
    time.sleep(float(os.environ.get("BENCHMARKS_SLEEP", "0")))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(os.getppid()) | {1})} & set(range(os.cpu_count() or 1)))
    server.run(transport="stdio")
