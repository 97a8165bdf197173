"""``glm-agent runs``: what waits in a database is listed, shown, cancelled and put there again."""

from __future__ import annotations

import json
from typing import Any

from glm_agent.durable import queue_in
from glm_agent.durable.queue import TurnSpec


def test_runs_are_listed_cancelled_and_retried(cli: Any) -> None:
    url = f"sqlite:///{cli.folder}/runs.db"
    queue = queue_in(url)
    queue.put([TurnSpec(session=f"b-{key}", prompt=f"say {key}", labels={"key": key}) for key in "ab"])
    cli.environ["GLM_AGENT_DATABASE_URL"] = url
    listed = [json.loads(line) for line in cli("runs", "list", "--json").stdout.splitlines()]
    assert {(each["state"], each["labels"]["key"]) for each in listed} == {("waiting", "a"), ("waiting", "b")}
    assert "cancelled: 1 run" in cli("runs", "cancel", "b-a").stderr
    shown = cli("runs", "show", "b-a").stdout
    assert "b-a/1" in shown
    assert "cancelled" in shown
    assert "say a" in shown
    assert len(cli("runs", "list", "--batch", "b", "--state", "waiting").stdout.splitlines()) == 1
    assert "in the queue again: 1 run" in cli("runs", "retry", "--batch", "b").stderr
    assert {run.workflow for run in queue.runs() if run.is_active} == {"b-b/1", "b-a/2"}
    assert queue.runs(workflow_id_prefix="b-a/2")[0].spec["labels"] == {"key": "a"}
    queue.close()
    unknown = cli("runs", "retry", "nosuch")
    assert (unknown.returncode, unknown.stderr) == (2, "error: there is no run of a session 'nosuch'\n")


def test_a_batch_is_cancelled_without_the_one_whose_name_begins_like_it(cli: Any) -> None:
    cli.environ["GLM_AGENT_DATABASE_URL"] = url = f"sqlite:///{cli.folder}/runs.db"
    with queue_in(url) as queue:
        for batch in ("nightly", "nightly-2"):
            queue.put([TurnSpec(session=f"{batch}-a", prompt="say a", labels={"batch": batch})])
        assert "cancelled: 1 run" in cli("runs", "cancel", "--batch", "nightly").stderr
        assert {run.workflow for run in queue.runs() if run.is_active} == {"nightly-2-a/1"}


def test_a_run_is_named_as_it_is_listed(cli: Any) -> None:
    cli.environ["GLM_AGENT_DATABASE_URL"] = url = f"sqlite:///{cli.folder}/runs.db"
    with queue_in(url) as queue:
        queue.put([TurnSpec(session="a", prompt="say a", labels={"key": "k", "line": 3})])
    listed = cli("runs", "list").stdout.split()[0]
    assert "key k, line 3" in cli("runs", "show", listed).stdout
    assert "cancelled: 1 run" in cli("runs", "cancel", listed).stderr


def test_runs_need_a_database_and_a_choice(cli: Any) -> None:
    assert "runs are in a database: give --database" in cli("runs", "list").stderr
    chosen = cli("runs", "cancel", "--database", f"sqlite:///{cli.folder}/none.db")
    assert (chosen.returncode, "say which" in chosen.stderr) == (2, True)
    nothing = cli("runs", "list", "--database", f"sqlite:///{cli.folder}/none.db")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "no such runs\n")
    assert not (cli.folder / "none.db").exists()
