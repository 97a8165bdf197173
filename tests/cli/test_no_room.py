"""Disks that take nothing: every command ends in a line that says what to do, and what can be done is done."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from glm_agent.batch import place
from glm_agent.errors import JournalError
from glm_agent.journal import Journal
from glm_agent.messages import UserMessage


def no_room(*arguments: object, **named: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_on_a_full_disk_a_session_can_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        with journal.open("s") as session:
            session.keep(UserMessage(text="long"))
        monkeypatch.setattr(os, "pwrite", no_room)
        journal.delete("s")
        assert journal.sessions() == []


def test_a_batch_whose_lock_cannot_be_taken_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", no_room)
    with (
        pytest.raises(JournalError, match=r"the lock '.*nightly.lock' cannot be taken \(No space left.*make room"),
        place.held("nightly", folder=tmp_path),
    ):
        raise AssertionError


def test_what_goes_wrong_under_the_lock_of_a_batch_is_not_about_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), place.held("nightly", folder=tmp_path):
        no_room()
    with place.held("nightly", folder=tmp_path):
        assert (tmp_path / "nightly.lock").read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize("command", [("run", "say ok", "--model", "simulate:directive"), ("sessions", "list")])
def test_a_database_that_is_none_is_said_in_a_line(cli: Any, command: tuple[str, ...]) -> None:
    (cli.folder / "runs.db").write_bytes(b"no database at all" * 100)
    ran = cli(*command, "--database", "sqlite:///runs.db")
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert ran.stderr.splitlines()[-1].startswith("error: the database 'sqlite:////")
