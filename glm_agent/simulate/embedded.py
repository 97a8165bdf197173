"""One simulator per scenario within the process: what ``Agent("simulate:…")`` talks to over real HTTP.

Nobody holds these servers, so what a test would ask of its own is logged when the process ends: the steps that
nobody asked for.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from pathlib import Path

from glm_agent.simulate.server import BUILT_IN, SimulatorServer

_running: dict[tuple[int, str], SimulatorServer] = {}
_lock = threading.Lock()
_log = logging.getLogger("glm_agent.simulate")


def embedded(scenario: str = "directive") -> SimulatorServer:
    """The running simulator for a built-in name or a file; started at first use, stopped when the process ends.

    The same scenario is the same server, also for another path to the file; a changed file is a new one.
    ``ConfigurationError`` where the scenario does not exist or has an error.
    """
    key = (os.getpid(), _identity(scenario))
    with _lock:
        if not _running:
            atexit.register(stop_all)
        if key not in _running:
            _running[key] = SimulatorServer(scenario).start()
        return _running[key]


def stop_all() -> None:
    """Stop the simulators of this process; of those that were used, the unused steps are logged."""
    with _lock:
        for process, name in list(_running):
            server = _running.pop((process, name))
            if process == os.getpid():  # a forked child has the entry, not the thread
                server.stop()
                _report_unused(server)


def _report_unused(server: SimulatorServer) -> None:
    if server.requests and (unused := server.unused_steps()):
        _log.warning("scenario '%s': nobody asked for %s", server.name, "; ".join(unused))


def _identity(scenario: str) -> str:
    path = Path(scenario)
    if scenario in BUILT_IN or not os.path.exists(path):
        return scenario
    return f"{path.resolve()}:{path.stat().st_mtime_ns}"
