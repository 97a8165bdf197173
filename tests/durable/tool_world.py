"""A world outside: what tools of workers say to it, and its answers, each when a test gives it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from glm_agent.durable import queue_in
from glm_agent.durable.queue import TurnSpec

SECONDS = 120.0
TASK = """---
model: simulate:directive
tools: [./tools.py]
params: {text: null}
---
${text}
"""
TOOLS = '''
import asyncio, os, signal
from glm_agent import tool
from glm_agent.registry import ToolContext

async def ask(line: str) -> str:
    """Say it to the world, and wait for its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["WORLD"]))
    writer.write(f"{os.getpid()} {line}\\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer

@tool(idempotent=True)
async def pay(context: ToolContext) -> str:
    """Pay."""
    return await ask(f"pay {context.idempotency_key}")

@tool(destructive=True)
async def mail() -> str:
    """Send."""
    return await ask("mail")

@tool(read_only=True)
def long() -> str:
    """More than a model is shown at once."""
    return "\\n".join(f"line {number}" for number in range(50_000))

@tool(read_only=True)
def die() -> str:
    """End the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""
'''


class Call:
    """A call of a tool that waits for the world's answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        self._connection = connection
        with connection.makefile() as said:
            process, _, self.said = said.readline().strip().partition(" ")
        self.process = int(process)

    def answer(self, text: str = "done") -> None:
        self._connection.sendall(f"{text}\n".encode())
        self._connection.close()


class World:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(SECONDS)
        (folder / "TASK.md").write_text(TASK)
        (folder / "tools.py").write_text(TOOLS)
        self._workers: list[subprocess.Popen[str]] = []
        self._connections: list[socket.socket] = []

    def calls(self, count: int) -> list[Call]:
        """The next calls, sorted by what they say."""
        self._connections += [self._server.accept()[0] for _ in range(count)]
        return sorted(map(Call, self._connections[-count:]), key=lambda call: call.said)

    def nothing_comes(self) -> bool:
        self._server.settimeout(0)
        try:
            self._server.accept()
        except BlockingIOError:
            return True
        finally:
            self._server.settimeout(SECONDS)
        return False

    def put(self, session: str, *lines: str, is_next: bool = False, **more: object) -> None:
        """A turn of a new session, or (``is_next``) the next one of a session that is there."""
        text = "\n".join(lines)
        options = {"task": str(self.folder / "TASK.md"), "parameters": {"text": text}, **more}
        with queue_in(self.url) as queue:
            queue.put([TurnSpec(session=session, prompt=text if is_next else None, options=options)])

    def worker(self, *options: str, home: Path | None = None) -> subprocess.Popen[str]:
        """``home``: the folders of another machine, which has nothing of ours but the database and the task."""
        command = [sys.executable, "-m", "glm_agent.cli", "worker", "--database", self.url, *options]
        environment = {**os.environ, "WORLD": str(self._server.getsockname()[1])}
        if home is not None:
            home.mkdir()
            environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "GLM_AGENT_HOME": str(home / "own")}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=home or self.folder)
        self._workers.append(process)
        return process

    def close(self) -> None:
        for process in self._workers:
            process.kill()
            process.communicate(timeout=SECONDS)
        for each in (self._server, *self._connections):
            each.close()


def line_with(process: subprocess.Popen[str], text: str, *, but_not: str | None = None) -> str:
    """The next line of the worker with this text. It says what it does, so nothing is waited for by the clock."""
    assert process.stderr is not None
    seen: list[str] = []
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            seen.append(line)
            assert but_not is None or but_not not in line, seen
            if text in line:
                return line
    finally:
        watchdog.cancel()
    raise AssertionError(f"no {text!r} in {seen}")
