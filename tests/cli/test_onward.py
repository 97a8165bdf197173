"""The commands that are printed to go on with work where they are pasted, and hold no password."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

import pytest

from glm_agent.cli.onward import command, same_command

from .test_interrupts import DIRECTIVE


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--database postgresql://me:hunter2@db/x", " --database 'postgresql://me:***@db/x'"),
        (
            "--database=postgresql://me:hunter2@db/x?sslmode=require",
            " '--database=postgresql://me:***@db/x?sslmode=require'",
        ),
        ("--database postgresql://db/x?password=hunter2", " --database 'postgresql://db/x?password=***'"),
        ("--database sqlite:///runs.db", " --database sqlite:///runs.db"),
        ("--quiet", ""),
        ("--database", " --database"),
    ],
)
def test_the_database_of_the_command_line_stands_in_it_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["glm-agent", "run", *given.split()])
    assert command("run", "--resume", "s1") == f"glm-agent run --resume s1{shown}"
    assert same_command("--name", "n") == f"glm-agent run{shown or ' --quiet'} --name n"


def test_every_printed_command_of_a_session_in_a_database_finds_it(cli: Any) -> None:
    there = ("--database", "sqlite:///runs.db")
    ran = cli("run", 'call note {"text": "x"}', *DIRECTIVE, "--ask", "*", "--session", "s1", *there)
    assert ran.returncode == 5
    (approve,) = re.findall("to approve: glm-agent (.*)", ran.stderr)
    assert cli(*shlex.split(approve)).returncode == 0
    ran = cli("sessions", "fork", "s1@1", "--id", "s2", *there)
    (resume,) = re.findall("go on with: glm-agent (.*)", ran.stderr)
    assert cli(*shlex.split(resume)).returncode == 5
    ran = cli("sessions", "approve", "s2", *there)
    (resume,) = re.findall("go on with: glm-agent (.*)", ran.stderr)
    assert cli(*shlex.split(resume)).returncode == 0
