"""PostgreSQL goes away under workers and batches, and comes back: they wait, say so, and go on; nothing is repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import psycopg
import pytest
from postgres import Postgres, Server
from tool_world import SECONDS, World, line_with

from glm_agent.durable import sessions_in


@pytest.fixture
def server(postgres: Postgres) -> Generator[Server]:
    """The server's process; it runs again when the test is over."""
    if postgres.server is None:
        pytest.skip("the server that was named is not ours to stop")
    yield postgres.server
    postgres.server.start()


def results_of(url: str, session: str) -> list[str]:
    with sessions_in(url) as store:
        return [fact.content for fact in store.facts(session) if fact.kind == "tool_result"]


def test_turns_wait_for_a_server_that_crashed_and_nobody_takes_them_over(
    postgres_url: str, server: Server, world: Callable[[str], World]
) -> None:
    here = world(postgres_url)
    workers = [here.worker("--concurrency", "1") for _ in range(2)]
    for session in ("one", "two"):
        here.put(session, "call mail {}", "call pay {}", "then call mail {}")
    calls = here.calls(4)
    assert {call.process for call in calls} == {worker.pid for worker in workers}
    server.stop(signal.SIGQUIT)
    for call in calls:
        call.answer("done while it was away")
    for worker in workers:
        line_with(worker, "waits for the database, and goes on when it is back")
    server.start()
    for call in here.calls(2):
        call.answer("done")
    for worker in workers:
        line_with(worker, "end_turn", but_not="takes over")
    assert here.nothing_comes()
    for session in ("one", "two"):
        assert results_of(postgres_url, session) == ["done while it was away"] * 2 + ["done"]


def test_every_connection_may_be_cut_at_any_place(postgres_url: str, world: Callable[[str], World]) -> None:
    here = world(postgres_url)
    worker = here.worker()
    here.put("one", "call mail {}", *["then call mail {}"] * 3, "then call pay {}")
    for number in range(5):
        (call,) = here.calls(1)
        cut_all(postgres_url)
        call.answer(f"done {number}")
        cut_all(postgres_url)
    line_with(worker, "one/1: end_turn")
    assert results_of(postgres_url, "one") == [f"done {number}" for number in range(5)]


def cut_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_batch_waits_for_the_server_too(postgres_url: str, server: Server, world: Callable[[str], World]) -> None:
    here = world(postgres_url)
    worker = here.worker()
    (here.folder / "tasks.jsonl").write_text('{"key": "a", "prompt": "call mail {}"}\n')
    batch = started(here.folder, postgres_url, "batch", "tasks.jsonl", "--out", "r.jsonl", "--tools", "./tools.py")
    (mail,) = here.calls(1)
    server.stop(signal.SIGQUIT)
    line_with(batch, "waits: the database")
    mail.answer("sent")
    server.start()
    line_with(worker, "end_turn")
    _, said = batch.communicate(timeout=SECONDS)
    assert batch.returncode == 0, said
    (result,) = map(json.loads, (here.folder / "r.jsonl").read_text().splitlines())
    assert (result["stop_reason"], "sent" in result["output"]) == ("end_turn", True)
    assert here.nothing_comes()


def started(folder: Path, url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glm_agent.cli", *arguments, "-m", "simulate:directive", "--database", url]
    environment = {**os.environ, "GLM_AGENT_HOME": str(folder / "home")}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
