"""What an import costs and does: next to nothing."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"mcp", "rich", "typer", "griffe", "starlette", "uvicorn", "yaml", "opentelemetry", "sqlite3"}
LIMIT = 1.5
"""CPU of our import over that of the two libraries that any client needs."""


def python(code: str, *, keeps_bytecode: bool = True) -> str:
    """What a fresh interpreter prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_"))}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment | ({} if keeps_bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("code", ["import glm_agent", "from glm_agent import Agent, tool", "import glm_agent.cli"])
def test_an_import_leaves_the_heavy_libraries_alone(code: str) -> None:
    loaded = set(json.loads(python(f"import json, sys; {code}; print(json.dumps(sorted(sys.modules)))")))
    heavy = HEAVY if code != "import glm_agent.cli" else HEAVY - {"rich", "typer"}
    assert {name.split(".")[0] for name in loaded} & heavy == set()


# pydantic's own import is lazy: a program that stands on it uses at least these two names.
LIBRARIES = "import httpx2; from pydantic import BaseModel, TypeAdapter"


def cpu_seconds(code: str) -> float:
    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    python(code)
    return used() - before


def ratio() -> float:
    """Ours over theirs, medians of runs in turn, so that a busy machine is busy for both."""
    python("from glm_agent import Agent, tool")
    ours, theirs = [], []
    for _ in range(5):
        theirs.append(cpu_seconds(LIBRARIES))
        ours.append(cpu_seconds("from glm_agent import Agent, tool"))
    return statistics.median(ours) / statistics.median(theirs)


def test_the_import_costs_little_more_than_the_libraries_it_stands_on() -> None:
    measured: list[float] = []
    while len(measured) < 3 and (not measured or measured[-1] > LIMIT):
        measured.append(ratio())
    assert min(measured) <= LIMIT, f"{measured} times the CPU of {LIBRARIES!r}"


WATCHED = """
import importlib, json, logging, os, pkgutil, signal, sys, threading, warnings
import glm_agent

def import_all():
    skipped = []
    for module in pkgutil.walk_packages(glm_agent.__path__, "glm_agent."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("glm_agent"):
                raise
            skipped.append(module.name)
    return skipped

# Once to have the libraries loaded, whose effects are theirs; then again, watched.
skipped = import_all()
for name in [name for name in sys.modules if name.split(".")[0] == "glm_agent"]:
    if name != "glm_agent":
        del sys.modules[name]

def state():
    return {
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "handlers": [str(handler) for handler in logging.getLogger().handlers],
        "level": logging.getLogger().level,
        "filters": len(warnings.filters),
        "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
    }

effects = []
def watch(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    starts = (
        "socket.", "subprocess.", "sqlite3.", "_thread.start", "urllib.", "shutil.", "tempfile.", "os.system",
        "os.exec", "os.posix_spawn", "os.fork", "os.mkdir", "os.remove", "os.rename", "os.putenv", "os.chdir",
    )
    if writes or event.startswith(starts):
        effects.append(f"{event} {args!r}"[:200])

class WatchedThread(threading.Thread):
    def start(self):
        effects.append(f"thread {self!r}")
        super().start()

threading.Thread = WatchedThread
before = state()
sys.addaudithook(watch)
import_all()
found = list(effects)
after = state()
changed = [key for key in before if before[key] != after[key]]
print(json.dumps({"effects": found, "changed": changed, "skipped": skipped}))
"""


def test_importing_every_module_does_nothing_else() -> None:
    seen = json.loads(python(WATCHED, keeps_bytecode=False).splitlines()[-1])
    assert (seen["effects"], seen["changed"]) == ([], [])
    # Only modules behind an extra that is not installed.
    assert all(name.startswith(("glm_agent.durable", "glm_agent.tracing")) for name in seen["skipped"])


def test_importing_the_toolbox_does_nothing_either() -> None:
    code = WATCHED.replace("import glm_agent\n", "import glm_agent_tools as glm_agent\n").replace(
        '"glm_agent', '"glm_agent_tools'
    )
    seen = json.loads(python(code, keeps_bytecode=False).splitlines()[-1])
    assert (seen["effects"], seen["changed"]) == ([], [])
