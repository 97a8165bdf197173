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

import anyio
import pytest

from glm_agent import Agent
from glm_agent.batch import Batch, BatchReport, queued
from glm_agent.durable import worker_on
from glm_agent.durable.worker import Work
from glm_agent.errors import ModelConnectionError
from glm_agent.messages import ModelResponse, TurnResult
from glm_agent.simulate import ScriptedModel

OPTIONS = {"model": "simulate:directive"}
COMMAND = [sys.executable, "-m", "glm_agent.cli"]
DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")
SECONDS = 180

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


def test_what_failed_is_taken_up_again_and_what_ended_only_when_told_to(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_AGENT_HOME", str(tmp_path / "home"))
    asked: list[str] = []

    async def do(work: Work) -> TurnResult:
        agent = Agent(ScriptedModel([answers.pop(work.session.rpartition("-")[0], "ok")]), journal=work.sessions)
        asked.append(work.session)
        if work.is_resumed:
            return await agent.resume(work.session)
        return await agent.run(work.prompt, session=work.session)

    answers: dict[str, Any] = {}

    def run(**more: Any) -> dict[str, dict[str, Any]]:
        batch = Batch(tasks, database=sqlite_url, name="b", out=tmp_path / "r.jsonl", options=OPTIONS, **more)
        reports.append(batch.run_sync())
        found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
        return {each["key"]: each for each in found}

    reports: list[BatchReport] = []
    tasks = [{"key": "a", "prompt": "a"}]
    with worker_on(sqlite_url, do):
        answers["b"] = ModelConnectionError("gone")
        assert run()["a"]["error"] == {"type": "ModelConnectionError", "message": "gone"}
        answers["b"] = ModelResponse(text="", finish_reason="sensitive")
        assert run()["a"]["stop_reason"] == "refusal"
        assert asked[0] == asked[1], "what failed goes on in its session"
        assert run()["a"]["stop_reason"] == "refusal"
        assert len(asked) == 2
        again = run(retry_failed=True)["a"]
    assert (again["stop_reason"], again["output"], again["session"]) == ("end_turn", "ok", f"{asked[0]}.2")
    assert [(each.answered, each.failed, each.left) for each in reports] == [(0, 1, 0)] * 3 + [(1, 0, 0)]


def test_every_task_of_a_long_batch_is_put_into_the_queue(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_AGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(queued, "_PUT_AT_ONCE", 2)

    async def do(work: Work) -> TurnResult:
        return await Agent(ScriptedModel(["ok"]), journal=work.sessions).run(work.prompt, session=work.session)

    async def run() -> BatchReport:
        tasks = [{"key": str(number), "prompt": "x"} for number in range(5)]
        with anyio.fail_after(SECONDS):  # for a task that is not there it would wait for ever
            return await Batch(tasks, database=sqlite_url, name="b", options=OPTIONS).run()

    with worker_on(sqlite_url, do):
        assert anyio.run(run).answered == 5


def test_what_stays_in_this_process_is_not_for_workers() -> None:
    from glm_agent import ConfigurationError

    with pytest.raises(ConfigurationError, match="'tools' stays in this process"):
        Batch([{"prompt": "x"}], database="sqlite:///x.db", tools=[])
