"""Runs one command with less: fewer files, no sockets, bounded. ``python -m glm_agent_tools.confined FD``.

A process of its own, between a tool and the command. Reads one line of JSON on stdin (``Order`` in
``sandbox``), writes what it knows to the descriptor FD, and ends when the command ends, or when its stdin
is closed: so also when whoever started it is no more. Whatever the command left running ends with it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NoReturn

from glm_agent_tools import kernel

_LIMITS: Final = {
    "cpu_seconds": resource.RLIMIT_CPU,
    "memory_bytes": resource.RLIMIT_AS,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
}


def main() -> NoReturn:
    """Run the command that stdin names."""
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    order = json.loads(_line(0))
    kernel.adopt_orphans()
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _heard)
    child = os.fork()
    if not child:
        _become(order, report)
    status = _wait(child, wake.fileno())
    _end_all(child)
    code = os.waitstatus_to_exitcode(status) if status is not None else -signal.SIGKILL
    os.write(report, json.dumps({"exit_code": code}).encode() + b"\n")
    os._exit(0)


def _heard(number: int, frame: FrameType | None) -> None:
    """Nothing: a signal that has a handler wakes the one who waits."""


def _line(descriptor: int) -> bytes:
    """One line, unbuffered: what follows is the leash."""
    said = b""
    while not said.endswith(b"\n") and (block := os.read(descriptor, 65_536)):
        said += block
    return said


def _wait(child: int, wake: int) -> int | None:
    """How the command ended; None where stdin was closed before."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 1024)
            while (ended := _reap()) is not None:
                if ended[0] == child:
                    return ended[1]
        if 0 in ready and not os.read(0, 1024):
            return None


def _reap() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _end_all(child: int) -> None:
    """End what is still there: the command's group, then every process that came to be ours, until none is left."""
    _kill(-child)
    for _ in range(10_000):
        for pid in _children():
            _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    own, found = os.getpid(), list[int]()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The program's name stands in parentheses and may hold anything.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if parent == own:
                found.append(int(name))
    return found


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


# -- in the command's own process -------------------------------------------------------------------------


def _become(order: dict[str, Any], report: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        kernel.die_with_parent(signal.SIGKILL)
        _give_input(order["input"])
        os.chdir(order["folder"])
        for name, limit in order["limits"].items():
            _limit(_LIMITS[name], limit)
        os.write(report, json.dumps(_confine(order)).encode() + b"\n")
        os.execvpe(order["command"][0], order["command"], order["environment"])
    except BaseException as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        os.write(report, json.dumps({"failed": said or type(error).__name__}).encode() + b"\n")
        os._exit(127)


def _give_input(text: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(text.encode(errors="replace"))
        file.seek(0)
        os.dup2(file.fileno(), 0)


def _limit(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))


def _confine(order: dict[str, Any]) -> dict[str, str]:
    """What could not be taken away, and why; raises where what is missing is required."""
    lacking = dict[str, str]()
    if order["confine_files"]:
        try:
            kernel.drop_capabilities()
            kernel.restrict_files(read=order["read"], write=order["write"])
        except (kernel.NotOffered, OSError) as error:
            lacking["files"] = str(error)
    if order["confine_sockets"]:
        try:
            kernel.forbid_sockets()
        except (kernel.NotOffered, OSError) as error:
            lacking["sockets"] = str(error)
    if lacking and order["is_required"]:
        raise RuntimeError("; ".join(lacking.values()))
    return lacking


if __name__ == "__main__":
    main()
