"""``glm-agent batch`` as people run it: killed, interrupted, out of money, on a terminal and in a pipe."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from glm_agent.simulate import SimulatorServer

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")

KILLER = '''
import os
from pathlib import Path
from glm_agent import tool

@tool
def die(name: str) -> str:
    """Write a line, and be killed before the result is kept; but only once."""
    with open("deaths.txt", "a") as file:
        file.write(name + "\\n")
    if len(Path("deaths.txt").read_text().splitlines()) in (2, 5):
        os.kill(os.getpid(), 9)
    return "survived"
'''


WHERE = '''
import asyncio
import gc
from glm_agent import tool

@tool(read_only=True)
async def where() -> str:
    """The event loop's library, and how often garbage is looked for."""
    return f"{type(asyncio.get_running_loop()).__module__} {gc.get_threshold()[0]}"
'''


def write(folder: Path, *tasks: Mapping[str, Any], name: str = "tasks.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(task) + "\n" for task in tasks))


def read(lines: str) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in lines.splitlines()]
    assert len({each["key"] for each in found}) == len(found)
    return {each["key"]: each for each in found}


def say(words: Iterable[str]) -> list[dict[str, str]]:
    return [{"key": word, "prompt": f"say {word}"} for word in words]


def test_results_go_to_stdout_and_everything_else_to_stderr(cli: Any) -> None:
    write(cli.folder, *say("abc"))
    done = cli("batch", "tasks.jsonl", *DIRECTIVE)
    assert done.returncode == 0
    assert {key: each["output"] for key, each in read(done.stdout).items()} == {"a": "a", "b": "b", "c": "c"}
    assert "3 of 3 answered" in done.stderr
    assert cli("batch", "tasks.jsonl", *DIRECTIVE, "-q").stderr == ""
    piped = cli("batch", "-", *DIRECTIVE, text='{"prompt": "say p"}\n')
    assert json.loads(piped.stdout)["output"] == "p"


def test_a_batch_runs_on_the_fast_loop_where_it_is_installed_and_collects_garbage_seldom(cli: Any) -> None:
    pytest.importorskip("uvloop")
    (cli.folder / "tools.py").write_text(WHERE)
    write(cli.folder, {"key": "a", "prompt": "call where {}"})
    done = cli("batch", "tasks.jsonl", *DIRECTIVE)
    assert done.returncode == 0, done.stderr
    assert read(done.stdout)["a"]["output"] == "uvloop 50000"


def test_with_out_the_results_are_in_the_file_alone(cli: Any) -> None:
    write(cli.folder, *say("abc"))
    done = cli("batch", "tasks.jsonl", *DIRECTIVE, "--out", "sub/r.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert set(read((cli.folder / "sub/r.jsonl").read_text())) == set("abc")
    assert "3 of 3 answered (3 before)" in cli("batch", "tasks.jsonl", *DIRECTIVE, "--out", "sub/r.jsonl").stderr


def test_mistakes_are_found_before_anything_runs(cli: Any) -> None:
    (cli.folder / "T.md").write_text("---\nparams: {sku: null}\n---\nsay ${sku}")
    write(cli.folder, {"sku": 1}, {"skuu": 1}, {})
    done = cli("batch", "tasks.jsonl", *DIRECTIVE, "--task", "T.md")
    assert done.returncode == 2
    assert "error: tasks.jsonl:2: unknown field 'skuu': did you mean 'sku'?" in done.stderr
    assert "tasks.jsonl:3: " in done.stderr
    assert cli("batch", "no.jsonl").returncode == 2
    write(cli.folder, {"sku": 1})
    checked = cli("batch", "tasks.jsonl", *DIRECTIVE, "--task", "T.md", "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "1 tasks, no mistake found\n")
    assert not (cli.folder / ".glm-agent/batches").exists()


@pytest.mark.parametrize(
    ("prompts", "options", "code"),
    [
        (["say ok"], (), 0),
        (["say ok", "call note {}"], ("--ask", "note"), 5),
        (["call add {}"], ("--max-steps", "1"), 3),
        (["say ok", "say more"], ("--limit-cost", "0"), 3),
    ],
)
def test_the_exit_code_is_the_most_telling_one(cli: Any, prompts: list[str], options: list[str], code: int) -> None:
    write(cli.folder, *({"prompt": prompt} for prompt in prompts))
    done = cli("batch", "tasks.jsonl", *DIRECTIVE, *options)
    assert done.returncode == code, done.stderr
    assert ("go on with: glm-agent batch tasks.jsonl" in done.stderr) == bool(code)
    if code:
        assert "--name batch-" in done.stderr


def test_a_dead_key_is_one_sentence_and_no_task_failed(cli: Any) -> None:
    write(cli.folder, *say(map(str, range(40))))
    scenario = {"version": 1, "turns": [{"steps": [{"fault": {"status": 429, "code": "1113"}, "say": "no"}]}]}
    with SimulatorServer(scenario) as server:
        environ = {"ZAI_API_KEY": "k.s", "ZAI_BASE_URL": server.base_url}
        done = cli("batch", "tasks.jsonl", "-m", "glm-5.3", "-o", "r.jsonl", "-c", "4", **environ)
        assert len(server.requests) <= 4, "those that were on their way together"
    assert done.returncode == 1
    assert "stopped: the model's server answered with an error (HTTP 429, code 1113)" in done.stderr
    assert "40 left" in done.stderr
    assert (cli.folder / "r.jsonl").read_text() == ""


def test_killed_at_any_time_nothing_is_asked_twice_and_no_write_happens_twice(cli: Any) -> None:
    (cli.folder / "killer.py").write_text(KILLER)
    names = [f"n{number}" for number in range(8)]
    write(cli.folder, *({"key": name, "prompt": f'call die {{"name": "{name}"}}'} for name in names))
    options = ("-m", "glm-5.3", "--tools", "./killer.py", "--out", "r.jsonl", "-c", "3")
    with SimulatorServer("directive") as server:
        cli.environ |= {"ZAI_API_KEY": "k.s", "ZAI_BASE_URL": server.base_url}
        for death in range(2):
            with cli.start("batch", "tasks.jsonl", *options) as process:
                assert process.wait(60) == -signal.SIGKILL, process.stderr.read()
            if death:
                with (cli.folder / "r.jsonl").open("a") as file:
                    file.write('{"kind": "batch_re')
        done = cli("batch", "tasks.jsonl", *options)
        asked = len(server.requests)
    assert done.returncode == 0, done.stderr
    assert asked <= 2 * len(names) + 2 * 3, "two requests a task, and those in flight when it was killed"
    assert set(read((cli.folder / "r.jsonl").read_text())) == set(names)
    deaths = (cli.folder / "deaths.txt").read_text().splitlines()
    assert sorted(deaths) == sorted(set(deaths)), "no write happened twice"


def test_interrupted_it_says_how_to_go_on_and_goes_on(cli: Any) -> None:
    write(cli.folder, {"key": "h", "prompt": "call hang {}"}, *say("abc"))
    with cli.start("batch", "tasks.jsonl", *DIRECTIVE, "--out", "r.jsonl", "-c", "2") as process:
        while len((cli.folder / "r.jsonl").read_text().splitlines() if (cli.folder / "r.jsonl").exists() else ()) < 3:
            assert cli.is_at_work(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        said = process.stderr.read()
    assert "3 of 4 tasks have their result; go on with: glm-agent batch tasks.jsonl" in said
    assert "while tool 'hang' was running" in said
    done = cli("batch", "tasks.jsonl", *DIRECTIVE, "--out", "r.jsonl", "-c", "2")
    assert done.returncode == 0, done.stderr
    assert set(read((cli.folder / "r.jsonl").read_text())) == set("habc")


def test_an_approval_given_to_a_session_is_found_by_the_batch(cli: Any) -> None:
    write(cli.folder, {"key": "k", "prompt": 'call note {"text": "x"}'})
    options = ("batch", "tasks.jsonl", *DIRECTIVE, "--ask", "note", "--out", "r.jsonl")
    assert cli(*options).returncode == 5
    assert cli(*options).returncode == 5, "nobody has decided"
    session = read((cli.folder / "r.jsonl").read_text())["k"]["session"]
    approved = cli("run", "--resume", session, *DIRECTIVE, "--ask", "note", "--approve", "all")
    assert approved.returncode == 0, approved.stderr
    assert cli(*options).returncode == 0
    assert read((cli.folder / "r.jsonl").read_text())["k"]["stop_reason"] == "end_turn"
    assert (cli.folder / "notes.txt").read_text() == "x\n"


def test_a_terminal_shows_figures_and_failures(cli: Any, terminals: list[Any]) -> None:
    write(cli.folder, *say("abc"), {"prompt": "call add {}", "key": "limited"}, {"prompt": "call hang {}", "key": "h"})
    terminal = cli.on_terminal("batch", "tasks.jsonl", *DIRECTIVE, "--max-steps", "1", "-o", "r.jsonl")
    terminals.append(terminal)
    terminal.wait_for("line 4 'limited'")
    terminal.wait_for("1 running")
    terminal.wait_for("1 failed")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "4 of 5 tasks have their result" in terminal.shown
    assert "Traceback" not in terminal.shown
