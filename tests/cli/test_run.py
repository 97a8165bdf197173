"""``glm-agent run``: what comes out where, with which exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")
ADD = 'call add {"a": 2, "b": 3}'


def test_the_answer_alone_is_on_stdout_and_the_work_on_stderr(cli: Any):
    done = cli("run", f"think I should add.\n{ADD}", *DIRECTIVE)
    assert (done.returncode, done.stdout) == (0, "5\n")
    assert "I should add." in done.stderr
    assert "\n5\n" not in done.stderr  # the answer, which stdout has already
    assert re.search(r"✓ add\(a=2, b=3\)  [\d.]+ m?s\n  5\n", done.stderr)
    assert re.search(r"done · 2 steps · [\d,]+ tokens in \(\d+% cached\), \d+ out · \$0\.\d+ · ", done.stderr)
    assert "\x1b" not in done.stderr


def test_the_prompt_may_come_from_stdin(cli: Any):
    done = cli("run", "-", "-m", "simulate:echo", "-q", text="Größe: 3 m\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Größe: 3 m\n", "")


def test_a_task_file_brings_everything(cli: Any):
    (cli.folder / "job").mkdir()
    (cli.folder / "job" / "TASK.md").write_text(
        "---\nmodel: simulate:directive\ntools: [../tools.py]\nparams: {n: 1}\noutput: out/answer.txt\n---\n"
        'call add {"a": ${n}, "b": 1}\n'
    )
    done = cli("run", "job/TASK.md", "--param", "n=41", "-q")
    assert (done.returncode, done.stdout) == (0, "42\n")
    assert (cli.folder / "out" / "answer.txt").read_text() == "42\n"


def test_json_is_one_object_with_everything(cli: Any):
    done = cli("run", ADD, *DIRECTIVE, "--format", "json", "--session", "s1")
    result = json.loads(done.stdout)
    assert result["kind"] == "result"
    assert (result["version"], result["output"], result["stop_reason"], result["exit_code"]) == (1, "5", "end_turn", 0)
    assert (result["session"], result["steps"], result["model"], result["error"]) == ("s1", 2, "glm-5.3-flash", None)
    usage = result["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert result["cost_usd"] > 0
    assert result["duration_seconds"] > 0


SCHEMA = '{"type": "object", "required": ["units"], "properties": {"units": {"type": "integer"}}}'


@pytest.mark.parametrize("is_file", [False, True])
def test_an_answer_that_fits_the_schema_is_an_object_in_json(cli: Any, is_file: bool):
    (cli.folder / "shelf.json").write_text(SCHEMA)
    wanted = "shelf.json" if is_file else SCHEMA
    done = cli("run", '{"units": 4}', "-m", "simulate:echo", "--output-schema", wanted, "--format", "json", "-q")
    assert (done.returncode, json.loads(done.stdout)["output"]) == (0, {"units": 4})


def test_an_answer_that_never_fits_the_schema_is_exit_code_4(cli: Any):
    done = cli("run", "four", "-m", "simulate:echo", "--output-schema", SCHEMA, "-q")
    assert (done.returncode, done.stdout) == (4, "")
    assert "invalid_output" in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [("{no", "--output-schema is no JSON"), ("gone.json", "gone.json' cannot be read"), ('{"type": 5}', "JSON Schema")],
)
def test_a_wrong_schema_is_a_sentence(cli: Any, given: str, said: str):
    done = cli("run", "Hi", "-m", "simulate:echo", "--output-schema", given)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_may_hold_its_schema(cli: Any):
    (cli.folder / "TASK.md").write_text(f'---\nmodel: simulate:echo\noutput_schema: {SCHEMA}\n---\n{{"units": 4}}\n')
    done = cli("run", "TASK.md", "-q")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"units": 4})


def test_jsonl_is_one_event_a_line_and_the_result_last(cli: Any):
    done = cli("run", f"think Hm.\n{ADD}", *DIRECTIVE, "--format", "jsonl", "-q")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds[:2] == ["turn_started", "user_message"]
    assert kinds[-1] == "result"
    for kind in ("reasoning_delta", "tool_call_delta", "tool_started", "tool_finished", "tool_result", "text_delta"):
        assert kind in kinds
    assert "".join(event["text"] for event in events if event["kind"] == "text_delta") == events[-1]["output"] == "5"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "there is nothing to do"),
        (["run", ""], 2, "the prompt is empty"),
        (["run", "hello"], 2, "no API key"),
        (["run", "hello", "-m", "nobody:glm-5"], 2, "the provider 'nobody'"),
        (["run", "none.md"], 2, "there is no file 'none.md'"),
        (["run", "some/where"], 2, "there is no file 'some/where'"),
        (["run", "tools.py"], 2, "'tools.py' is a file, and no task"),
        (["run", "."], 2, "'.' is a folder"),
        (["run", "hello", "-m", "simulate:echo", "--tools", "fils"], 2, "did you mean 'files'?"),
        (["run", "hello", "-m", "simulate:none.yaml"], 2, "'none.yaml'"),
        (["run", "hello", "-m", "simulate:echo", "--mcp-config", "no-such-program-x"], 1, "'no-such-program-x'"),
        (["run", "hello", "-m", "simulate:echo", "--session", "../x"], 2, "'../x' cannot be the id of a session"),
        (["run", "--resume", "none"], 2, "there is no session 'none'"),
        (["run", "hello", "--resume", "x"], 2, "leave out the task"),
        (["run", "hello", "--session", "x", "--no-session"], 2, "--no-session keeps nothing"),
        (["run", "hello", "--approve", "x"], 2, "give --resume ID too"),
        (["run", "hello", "--param", "x=1"], 2, "write the value into the text"),
        (["run", "hello", "-m", "simulate:echo", "--permissions", "none.yaml"], 2, "none.yaml"),
        (["run", "hello", "--max-steps", "0"], 2, "--max-steps"),
        (["run", "hello", "--nonsense"], 2, "--nonsense"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_is_one_clear_sentence(cli: Any, arguments: list[str], code: int, said: str):
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_task_file_is_named_with_line_and_column(cli: Any):
    (cli.folder / "TASK.md").write_text("---\nmodel: simulate:echo\ntoolz: []\n---\nHello")
    done = cli("run", "TASK.md")
    assert done.returncode == 2
    assert "TASK.md:3:1: unknown key 'toolz': did you mean 'tools'?" in done.stderr


def test_an_error_is_an_object_too(cli: Any):
    done = cli("run", "hello", "-m", "simulate:echo", "--mcp-config", "no-such-program-x", "--format", "json")
    result = json.loads(done.stdout)
    assert (result["stop_reason"], result["exit_code"], done.returncode) == ("error", 1, 1)
    assert result["error"]["type"] == "MCPServerError"


@pytest.mark.parametrize(
    ("prompt", "options", "code", "reason"),
    [
        ("finish length", [], 3, "max_tokens"),
        ("finish sensitive", [], 4, "refusal"),
        (f"{ADD}\nthen {ADD}\nthen {ADD}", ["--max-steps", "1"], 3, "max_steps"),
        (f"{ADD}\nthen {ADD}", ["--max-tokens", "10"], 3, "budget"),
        ("call hang {}", ["--timeout", "1"], 3, "budget"),
    ],
)
def test_the_exit_code_says_how_it_ended(cli: Any, prompt: str, options: list[str], code: int, reason: str):
    done = cli("run", prompt, *DIRECTIVE, "--format", "json", *options)
    assert (done.returncode, json.loads(done.stdout)["stop_reason"]) == (code, reason)
    assert reason in done.stderr


def test_what_a_tool_does_wrong_the_model_is_told(cli: Any):
    prompt = 'call broken {}\ncall nosuch {}\ncall add {"a": "x", "b": 1}\ncall late {}'
    done = cli("run", prompt, *DIRECTIVE)
    assert done.returncode == 0
    assert "RuntimeError: the shelf fell down" in done.stdout
    assert "there is no tool 'nosuch'" in done.stdout
    assert "✗ nosuch()" in done.stderr
    assert "late" in done.stdout
    assert 'arguments.a: got "x"' in done.stdout


def test_denied_tools_are_not_offered_and_allowed_ones_run(cli: Any):
    done = cli("run", f'{ADD}\ncall note {{"text": "x"}}', *DIRECTIVE, "--deny", "note")
    assert done.returncode == 0
    assert not (cli.folder / "notes.txt").exists()
    assert "'note'" in done.stdout


def test_without_a_terminal_a_call_that_needs_approval_waits(cli: Any):
    asked = cli("run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "note", "--session", "s1")
    assert asked.returncode == 5
    (call_id,) = re.findall(r"to approve: glm-agent run --resume s1 --approve (\S+)", asked.stderr)
    assert 'note(text="x") waits for approval: the policy wants a person to agree (ask note)' in asked.stderr
    assert not (cli.folder / "notes.txt").exists()

    assert cli("run", "--resume", "s1").returncode == 5
    wrong = cli("run", "--resume", "s1", "--approve", "call_x")
    assert wrong.returncode == 2
    assert call_id in wrong.stderr

    approved = cli("run", "--resume", "s1", "--approve", call_id)
    assert (approved.returncode, approved.stdout) == (0, "noted\n")
    assert (cli.folder / "notes.txt").read_text() == "x\n"


def test_an_answer_that_no_file_could_take_is_no_reason_to_ask_the_model(cli: Any):
    ran = cli("run", "say x", *DIRECTIVE, "--output", ".")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "cannot be written to the folder" in ran.stderr


def test_a_denied_call_is_told_to_the_model(cli: Any):
    cli("run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "note", "--session", "s1")
    denied = cli("run", "--resume", "s1", "--deny-call", "all")
    assert denied.returncode == 0
    assert "denied" in denied.stdout
    assert not (cli.folder / "notes.txt").exists()


def test_a_session_goes_on_with_the_options_it_began_with(cli: Any, tmp_path: Path):
    cli("run", ADD, *DIRECTIVE, "--session", "s1", "-q")
    again = cli("run", 'call add {"a": 20, "b": 1}', "--session", "s1", "--format", "json")
    result = json.loads(again.stdout)
    assert (again.returncode, result["output"], result["session"]) == (0, "21", "s1")
    assert "2 turns" in cli("sessions", "list").stdout


def test_nothing_is_kept_without_a_session(cli: Any):
    assert cli("run", "hello", "-m", "simulate:echo", "--no-session", "-q").returncode == 0
    assert not (cli.folder / ".glm-agent").exists()
