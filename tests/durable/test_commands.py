"""The commands on a database: run, resume, sessions, move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glm_agent.durable import sessions_in


@pytest.fixture
def cli(tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        ran = subprocess.run(
            [sys.executable, "-m", "glm_agent.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
        assert ran.returncode == code, ran.stderr
        return ran.stdout, ran.stderr

    return run


def test_a_run_in_a_database_is_listed_shown_gone_on_with_and_moved(cli, sqlite_url: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    there = ("--database", sqlite_url)
    cli("run", "hello", "--model", "simulate:directive", "--session", "one", *there)
    listed, _ = cli("sessions", "list", "--json", GLM_AGENT_DATABASE_URL=sqlite_url)
    assert json.loads(listed)["id"] == "one"
    shown, _ = cli("sessions", "show", "one", *there)
    assert "user: hello" in shown
    assert not (tmp_path / ".glm-agent").exists(), "nothing is written twice"
    _, said = cli("sessions", "move", "one", *there, "--to", str(tmp_path / "journal.db"))
    assert said == f"session 'one' is now in '{tmp_path / 'journal.db'}'\n"
    with sessions_in(sqlite_url) as store:
        assert store.sessions() == []


def test_a_waiting_call_in_a_database_is_decided_on_and_resumed(cli, sqlite_url: str) -> None:  # type: ignore[no-untyped-def]
    there = ("--database", sqlite_url)
    options = ("--tools", "think", "--ask", "*", "--model", "simulate:directive")
    cli("run", 'call think {"thought": "x"}', *options, "--session", "one", *there, code=5)
    _, said = cli("sessions", "approve", "one", *there)
    assert "go on with: glm-agent run --resume one" in said
    cli("run", "--resume", "one", *there)
    with sessions_in(sqlite_url) as store:
        assert store.summary("one").stop_reason == "end_turn"


def test_a_wrong_address_is_one_line(cli) -> None:  # type: ignore[no-untyped-def]
    _, said = cli("sessions", "list", "--database", "mysql://root:hunter2@db/x", code=2)
    assert said.startswith("error: 'mysql://root:***@db/x' is no database that is known here")
