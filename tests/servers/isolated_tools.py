"""Tools that run in processes of their own, for the tests of isolation."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

from glm_agent import ToolContext, ToolError, tool


@tool(isolated=True, read_only=True)
def where() -> list[int]:
    """The process it runs in, and its group."""
    return [os.getpid(), os.getpgrp()]


@tool(isolated=True)
async def typed(day: date, /, *, count: int = 2) -> str:
    """Arguments arrive as what they are."""
    return f"{day.year} {type(day).__name__} {count}"


@tool(isolated=True)
def says(context: ToolContext) -> Iterator[str]:
    """Shows how far it is, prints, asks."""
    print("on stdout")
    context.progress("begun", done=1, total=2)
    yield "half"
    yield f"{context.deps} {context.session} {context.idempotency_key} {context.ask_sync('Go on?')}"


@tool(isolated=True)
async def calls(context: ToolContext) -> str:
    """Calls another tool."""
    return (await context.call_tool("other", n=20)).content


@tool(isolated=True)
def fails(how: str) -> str:
    """Fails in some way."""
    match how:
        case "told":
            raise ToolError("word for word")
        case "error":
            raise KeyError("x")
        case "exit":
            os._exit(3)
        case "system exit":
            raise SystemExit("bye")
        case _:
            ctypes.string_at(0)
    return ""


@tool(isolated=True, timeout_seconds=None)
def hangs(file: str) -> None:
    """Hangs, and so does what it started."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(f"{file}.new", "w") as out:
        out.write(f"{os.getpid()} {child.pid}")
    os.rename(f"{file}.new", file)
    time.sleep(600)


@tool(isolated=True)
def leaves_something_running() -> int:
    """Starts a process and returns."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


@tool(isolated=True, max_output_tokens=100)
def large() -> str:
    """A large result."""
    return "x" * 5_000_000
