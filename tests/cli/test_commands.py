"""The smaller commands: sessions, tools, mcp, doctor, help and version."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from glm_agent.cli.commands import COMMANDS as COMMAND_LINES
from glm_agent.cli.commands import loaded

DIRECTIVE = ("--model", "simulate:directive", "--tools", "./tools.py")


def test_the_version_needs_neither_typer_nor_rich():
    code = "import sys; sys.argv[1:] = ['--version']; from glm_agent.cli import main; main();"
    code += "print(sorted({'typer', 'rich', 'pydantic', 'mcp', 'anyio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    name, loaded = done.stdout.splitlines()
    assert name.startswith("glm-agent ")
    assert loaded == "[]"


def modules_of(*arguments: str) -> set[str]:
    """What the command line has imported when it leaves."""
    code = f"import atexit, sys; sys.argv[1:] = {list(arguments)}; atexit.register(lambda: print(*sys.modules));"
    code += "from glm_agent.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


def test_a_command_imports_what_it_needs_and_help_nothing_but_itself():
    rooms = {name for name in modules_of("--help") if name.startswith("glm_agent.")}
    assert {name for name in rooms if not name.startswith("glm_agent.cli")} == set()
    assert modules_of("run", "--help") & {"glm_agent.cli.batch", "glm_agent.cli.mcp", "glm_agent.durable"} == set()


@pytest.mark.parametrize("name", COMMAND_LINES)
def test_a_command_says_the_same_of_itself_as_the_list_of_commands(name: str):
    first, _, _ = loaded(name).help.strip().partition("\n\n")
    assert " ".join(first.split()) == COMMAND_LINES[name]


COMMANDS = ["run", "chat", "simulate", "doctor"]
COMMANDS += [f"sessions {name}" for name in ("list", "show", "replay", "fork", "export", "delete")]
COMMANDS += [f"tools {name}" for name in ("list", "show", "call", "check")]
COMMANDS += [f"mcp {name}" for name in ("list", "check", "call")]


def test_every_command_is_listed_and_teaches_by_an_example(cli: Any):
    listed = cli("--help").stdout
    for command in COMMANDS:
        assert f" {command.split()[0]} " in listed
        told = cli(*command.split(), "--help")
        assert told.returncode == 0
        assert f"glm-agent {command}" in told.stdout.split("Usage:")[1].split("\n", 1)[1], command


def test_a_session_is_listed_shown_exported_and_deleted(cli: Any):
    cli("run", 'call add {"a": 2, "b": 3}', *DIRECTIVE, "--session", "s1", "-q")
    listed = json.loads(cli("sessions", "list", "--json").stdout)
    assert (listed["id"], listed["stop_reason"], listed["turns"], listed["steps"]) == ("s1", "end_turn", 1, 2)
    shown = cli("sessions", "show", "s1").stdout
    assert 'user: call add {"a": 2, "b": 3}' in shown
    assert "[1] model:\ncall: add(a=2, b=3)\nresult: add: 5\n[2] model: 5\n" in shown
    lines = cli("sessions", "export", "s1").stdout.splitlines()
    assert json.loads(lines[0])["format"] == "glm-agent-session"
    assert [json.loads(line)["kind"] for line in lines[1:3]] == ["turn_started", "user_message"]
    assert cli("sessions", "delete", "s1").returncode == 0
    assert cli("sessions", "list").stdout == ""
    assert not list((cli.folder / ".glm-agent" / "locks").iterdir())


@pytest.mark.parametrize("command", ["show", "export", "delete"])
def test_a_session_that_is_not_there_is_said_so(cli: Any, command: str):
    done = cli("sessions", command, "none")
    assert done.returncode == 1
    assert "there is no session 'none'" in done.stderr


def test_tools_are_listed_shown_and_called(cli: Any):
    listed = cli("tools", "list", "./tools.py").stdout
    assert [line.split()[:2] for line in listed.splitlines()][:2] == [["add", "read"], ["note", "write"]]
    spec = json.loads(cli("tools", "show", "add", "-t", "./tools.py").stdout)
    assert spec["parameters"]["required"] == ["a", "b"]
    called = cli("tools", "call", "add", '{"a": 1, "b": 2}', "-t", "./tools.py")
    assert (called.returncode, called.stdout) == (0, "3\n")
    wrong = cli("tools", "call", "add", '{"a": 1}', "-t", "./tools.py")
    assert wrong.returncode == 1
    assert "b" in wrong.stdout
    assert cli("tools", "call", "late", "-t", "./tools.py").returncode == 1


def test_installed_tools_are_found_by_name(cli: Any):
    assert "read_file" in cli("tools", "list", "files").stdout
    assert cli("tools", "list", "fils").returncode == 2


def test_a_broken_plugin_is_named_with_its_line(cli: Any):
    (cli.folder / "bad.py").write_text("from glm_agent import tool\n\nraise RuntimeError('no')\n")
    done = cli("tools", "check", "./bad.py", "./tools.py")
    assert done.returncode == 1
    assert "6 tools, 1 broken" in done.stderr
    assert "RuntimeError: no (file" in done.stderr
    assert "line 3)" in done.stderr


def test_servers_are_listed_checked_and_called(cli: Any):
    servers = {"time": {"command": "mcp-server-time"}, "gone": {"command": "no-such-program-x"}}
    (cli.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    assert [line.split()[0] for line in cli("mcp", "list").stdout.splitlines()] == ["time", "gone"]
    checked = cli("mcp", "check")
    assert checked.returncode == 1
    assert "time: 2 tools, " in checked.stdout
    assert " tokens in every request, 2026-07-28, started in " in checked.stdout
    assert "\n  time__get_current_time  " in checked.stdout
    assert "gone: failed" in checked.stdout
    assert "'no-such-program-x' was not found" in checked.stderr
    called = cli("mcp", "call", "time__get_current_time", '{"timezone": "UTC"}')
    assert called.returncode == 0
    assert json.loads(called.stdout)["timezone"] == "UTC"
    assert cli("mcp", "call", "time__nothing").returncode == 1


def test_without_a_configuration_the_mcp_commands_say_what_to_give(cli: Any):
    done = cli("mcp", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no '.mcp.json' here" in done.stderr


def test_the_doctor_shows_no_key(cli: Any):
    done = cli("doctor", ZAI_API_KEY="abc.very-secret")
    assert done.returncode == 0
    assert "ZAI_API_KEY set" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_a_command_that_a_chat_does_not_know_is_not_said_to_the_model(cli: Any) -> None:
    ran = cli("chat", "--model", "simulate:echo", text="/help\n/etc/passwd is a file\n/quit\n")
    assert (ran.returncode, ran.stdout) == (0, "/etc/passwd is a file\n")
    assert "there is no command '/help': /exit or Ctrl-D leaves" in ran.stderr
