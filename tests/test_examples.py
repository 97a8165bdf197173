"""The examples, run as their readers run them; the main job on repositories that nobody has seen before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from glm_agent.simulate import SimulatorServer

EXAMPLES = Path(__file__).parent.parent / "examples"
TASK = EXAMPLES / "01_repo_report" / "TASK.md"
SCENARIO = EXAMPLES / "01_repo_report" / "scenario.yaml"
SECONDS = 120


def run(*command: Any, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    hidden = ("API_KEY", "BASE_URL", "GLM_AGENT", "MODEL", "EXAMPLE_")
    kept = {name: value for name, value in os.environ.items() if not any(word in name for word in hidden)}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )


def git(folder: Path, *arguments: str) -> str:
    names = {f"GIT_{who}_{what}": "Ann" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = run("git", *arguments, cwd=folder, **names)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path, subject: str, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--allow-empty", "--message", subject)


def job(folder: Path, *options: Any, model: str = f"simulate:{SCENARIO}", **environ: str) -> Any:
    command = [sys.executable, "-m", "glm_agent.cli", "run", TASK, "--model", model, *options]
    done = run(*command, cwd=folder, **environ)
    assert done.returncode == 0, done.stderr
    return done


def figures(report: str) -> dict[str, int]:
    """The rows of all tables that end with a number, by their first cell."""
    rows = re.findall(r"^\| `?(.+?)`? \|(?:.*\|)? (\d+)(?: \(.*\))? \|$", report, re.MULTILINE)
    return {name: int(number) for name, number in rows}


def expected(folder: Path) -> dict[str, int]:
    """The same figures, as git and plain counting give them."""
    tracked = git(folder, "ls-files", "-z").split("\0")[:-1]
    texts = {name: (folder / name).read_bytes() for name in tracked}
    lines = sum(len(text.decode().splitlines()) for text in texts.values() if b"\0" not in text)
    return {
        "Commits": int(git(folder, "rev-list", "--count", "HEAD")),
        "Authors": len(set(git(folder, "log", "--format=%an").splitlines())),
        "Tracked files": len(tracked),
        "Binary files": sum(b"\0" in text for text in texts.values()),
        "Lines": lines,
    }


def busiest(folder: Path) -> Counter[str]:
    return Counter(name for name in git(folder, "log", "--format=", "--name-only").splitlines() if name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "a repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "trunk")
    (folder / ".gitignore").write_text("REPORT.md\n.glm-agent/\n")
    commit(folder, "The beginning", main_dot_py="print(1)\nprint(2)\n", lib__core_dot_rs="fn a() {}\n")
    commit(folder, "A | pipe & a `tick`", main_dot_py="print(1)\n# FIXME\n", notes_dot_md="# Notes\n")
    (folder / "blob.bin").write_bytes(bytes(range(256)))
    commit(folder, "A blob")
    return folder


def test_the_report_tells_the_truth_and_follows_the_repository(repository: Path):
    done = job(repository)
    report = (repository / "REPORT.md").read_text()
    truth = expected(repository)
    assert {name: figures(report)[name] for name in truth} == truth
    assert figures(report)["Open marks (TODO, FIXME)"] == 1
    assert f"**{truth['Commits']} commits**" in done.stdout
    assert "from the branch `trunk`" in report
    assert "agrees" in report  # what mcp-server-git says of the latest commit
    assert r"A \| pipe & a `tick`" in report
    for name in ("git_summary", "count_lines", "git__git_log", "clock__current_time", "write_file"):
        assert f"✓ {name}(" in done.stderr

    commit(repository, "More", main_dot_py="x = 1\n" * 50, web__app_dot_ts="let a = 1\n" * 7)
    commit(repository, "Still more", main_dot_py="x = 2\n" * 60)
    git(repository, "rm", "--quiet", "notes.md")
    commit(repository, "Less")
    job(repository)
    later = (repository / "REPORT.md").read_text()
    truth = expected(repository)
    assert {name: figures(later)[name] for name in truth} == truth
    assert figures(later)["Commits"] == 6
    assert re.search(r"^\| TypeScript \| 1 \| 7 \|$", later, re.MULTILINE)
    assert re.search(rf"^\| `main.py` \| {busiest(repository)['main.py']} \| 60 \|$", later, re.MULTILINE)
    assert re.search(r"^\| `notes.md` \| 2 \| – \|$", later, re.MULTILINE)
    heads = git(repository, "log", "-5", "--format=%H").split()
    assert re.findall(r"^\| `([0-9a-f]{12})` \|", later, re.MULTILINE) == [head[:12] for head in heads]


def test_a_shallow_clone_and_a_folder_without_history_say_so(repository: Path, tmp_path: Path):
    commit(repository, "A fourth")
    git(tmp_path, "clone", "--quiet", "--depth", "2", repository.as_uri(), "shallow")
    job(tmp_path / "shallow")
    report = (tmp_path / "shallow" / "REPORT.md").read_text()
    assert "| Commits | 2 (shallow clone: there are more) |" in report
    assert "shallow clone: only a part of the history" in report

    archive = tmp_path / "archive"
    archive.mkdir()
    git(repository, "archive", "--output", str(tmp_path / "a.tar"), "HEAD")
    run("tar", "-xf", tmp_path / "a.tar", cwd=archive)
    done = job(archive)
    report = (archive / "REPORT.md").read_text()
    assert "has no git history" in report
    assert "no git history" in done.stdout
    assert "Commits" not in report
    assert figures(report)["Lines"] == expected(repository)["Lines"]


def test_only_the_address_differs_for_a_simulator_in_another_process(repository: Path):
    job(repository)
    ours = (repository / "REPORT.md").read_text()
    with SimulatorServer(SCENARIO) as server:
        job(repository, model="glm-5.3-flash", ZAI_BASE_URL=server.base_url, ZAI_API_KEY="any.key")
        server.assert_done()
    theirs = (repository / "REPORT.md").read_text()
    assert ours.splitlines()[3:] == theirs.splitlines()[3:]  # above that stands the time


def test_another_folder_and_another_report_are_parameters(repository: Path):
    job(repository.parent, "--param", f"repo={repository.name}", "--param", "report=out/there.md")
    report = (repository.parent / "out" / "there.md").read_text()
    assert figures(report)["Commits"] == expected(repository)["Commits"]
    assert re.search(r"^\| `main.py` \| 2 \| 2 \|$", report, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("02_custom_tool", r"A-17: 4; B-3: 0; C-9: no article 'C-9'"),
        ("03_mcp_servers", r"It is \d{4}-\d\d-\d\dT.*, and \d+\.\d seconds are left\."),
        ("04_streaming", r"an egg of 4 minutes and an egg of 9 minutes\.\nend_turn"),
        ("05_sessions", r"ended with 9(.|\n)*resumed: All 3 plates(.|\n)*together: 3\nnext turn: That was 3 plates\."),
        ("06_plugin", r"480 ml\n.*unknown unit 'bucket'(.|\n)*baked for 3 minutes"),
        ("07_toolbox", r"run_command +ok +.*4 sales\.csv(.|\n)*python_script +ok +.*285(.|\n)*read_page +ok"),
    ],
)
def test_an_example_runs(name: str, said: str, tmp_path: Path):
    done = run(sys.executable, "-W", "error", EXAMPLES / name / "main.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout)
    assert done.stderr == ""


def test_every_tool_of_the_toolbox_is_used_in_an_example(tmp_path: Path):
    listed = run(sys.executable, "-m", "glm_agent.cli", "tools", "list", "--json", cwd=tmp_path)
    offered = {line["name"] for line in map(json.loads, listed.stdout.splitlines()) if "(glm-agent)" in line["from"]}
    done = run(sys.executable, EXAMPLES / "07_toolbox" / "main.py", cwd=tmp_path)
    used = dict(line.split()[:2] for line in done.stdout.splitlines())
    assert len(offered) > 25
    assert {name: used.get(name) for name in offered | {"sqlite_execute"}} == dict.fromkeys(
        offered | {"sqlite_execute"}, "ok"
    )
