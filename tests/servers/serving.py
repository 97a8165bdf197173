"""``glm-agent mcp serve`` as a process of its own, with tools that end, fail, count and never end."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from real import BESIDE

SECONDS = 120
TOOLS = '''
import anyio
from glm_agent import ToolContext, tool


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@tool
async def count(context: ToolContext, to: int) -> str:
    """Count with progress."""
    for step in range(to):
        context.progress(f"step {step + 1}", done=step + 1, total=to)
        await anyio.sleep(0)
    return f"counted to {to}"


@tool
async def forever() -> str:
    """Never end."""
    await anyio.sleep_forever()
    return ""
'''


def command(*arguments: str) -> list[str]:
    return [str(BESIDE / "glm-agent"), "mcp", "serve", *arguments]


@dataclass
class Served:
    """A server that listens."""

    process: subprocess.Popen[str]
    url: str
    said: list[str] = field(default_factory=list)

    def ended(self) -> tuple[int, str]:
        """Exit code and what was written, once it has ended by itself."""
        _, rest = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, "".join(self.said) + rest


@contextmanager
def served(*arguments: str, folder: Path, **env: str) -> Iterator[Served]:
    program = command(*arguments, "--http", "--port", "0")
    with subprocess.Popen(
        program, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
    ) as process:
        assert process.stderr is not None
        try:
            said = [process.stderr.readline()]
            found = re.search(r"http://\S+", said[0])
            assert found, said[0] + process.stderr.read()
            yield Served(process, found[0], said)
        finally:
            process.kill()
