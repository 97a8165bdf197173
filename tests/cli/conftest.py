"""The command line as people run it: real processes, with pipes or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

COMMAND = [sys.executable, "-m", "glm_agent.cli"]
SECONDS = 120

TOOLS = '''
import time
from glm_agent import tool

@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b

@tool
def note(text: str) -> str:
    """Append a line to notes.txt."""
    with open("notes.txt", "a") as file:
        file.write(text + "\\n")
    return "noted"

@tool(timeout_seconds=None)
def hang() -> str:
    """Never come back, in a thread."""
    while True:
        time.sleep(0.1)

@tool(timeout_seconds=0.2, read_only=True)
def late() -> str:
    """Take longer than allowed, in a thread."""
    while True:
        time.sleep(0.1)

@tool(timeout_seconds=None)
async def block() -> str:
    """Never come back, and block the event loop."""
    while True:
        time.sleep(0.1)

@tool
def broken() -> str:
    """Raise."""
    raise RuntimeError("the shelf fell down")
'''


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Nursery:
    """Processes that begin with everything imported."""

    process: subprocess.Popen[str]

    def run(self, **request: Any) -> int:
        """Start one, wait, and return its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        watchdog = threading.Timer(SECONDS, self.process.kill)
        watchdog.start()
        try:
            return int(self.process.stdout.readline())
        finally:
            watchdog.cancel()


@dataclass
class Cli:
    """Runs ``glm-agent`` in a folder of its own, where ``tools.py`` is."""

    folder: Path
    environ: dict[str, str]
    nursery: Nursery
    started: list[tuple[subprocess.Popen[str], threading.Timer]] = field(default_factory=list)

    def __call__(self, *arguments: str, text: str = "", **environ: str) -> Done:
        streams = {name: self.folder / f".{name}" for name in ("stdin", "stdout", "stderr")}
        for file in streams.values():
            file.write_text("")
        streams["stdin"].write_text(text)
        code = self.nursery.run(
            argv=arguments,
            cwd=str(self.folder),
            environ={**self.environ, **environ},
            **{name: str(file) for name, file in streams.items()},
        )
        return Done(code, streams["stdout"].read_text(), streams["stderr"].read_text())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A running process; it is killed when it takes too long."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        watchdog = threading.Timer(SECONDS, process.kill)
        watchdog.daemon = True
        watchdog.start()
        self.started.append((process, watchdog))
        return process

    def is_at_work(self, process: subprocess.Popen[str]) -> bool:
        """Whether it still runs after a moment; to be asked between two looks at what it does."""
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            return True
        return False

    def close(self) -> None:
        """End what was started and is still there."""
        for process, watchdog in self.started:
            watchdog.cancel()
            process.kill()
            with process:
                pass

    def on_terminal(self, *arguments: str) -> Terminal:
        return Terminal([*COMMAND, *arguments], self.folder, {**self.environ, "TERM": "xterm-256color"})


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def wait_for(self, text: str) -> None:
        """Read until ``text`` has been shown since the last wait, or fail."""
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(), f"{text!r} was not shown, but:\n{self.shown}"
        self._seen = at + len(text)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._ours)

    def _read(self) -> str:
        ready, _, _ = select.select([self._ours], [], [], SECONDS)
        try:
            text = os.read(self._ours, 65536).decode(errors="replace") if ready else ""
        except OSError:  # the other side is closed
            return ""
        self.shown += text
        return text


@pytest.fixture(scope="session")
def nursery() -> Generator[Nursery]:
    command = [sys.executable, str(Path(__file__).parent / "nursery.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def cli(tmp_path: Path, nursery: Nursery) -> Generator[Cli]:
    (tmp_path / "tools.py").write_text(TOOLS)
    hidden = ("API_KEY", "BASE_URL", "GLM_AGENT", "NO_COLOR", "FORCE_COLOR")
    environ = {name: value for name, value in os.environ.items() if not any(word in name for word in hidden)}
    environ["GLM_AGENT_CACHE_DIR"] = os.environ["GLM_AGENT_CACHE_DIR"]  # the test's own
    run = Cli(tmp_path, {**environ, "COLUMNS": "100"}, nursery)
    yield run
    run.close()


@pytest.fixture
def terminals(cli: Cli) -> Generator[list[Terminal]]:
    """Terminals to be closed after the test, whatever it did."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()
