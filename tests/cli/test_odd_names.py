"""Bytes that are no UTF-8, in names and words of the command line, end in no traceback and are kept legibly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from glm_agent.journal import Journal

from .conftest import COMMAND, SECONDS
from .test_interrupts import DIRECTIVE
from .test_sessions import begun

ODD = os.fsdecode(b"a\xffb")
DATABASE = ("--database", "sqlite:///runs.db")


@pytest.mark.parametrize("place", [(), DATABASE])
def test_a_tool_file_of_an_odd_name_works_and_its_session_is_read_everywhere(cli: Any, place: tuple[str, ...]) -> None:
    odd = cli.folder / f"{ODD}.py"
    odd.write_text((cli.folder / "tools.py").read_text())
    model = ("--model", "simulate:directive", "--tools", f"./{ODD}.py")
    assert cli("run", f"say {ODD}", *model, "--session", "s1", *place).returncode == 0
    assert cli("sessions", "fork", "s1@1", "--instructions", ODD, "--edit", ODD, "--id", "s2", *place).returncode == 0
    exported = cli("sessions", "export", "s2", *place)
    assert (
        "a\N{REPLACEMENT CHARACTER}b.py" in json.loads(exported.stdout.splitlines()[0])["setup"]["options"]["tools"][0]
    )


def test_a_task_file_in_a_folder_of_an_odd_name_is_kept_with_its_session(cli: Any) -> None:
    (cli.folder / ODD).mkdir()
    (cli.folder / ODD / "TASK.md").write_text("say hello")
    assert cli("run", f"{ODD}/TASK.md", "--model", "simulate:directive", "--session", "s1").returncode == 0
    ran = cli("run", "--resume", "s1")
    assert (ran.returncode, f"{cli.folder}/a\N{REPLACEMENT CHARACTER}b/TASK.md' cannot be read" in ran.stderr) == (
        2,
        True,
    )


def test_what_a_person_says_of_a_call_is_mended(cli: Any) -> None:
    call = begun(cli)
    assert cli("run", "--resume", "s1").returncode == 5
    assert cli("sessions", "decide", "s1", call, "--done", f"paid {ODD}").returncode == 0
    with Journal(cli.folder / ".glm-agent" / "journal.db") as journal:
        (decision,) = journal.left("s1")
    assert decision.text == "paid a\N{REPLACEMENT CHARACTER}b"  # type: ignore[union-attr]


def test_an_address_that_is_no_unicode_is_named(cli: Any) -> None:
    ran = cli("sessions", "list", "--database", f"sqlite:///{ODD}.db")
    assert (ran.returncode, "no Unicode: give the file another name" in ran.stderr) == (2, True)


def test_approving_where_nothing_waits_says_so(cli: Any) -> None:
    assert cli("run", "say hi", *DIRECTIVE, "--session", "s1").returncode == 0
    for calls in ([], ["all"]):
        ran = cli("sessions", "approve", "s1", *calls)
        assert (ran.returncode, ran.stderr) == (2, "error: no call of session 's1' waits for approval\n")


LONG = "a" * 300


@pytest.mark.parametrize("text", ["say " + "a " * 800, f"say {LONG}.md", "~nobody say a"])
def test_a_text_that_could_be_no_file_is_a_prompt(cli: Any, text: str) -> None:
    ran = cli("run", text, "--model", "simulate:echo")
    assert (ran.returncode, ran.stdout) == (0, text + "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "say x", "--model", f"simulate:{LONG}"),
        ("run", "say x", "--tools", LONG),
        ("run", "say x", "--tools", f"~nobody/{LONG}.py"),
        ("run", "say x", "--mcp-config", f"{LONG}.json"),
        ("view", f"{LONG}.jsonl"),
        ("simulate", LONG),
        ("batch", LONG, "--model", "simulate:echo"),
    ],
)
def test_a_name_too_long_for_a_file_is_one_that_is_not_there(cli: Any, arguments: tuple[str, ...]) -> None:
    ran = cli(*arguments)
    assert (ran.returncode, ran.stderr[:7], "Traceback" in ran.stderr) == (2, "error: ", False)


def test_a_journal_where_none_can_be_is_said(cli: Any) -> None:
    for command in (("run", "say x", "--model", "simulate:echo"), ("sessions", "list")):
        ran = cli(*command, GLM_AGENT_HOME=f"/tmp/{LONG}")
        assert (ran.returncode, "(File name too long)" in ran.stderr, "Traceback" in ran.stderr) == (1, True, False)


def test_a_working_directory_that_was_deleted_is_said(cli: Any) -> None:
    script = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *COMMAND, "sessions", "list"]
    ran = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ran.returncode, ran.stderr) == (2, "error: the working directory is gone: change into one that exists\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_where_the_progress_cannot_be_written_the_answer_is(cli: Any) -> None:
    command = [sys.executable, "-m", "glm_agent", "run", "say x", "--model", "simulate:directive", "--no-session"]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            command, cwd=cli.folder, stdout=subprocess.PIPE, stderr=full, text=True, timeout=SECONDS, check=False
        )
    assert (ran.returncode, ran.stdout) == (0, "x\n")


def test_a_mark_of_the_byte_order_is_no_part_of_the_prompt(cli: Any) -> None:
    assert cli("run", "-", "--model", "simulate:directive", text="\ufeffsay x\r\n").stdout == "x\n"


def test_a_parameter_without_a_task_file_is_a_mistake(cli: Any) -> None:
    ran = cli("run", "say ${a}", "--param", "a=b", "--model", "simulate:directive")
    assert (ran.returncode, "--param fills in what a task file declares" in ran.stderr) == (2, True)
