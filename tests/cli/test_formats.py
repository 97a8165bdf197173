"""What is written to stdout, and its published schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from glm_agent.cli.formats import line_schema
from glm_agent.cli.phrases import duration

SCHEMA = Path(__file__).parents[2] / "docs" / "events.schema.json"
COMMAND = [sys.executable, "-m", "glm_agent.cli"]
DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")


def test_the_published_schema_is_the_one_in_use():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == line_schema()


def test_every_line_fits_the_schema(cli: Any):
    (cli.folder / "s.yaml").write_text(
        "version: 1\nsteps:\n"
        "  - {think: Hm., say: So., calls: [{add: {a: 1, b: 2}}, nosuch, note: {text: x}], fault: {cut_after: 2}}\n"
        "  - {say: Done.}\n"
    )
    options = ("--model", "simulate:s.yaml", "--tools", "./tools.py", "--ask", "note", "--session", "s1")
    asked = cli("run", "go", *options, "--format", "jsonl", "-q")
    done = cli("run", "--resume", "s1", "--approve", "all", "--format", "jsonl", "-q")
    lines = [json.loads(line) for line in (asked.stdout + done.stdout).splitlines()]
    validator = jsonschema.Draft202012Validator(line_schema())
    for line in lines:
        validator.validate(line)
    kinds = {line["kind"] for line in lines}
    assert {"retrying", "approval_requested", "approval_decision", "turn_stopped", "tool_finished", "result"} <= kinds
    assert [line["exit_code"] for line in lines if line["kind"] == "result"] == [5, 0]


def test_half_a_character_does_not_break_the_output(cli: Any):
    (cli.folder / "halves.py").write_text(
        'from glm_agent import tool\n\n@tool\ndef half() -> str:\n    """Half."""\n    return "a\\ud83d"\n'
    )
    for form in ("text", "jsonl"):
        done = cli("run", "call half {}", "-m", "simulate:directive", "--tools", "./halves.py", "--format", form)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_traceback(cli: Any):
    process = cli.start("run", "call hang {}", *DIRECTIVE, "--timeout", "1", "--format", "jsonl")
    process.stdout.close()
    with process:
        assert "Traceback" not in process.stderr.read()


def with_streams(cli: Any, redirections: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        "sh",
        "-c",
        f'exec "$@" {redirections}',
        "sh",
        *COMMAND,
        "run",
        "hello",
        "-m",
        "simulate:echo",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=cli.folder, env=cli.environ, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_full_disk_behind_stdout_is_said_and_the_answer_kept(cli: Any, form: str):
    done = with_streams(cli, "> /dev/full", "--format", form, "--session", "full")
    assert done.returncode == 1
    assert "error: the output cannot be written to stdout: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert cli("run", "--resume", "full", "--format", "text").stdout == "hello\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_process_without_standard_streams_does_its_work(cli: Any, closed: str):
    done = with_streams(cli, closed, "--session", "service", "--output", "answer.txt")
    assert (done.returncode, (cli.folder / "answer.txt").read_text()) == (0, "hello\n")
    assert "Traceback" not in done.stderr
    assert cli("run", "--resume", "service").stdout == "hello\n"


def test_a_time_of_some_minutes_never_has_sixty_seconds():
    said = {seconds: duration(seconds) for seconds in (0.01, 59.9, 59.99, 60.0, 119.6, 179.5, 185.0)}
    assert list(said.values()) == ["10 ms", "59.9 s", "1 min 0 s", "1 min 0 s", "2 min 0 s", "3 min 0 s", "3 min 5 s"]
