"""Runs commands for tools: in a folder, with a time, an output and a memory limit, and with less than the user may do.

``run`` starts ``confined`` in between, which takes files and sockets away where the system can (Landlock and
seccomp, Linux), and ends everything the command started. What was not taken away stands in the outcome.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

from glm_agent import ConfigurationError, ToolContext, ToolError

_KEPT_BYTES: Final = 60_000
"""Of each stream, half at its beginning and half at its end."""
_MAX_OUTPUT_BYTES: Final = 64 * 2**20
_END_SECONDS: Final = 10.0

_SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/proc", "/sys/devices/system/cpu"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust"),
    *("/etc/services", "/etc/protocols", "/etc/mime.types", "/etc/magic", "/etc/fonts", "/etc/terminfo"),
    *("/etc/gitconfig", "/etc/java", "/etc/timezone", "/etc/os-release", "/etc/debian_version"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full"),
)
"""What programs read to run at all. Not in it: homes, ``/var``, ``/run``, ``/tmp``, keys and passwords in ``/etc``."""
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sandbox:
    """What commands may do; in ``deps``, or as ``.sandbox`` of them."""

    is_on: bool = True
    """False: commands have all the user's rights."""
    is_required: bool = False
    """True: where the system cannot confine a command, it is not run."""
    network: bool = False
    """Whether commands may open sockets."""
    read: tuple[str, ...] = ()
    """Files and folders to read besides the workspace and the system's programs."""
    write: tuple[str, ...] = ()
    """Files and folders to change besides the workspace."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Variables to pass on; of the agent's own only PATH, the language and the time zone are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a command."""

    exit_code: int
    """As the command left it; negative: the signal that ended it."""
    stdout: str
    stderr: str
    sandbox: str
    """What the command could not do, or that it could do everything."""
    stopped: str = ""
    """Why it was stopped before its end; empty where it was not."""


def sandbox_of(context: ToolContext) -> Sandbox:
    """The sandbox of a call: from ``deps``, else from the variables ``GLM_AGENT_SANDBOX…``."""
    for candidate in (context.deps, getattr(context.deps, "sandbox", None)):
        if isinstance(candidate, Sandbox):
            return candidate
    mode = os.environ.get("GLM_AGENT_SANDBOX", "on")
    if mode not in ("on", "required", "off"):
        raise ConfigurationError(f"GLM_AGENT_SANDBOX is {mode!r}: write on, required or off")
    return Sandbox(
        is_on=mode != "off",
        is_required=mode == "required",
        network=os.environ.get("GLM_AGENT_SANDBOX_NETWORK", "") == "1",
        read=_paths("GLM_AGENT_SANDBOX_READ"),
        write=_paths("GLM_AGENT_SANDBOX_WRITE"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What is to be run."""

    words: list[str]
    """The program and its arguments."""
    folder: Path
    """Where it runs."""
    workspace: Path
    """The one folder it may change."""
    timeout_seconds: float
    input: str = ""
    read: tuple[str, ...] = ()
    """What it needs to read besides."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables it needs besides."""
    memory_bytes: int = 0
    """0 for no bound."""
    descriptors: tuple[int, ...] = ()
    """Open files that it gets under the same numbers."""


async def run(command: Command, *, sandbox: Sandbox, temporary: Path) -> Outcome:
    """Run a command to its end, or to one of the limits. ``temporary`` is its ``$TMPDIR`` and ``$HOME``.

    Raises ``ToolError`` where the command cannot be started.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as report:
        try:
            process = await _start(writer, command.descriptors)
        finally:
            os.close(writer)
        outputs, stopped = await _follow(process, _order(command, sandbox, temporary), command.timeout_seconds)
        said = dict[str, Any]()
        for line in report:
            said |= json.loads(line)
    if "failed" in said:
        raise ToolError(f"'{command.words[0]}' was not run: {said['failed']}")
    if "exit_code" not in said and not stopped:
        raise ToolError(f"the sandbox ended by itself: {outputs[1].text()[-500:]}")
    return Outcome(
        exit_code=said.get("exit_code", -signal.SIGKILL),
        stdout=outputs[0].text(),
        stderr=outputs[1].text(),
        sandbox=_describe(sandbox, said),
        stopped=stopped,
    )


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder for one command, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="glm-agent-", ignore_cleanup_errors=True) as name:
        yield Path(os.path.realpath(name))


def _order(command: Command, sandbox: Sandbox, temporary: Path) -> dict[str, Any]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"HOME": str(temporary), "TMPDIR": str(temporary), "TERM": "dumb", "NO_COLOR": "1"}
    environment |= {**sandbox.environment, **command.environment}
    limits = {"cpu_seconds": int(command.timeout_seconds * 4) + 5, "file_bytes": 2**30, "open_files": 1024}
    programs = environment.get("PATH", os.defpath).split(os.pathsep)
    return {
        "command": command.words,
        "folder": str(command.folder),
        "environment": environment,
        "input": command.input,
        "limits": limits | ({"memory_bytes": command.memory_bytes} if command.memory_bytes else {}),
        "confine_files": sandbox.is_on,
        "confine_sockets": sandbox.is_on and not sandbox.network,
        "is_required": sandbox.is_on and sandbox.is_required,
        "read": [
            *_SYSTEM,
            *_python(),
            *(path for path in programs if path.startswith("/")),
            *sandbox.read,
            *command.read,
        ],
        "write": [str(command.workspace), str(temporary), *_DEVICES, *sandbox.write],
    }


def _python() -> list[str]:
    """Where this Python and its packages are."""
    return sorted({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())})


async def _start(report: int, descriptors: tuple[int, ...]) -> Process:
    command = [sys.executable, "-P", "-m", "glm_agent_tools.confined", str(report)]
    pipe = subprocess.PIPE
    return await anyio.open_process(
        command, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[report, *descriptors], start_new_session=True
    )


async def _follow(process: Process, order: dict[str, Any], timeout_seconds: float) -> tuple[list[_Kept], str]:
    """Read what the command says until it ends, and see to it that it does."""
    outputs, stopped = [_Kept(), _Kept()], ""
    try:
        with anyio.move_on_after(timeout_seconds) as scope:
            # Where it broke at once, its report and its last words say why.
            with suppress(anyio.BrokenResourceError):
                await cast("ByteSendStream", process.stdin).send(json.dumps(order).encode() + b"\n")
            async with anyio.create_task_group() as readers:
                for stream, kept in _streams(process, outputs):
                    readers.start_soon(_read, stream, kept)
        if scope.cancelled_caught:
            stopped = f"stopped after {timeout_seconds:g} seconds"
    except* _TooMuch:
        stopped = f"stopped: it wrote more than {_MAX_OUTPUT_BYTES >> 20} MiB"
    finally:
        await _end(process, outputs)
    return outputs, stopped


async def _end(process: Process, outputs: list[_Kept]) -> None:
    """Let go of the leash and wait; what was written meanwhile is kept."""
    with anyio.CancelScope(shield=True):
        with anyio.move_on_after(_END_SECONDS), suppress(OSError, anyio.BrokenResourceError):
            await cast("ByteSendStream", process.stdin).aclose()
            await process.wait()
        if process.returncode is None:
            process.kill()
        with anyio.move_on_after(1.0):
            for stream, kept in _streams(process, outputs):
                with suppress(_TooMuch):
                    await _read(stream, kept)
        await process.aclose()


def _streams(process: Process, outputs: list[_Kept]) -> list[tuple[ByteReceiveStream, _Kept]]:
    streams = cast("tuple[ByteReceiveStream, ByteReceiveStream]", (process.stdout, process.stderr))
    return list(zip(streams, outputs, strict=True))


class _TooMuch(Exception):
    pass


class _Kept:
    """The beginning and the end of a stream."""

    def __init__(self) -> None:
        self._head, self._tail, self.total = b"", b"", 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = _KEPT_BYTES // 2 - len(self._head)
        self._head += data[:room]
        self._tail = (self._tail + data[room:])[-_KEPT_BYTES // 2 :]

    def text(self) -> str:
        lost = self.total - len(self._head) - len(self._tail)
        note = f"\n[… {lost:,} bytes left out …]\n" if lost else ""
        whole = (self._head + self._tail).decode(errors="replace")
        return whole if not lost else _decoded(self._head) + note + _decoded(self._tail)


def _decoded(data: bytes) -> str:
    return data.decode(errors="replace")


async def _read(stream: ByteReceiveStream, kept: _Kept) -> None:
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while True:
            kept.add(await stream.receive())
            if kept.total > _MAX_OUTPUT_BYTES:
                raise _TooMuch


def _describe(sandbox: Sandbox, lacking: dict[str, Any]) -> str:
    if not sandbox.is_on:
        return "none: switched off; the command had all rights of the user"
    files = "files: not confined" if "files" in lacking else "files: only the workspace"
    if sandbox.network:
        network = "network: allowed"
    else:
        network = "network: not confined" if "sockets" in lacking else "network: none"
    why = "; ".join(str(lacking[key]) for key in ("files", "sockets") if key in lacking)
    return f"{files}; {network}" + (f" ({why})" if why else "")


def _paths(name: str) -> tuple[str, ...]:
    return tuple(path for path in os.environ.get(name, "").split(os.pathsep) if path)
