"""``glm-agent schedule``: task files that workers run by the clock, each moment once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from glm_agent.durable import queue_in
from glm_agent.durable.schedule import Schedule


def test_a_task_is_run_by_the_clock_in_a_session_for_each_moment(cli: Any) -> None:
    (cli.folder / "tick.md").write_text("---\nparams: {word: x}\n---\nsay tick ${word}\n")
    url = cli.environ["GLM_AGENT_DATABASE_URL"] = f"sqlite:///{cli.folder}/runs.db"
    options = ("--param", "word=y", "-m", "simulate:directive")
    added = cli("schedule", "add", "tick", "* * * * * *", "tick.md", *options)
    assert (added.returncode, added.stderr.startswith("'tick' runs next at ")) == (0, True)
    assert "there is a schedule 'tick' already" in cli("schedule", "add", "tick", "* * * * *", "tick.md").stderr
    queue = queue_in(url)
    worker = cli.start("worker", "-q")
    done: dict[str, Any] = {}
    while len(done) < 2:
        assert cli.is_at_work(worker)
        done = {run.session: run for run in queue.runs(status="SUCCESS")}
    queue.close()
    for session, run in done.items():
        assert session.startswith("tick-20")
        assert run.outcome["output"] == "tick y"
        assert run.spec["labels"]["schedule"] == "tick"
    (listed,) = map(json.loads, cli("schedule", "list", "--json").stdout.splitlines())
    assert (listed["name"], listed["cron"], bool(listed["last"])) == ("tick", "* * * * * *", True)
    assert "did you mean 'tick'?" in cli("schedule", "remove", "tik").stderr
    assert cli("schedule", "remove", "tick").returncode == 0
    assert cli("schedule", "list").stderr == "no schedules\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t", "* * * *", "tick.md"), "'* * * *' is no cron expression"),
        (("t", "* * * * *", "tick.md", "--timezone", "Europe/Berln"), "did you mean 'Europe/Berlin'?"),
        (("a/b", "* * * * *", "tick.md"), "cannot be the name of a schedule"),
        (("t", "* * * * *", "no.md"), "cannot be read"),
        (("t", "* * * * *", "tick.md", "--param", "x=1"), "parameter 'x'"),
        (("t", "* * * * *", "tick.md", "--param", "x"), "write --param name=value"),
    ],
)
def test_mistakes_are_found_when_it_is_added(cli: Any, arguments: tuple[str, ...], said: str) -> None:
    (cli.folder / "tick.md").write_text("say tick")
    done = cli("schedule", "add", *arguments, "--database", f"sqlite:///{cli.folder}/runs.db", "-m", "simulate:echo")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (cli.folder / "runs.db").exists()


def test_the_next_moment_is_in_the_zone_of_the_schedule() -> None:
    nightly = Schedule(name="n", cron="0 3 * * *", timezone="Europe/Berlin")
    following = nightly.next(now=datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
    assert following.astimezone(UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "the night has no two o'clock"
