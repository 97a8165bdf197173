"""A server's process: started in its own group, stopped with everything it started, its last words kept.

Knows nothing of MCP. What is written and read is bytes. Nothing of our environment reaches the server but
harmless names and what the configuration gives it.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import Process

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.watchdog import watched

GRACE_SECONDS = 2.0
"""How long a server may take to leave when its input ends, and again when it is asked to by a signal."""

_TAIL_LINES = 50
_TAIL_LINE_LENGTH = 2000
"""More than is shown, so that no secret is cut in two and not recognized."""
_CHUNK = 1 << 16
_POLL_SECONDS = 0.01
_LAST_WORDS_SECONDS = 0.5

_INHERITED = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "VIRTUAL_ENV", "CONDA_PREFIX"),
        *("APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE", "PROGRAMFILES"),
        *("COMSPEC", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"),
    }
)
"""Names that every server may see; none of them holds a secret."""


@dataclass(slots=True)
class ServerProcess:
    """A running server."""

    process: Process
    words: deque[str] = field(default_factory=lambda: deque[str](maxlen=_TAIL_LINES))
    """The last lines of its standard error, and what it printed that was no message."""
    is_silent: anyio.Event = field(default_factory=anyio.Event)
    """Set when its standard error has ended."""
    is_stopping: bool = False
    """Whether we are ending it."""
    is_ended: bool = False
    """Whether it was still there when we sent it a signal."""
    has_spoken: bool = False
    """Whether it has written anything to its standard output."""
    has_left: bool = False
    """Whether it ended, or ended its output, before we asked it to."""

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself; negative: the signal that ended it. None while it runs, and when we ended it."""
        return self.process.returncode if self.has_left and not self.is_ended else None

    async def read(self) -> bytes:
        """The next piece of its standard output; empty at the end."""
        assert self.process.stdout is not None
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            chunk = await self.process.stdout.receive(_CHUNK)
            self.has_spoken = True
            return chunk
        self.has_left = self.has_left or not self.is_stopping
        return b""

    async def write(self, data: bytes) -> None:
        """Write to its standard input. Raises ``anyio.BrokenResourceError`` when it no longer reads."""
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send(data)
        except OSError:
            raise anyio.BrokenResourceError from None

    def note(self, line: bytes) -> None:
        """Keep a line as one of its last words."""
        if text := line[: _TAIL_LINE_LENGTH * 4].decode("utf-8", "replace").strip():
            self.words.append(text[:_TAIL_LINE_LENGTH])


async def _started(config: ServerConfig, env: dict[str, str]) -> Process:
    # Cut off half-way, a start would leave a process that nobody knows of.
    with anyio.CancelScope(shield=True):
        return await anyio.open_process(
            [locate(config.command, env), *config.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=config.cwd,
            start_new_session=os.name == "posix",
        )
    raise AssertionError("a shielded scope swallows nothing")


@asynccontextmanager
async def run_server(config: ServerConfig) -> AsyncGenerator[ServerProcess]:
    """The server's process while the block is open; afterwards neither it nor its descendants are left.

    Raises ``OSError`` when the program cannot be started.
    """
    env = environment(config.env, os.environ)
    process = await _started(config, env)
    server = ServerProcess(process=process)
    try:
        with watched(process.pid):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_collect, server)
                try:
                    yield server
                finally:
                    with anyio.CancelScope(shield=True):
                        tasks.start_soon(_drain, server)
                        await _end(server, is_spoken_to=config.transport == "stdio")
                    tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _release(process)


def environment(configured: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """What the server sees of our environment, and what its configuration adds.

    The folder of this interpreter is on the path as if its virtual environment were activated: a server
    that was installed beside us is found without activating anything.
    """
    env = {name: value for name, value in own.items() if name in _INHERITED or name.startswith("LC_")}
    beside = str(Path(sys.executable).parent)
    path = [folder for folder in env.get("PATH", os.defpath).split(os.pathsep) if folder]
    if sys.prefix != sys.base_prefix and beside not in path:
        is_another_active = "VIRTUAL_ENV" in own or "CONDA_PREFIX" in own
        path.insert(len(path) if is_another_active else 0, beside)
    return {**env, "PATH": os.pathsep.join(path), **configured}


def locate(command: str, env: Mapping[str, str]) -> str:
    """The program's file; the command itself where there is none, so that starting it fails by name."""
    return shutil.which(command, path=env.get("PATH")) or command


async def _collect(server: ServerProcess) -> None:
    """Keep the last lines of standard error; it has to be read, or a talkative server stands still."""
    assert server.process.stderr is not None
    pending = b""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        while True:
            *lines, pending = (pending + await server.process.stderr.receive(_CHUNK)).split(b"\n")
            for line in lines[-_TAIL_LINES:]:
                server.note(line)
            pending = pending[-_CHUNK:]
    server.note(pending)
    server.is_silent.set()


async def _drain(server: ServerProcess) -> None:
    """Nobody listens any more; a server that is busy writing would not notice that its input has ended."""
    while await server.read():
        pass


async def _end(server: ServerProcess, *, is_spoken_to: bool) -> None:
    """Stop it, and hear its last words."""
    server.has_left = server.has_left or server.process.returncode is not None
    server.is_stopping = True
    # Only a server that talks through its pipes leaves when they end, and one that is still starting has nothing
    # to put in order.
    leaves = GRACE_SECONDS if is_spoken_to and server.has_spoken else _LAST_WORDS_SECONDS if server.has_left else 0
    server.is_ended = await _stop(server.process, leaves_within=leaves)
    with anyio.move_on_after(_LAST_WORDS_SECONDS):
        await server.is_silent.wait()


async def _stop(process: Process, *, leaves_within: float) -> bool:
    """End the input, wait, ask by signal, wait, kill; then whatever the server started and left behind.

    Whether it took more than the end of its input.
    """
    assert process.stdin is not None
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    has_exited = await _exited(process, leaves_within)
    if not has_exited:
        _signal(process, signal.SIGTERM)
        await _exited(process, GRACE_SECONDS)
    _signal(process, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    await _exited(process, GRACE_SECONDS)
    return not has_exited


async def _exited(process: Process, seconds: float) -> bool:
    """Whether it ends in time. Polls: on asyncio, waiting for a process waits for its pipes too, which a
    descendant may hold open for ever."""
    for _ in range(math.ceil(seconds / _POLL_SECONDS)):
        if process.returncode is not None:
            return True
        await anyio.sleep(_POLL_SECONDS)
    return process.returncode is not None


def _signal(process: Process, number: signal.Signals) -> None:
    """To the whole group, which outlives its leader."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.send_signal(number)


async def _release(process: Process) -> None:
    """Close the pipes and asyncio's transport, which a descendant's open end would keep."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await stream.aclose()
    # Nothing public gives the transport away; without this it warns when it is collected.
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if close := getattr(transport, "close", None):
        with suppress(PermissionError):
            close()
