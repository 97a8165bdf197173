"""Ctrl-C and SIGTERM: the turn is cancelled, the session kept, and nothing holds up the exit."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import Any

import pytest

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read stderr until a line holds ``words``; what was read."""
    assert process.stderr is not None
    shown = ""
    for line in process.stderr:
        shown += line
        if words in line:
            return shown
    raise AssertionError(f"{words!r} was not shown, but:\n{shown}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_in_a_tool_keeps_the_session_and_resume_finishes_it(cli: Any, number: signal.Signals, code: int):
    prompt = 'call note {"text": "once"}\nthen call hang {}'
    process = cli.start("run", prompt, *DIRECTIVE, "--session", "s1")
    wait_for(process, "hang()")
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (code, "")
    assert "interrupted while tool 'hang' was running; go on with: glm-agent run --resume s1" in stderr

    resumed = cli("run", "--resume", "s1", "--format", "json")
    result = json.loads(resumed.stdout)
    assert resumed.returncode == 0
    # Two answers were there already; only the last one was asked for.
    assert result["steps"] == 3
    assert resumed.stderr.count("✓") + resumed.stderr.count("✗") == 1
    assert "unknown outcome" in result["output"]
    assert (cli.folder / "notes.txt").read_text() == "once\n"


def test_a_tool_that_blocks_the_event_loop_is_left_behind_and_named(cli: Any):
    process = cli.start("run", "call block {}", *DIRECTIVE, "--session", "s1")
    wait_for(process, "block()")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "go on with: glm-agent run --resume s1" in stderr
    assert "still running: tool 'block'" in stderr


BUSY_SERVER = """
import os, time
from mcp.server import MCPServer

server = MCPServer("busy")

@server.tool()
def work() -> str:
    "Work for long, deaf to everything else."
    open("pid", "w").write(str(os.getpid()))
    time.sleep(60)
    return "done"

server.run("stdio")
"""


def test_a_server_that_is_busy_does_not_outlive_an_interrupt(cli: Any):
    (cli.folder / "busy.py").write_text(BUSY_SERVER)
    server = f"{shlex.quote(sys.executable)} busy.py"
    process = cli.start("run", "call busy__work {}", "--model", "simulate:directive", "--mcp-config", server)
    wait_for(process, "busy__work()")
    while not (cli.folder / "pid").exists() or not (pid := (cli.folder / "pid").read_text()):
        assert cli.is_at_work(process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "still running" not in stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


QUICK_SERVER = """
import json, os, sys
open("pid", "w").write(str(os.getpid()))
SAID = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "quick", "version": "1"},
    },
    "tools/list": {"tools": []},
    "ping": {},
}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        said = SAID.get(message["method"])
        answer = {"result": said} if said is not None else {"error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
STEPS = """version: 1
steps:
  - {calls: [{note: {text: once}}]}
  - {say: "one two three four five six", faults: FAULTS}
"""


@pytest.mark.parametrize(
    ("faults", "sign", "number", "code"),
    [
        ("[{stall_after: 3}]", '"text_delta"', signal.SIGTERM, 143),
        ('[{status: 503, code: "1230", retry_after: 60}]', '"retrying"', signal.SIGINT, 130),
    ],
    ids=["stream", "wait"],
)
def test_an_interrupt_in_a_stream_or_a_wait_keeps_the_session_and_leaves_no_process(
    cli: Any, faults: str, sign: str, number: signal.Signals, code: int
):
    (cli.folder / "s.yaml").write_text(STEPS.replace("FAULTS", faults))
    (cli.folder / "quick.py").write_text(QUICK_SERVER)
    server = f"{shlex.quote(sys.executable)} -S quick.py"
    given = ("--model", "simulate:s.yaml", "--tools", "./tools.py", "--mcp-config", server, "--session", "s1")
    process = cli.start("run", "go", *given, "--format", "jsonl")
    for line in process.stdout:
        if sign in line:
            break
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert process.returncode == code, stderr
    result = json.loads(stdout.splitlines()[-1])
    assert (result["stop_reason"], result["exit_code"]) == ("cancelled", code)
    assert "go on with: glm-agent run --resume s1" in stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int((cli.folder / "pid").read_text()), 0)

    (cli.folder / "s.yaml").write_text(STEPS.replace("FAULTS", "[]"))
    resumed = cli("run", "--resume", "s1", "-q")
    assert (resumed.returncode, resumed.stdout) == (0, "one two three four five six\n"), resumed.stderr
    assert (cli.folder / "notes.txt").read_text() == "once\n"


def test_a_second_interrupt_leaves_at_once(cli: Any):
    process = cli.start("run", "call block {}", *DIRECTIVE)
    wait_for(process, "block()")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode in (130, 143)


def test_a_task_is_resumed_after_a_kill_by_its_id_alone(cli: Any):
    (cli.folder / "job").mkdir()
    (cli.folder / "job" / "TASK.md").write_text(
        "---\nmodel: simulate:directive\ntools: [../tools.py]\nparams: {word: null}\noutput: answer.txt\n---\n"
        'call note {"text": "${word}"}\nthen call hang {}\n'
    )
    process = cli.start("run", "job/TASK.md", "--param", "word=hello", "--session", "s1")
    wait_for(process, "hang()")
    process.kill()
    process.communicate()
    done = cli("run", "--resume", "s1")
    assert done.returncode == 0, done.stderr
    assert (cli.folder / "notes.txt").read_text() == "hello\n"
    assert "unknown outcome" in (cli.folder / "answer.txt").read_text()


def test_an_interrupted_run_is_an_object_too(cli: Any):
    process = cli.start("run", "call hang {}", *DIRECTIVE, "--format", "json")
    wait_for(process, "hang()")
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate()
    result = json.loads(stdout)
    assert (result["stop_reason"], result["exit_code"], result["output"]) == ("cancelled", 143, None)


def test_a_tool_past_its_timeout_does_not_hold_the_exit(cli: Any):
    process = cli.start("run", "call late {}", *DIRECTIVE, "-q")
    stdout, _ = process.communicate()
    assert process.returncode == 0
    assert re.search(r"0\.2 s", stdout)


def test_the_simulator_stops_at_a_signal(cli: Any):
    (cli.folder / "s.yaml").write_text("version: 1\nsteps:\n  - {name: first, say: Hello}\n")
    process = cli.start("simulate", "s.yaml", "--port", "0")
    shown = wait_for(process, "ZAI_BASE_URL=")
    url, key = re.findall(r"ZAI_BASE_URL=(\S+) ZAI_API_KEY=(\S+)", shown)[0]
    done = cli("run", "Hi", "-q", "-m", "zai:glm-5.3-flash", ZAI_BASE_URL=url, ZAI_API_KEY=key)
    assert (done.returncode, done.stdout) == (0, "Hello\n")
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0


def test_steps_nobody_asked_for_are_named_at_the_end(cli: Any):
    (cli.folder / "s.yaml").write_text("version: 1\nsteps:\n  - {name: the first step, say: Hello}\n")
    process = cli.start("simulate", "s.yaml", "--port", "0")
    wait_for(process, "ZAI_BASE_URL=")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 1
    assert "the first step" in stderr
