"""Batches that workers do: put into a database, done by whoever lives, fetched by whoever asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "glm_agent.cli"]
DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")
SECONDS = 90

TOOLS = '''
import os
from pathlib import Path
from glm_agent import tool

@tool
def die(name: str) -> str:
    """Write a line; the second one kills the worker before its result is kept."""
    with open("deaths.txt", "a") as file:
        file.write(name + "\\n")
    if len(Path("deaths.txt").read_text().splitlines()) == 2:
        os.kill(os.getpid(), 9)
    return "survived"
'''


class Place:
    """A folder with tools, and processes in it that use one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "GLM_AGENT_DATABASE_URL": url, "GLM_AGENT_HOME": str(folder / "home")}
        self.workers: list[subprocess.Popen[str]] = []
        (folder / "tools.py").write_text(TOOLS)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "worker", "-q", *arguments], cwd=self.folder, env=self.environ, encoding="utf-8"
        )
        self.workers.append(process)
        return process

    def tasks(self, *tasks: dict[str, Any]) -> None:
        (self.folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))

    def results(self) -> dict[str, dict[str, Any]]:
        found = [json.loads(line) for line in (self.folder / "r.jsonl").read_text().splitlines()]
        assert len({each["key"] for each in found}) == len(found)
        return {each["key"]: each for each in found}

    def close(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait(SECONDS)


@pytest.fixture
def place(tmp_path: Path) -> Generator[Callable[[str], Place]]:
    opened: list[Place] = []

    def new(url: str) -> Place:
        opened.append(Place(tmp_path, url))
        return opened[-1]

    yield new
    for each in opened:
        each.close()


def test_a_batch_is_done_by_workers_of_which_one_dies(postgres_url: str, place: Callable[[str], Place]) -> None:
    here = place(postgres_url)
    names = [f"n{number}" for number in range(6)]
    here.tasks(*({"key": name, "prompt": f'call die {{"name": "{name}"}}'} for name in names))
    first, second = here.worker(), here.worker()
    done = here.run("batch", "tasks.jsonl", *DIRECTIVE, "--out", "r.jsonl", "--name", "b1")
    assert done.returncode == 0, done.stderr
    assert set(here.results()) == set(names)
    deaths = (here.folder / "deaths.txt").read_text().splitlines()
    assert sorted(deaths) == sorted(set(deaths)), "no write happened twice"
    assert {first.poll(), second.poll()} == {None, -signal.SIGKILL}
    (here.folder / "r.jsonl").unlink()
    fetched = here.run("batch", "tasks.jsonl", *DIRECTIVE, "--out", "r.jsonl", "--name", "b1")
    assert fetched.returncode == 0, fetched.stderr
    assert set(here.results()) == set(names)
    assert len((here.folder / "deaths.txt").read_text().splitlines()) == len(deaths)


def test_what_stays_in_this_process_is_not_for_workers() -> None:
    from glm_agent import ConfigurationError
    from glm_agent.batch import Batch

    with pytest.raises(ConfigurationError, match="'tools' stays in this process"):
        Batch([{"prompt": "x"}], database="sqlite:///x.db", tools=[])
