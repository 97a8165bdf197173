"""Bytes that are no UTF-8, in names and words of the command line, end in no traceback and are kept legibly."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from glm_agent.journal import Journal

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
