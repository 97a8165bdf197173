"""Workers as processes: takeover, draining, poison; what tools do is seen by a world of its own."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tool_world import SECONDS, World, line_with

from glm_agent.durable import queue_in, sessions_in
from glm_agent.durable.queue import TurnSpec
from glm_agent.errors import JournalError
from glm_agent.messages import ApprovalDecision


def test_the_turn_of_a_worker_that_is_killed_goes_on_in_another(url: str, world: Callable[[str], World]) -> None:
    here = world(url)
    workers = [here.worker("--concurrency", "1"), here.worker()]
    for worker in workers:
        line_with(worker, "worker of glm-agent in")
    here.put("one", "call pay {}", "call mail {}")
    mail, pay = here.calls(2)
    dead, alive = sorted(workers, key=lambda worker: worker.pid != pay.process)
    dead.kill()
    (again,) = here.calls(1)
    assert again.process == alive.pid
    assert again.said == pay.said, "the same key"
    again.answer("paid")
    line_with(alive, "one/1: end_turn")
    assert here.nothing_comes(), "the mail is not sent again"
    with sessions_in(url) as store:
        results = [fact.content for fact in store.facts("one") if fact.kind == "tool_result"]
        assert store.summary("one").stop_reason == "end_turn"
    assert sorted(result[:7] for result in results) == ["paid", "unknown"]
    assert mail.said == "mail"


def test_a_worker_on_another_machine_reads_on_in_a_long_result(
    postgres_url: str, world: Callable[[str], World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "third"))
    here = world(postgres_url)
    one, other = tmp_path / "one", tmp_path / "other"
    first = here.worker(home=one)
    here.put("s", "call long {}", "call pay {}")
    (pay,) = here.calls(1)
    (kept,) = (result for result in poll(lambda: results_of(postgres_url, "s")) if "read_result" in result)
    (name,) = re.findall(r"id='(r[0-9a-f]{12})'", kept)
    first.kill()
    first.wait(SECONDS)
    second = here.worker(home=other)
    (again,) = here.calls(1)
    assert again.said == pay.said
    again.answer("paid")
    line_with(second, "s/1: end_turn")
    here.put("s", f'call read_result {{"id": "{name}", "from_line": 40000, "lines": 1}}', is_next=True)
    line_with(second, "s/2: end_turn")
    assert results_of(postgres_url, "s")[-1].splitlines()[0] == "40000: line 39999"
    shutil.rmtree(other)
    with sessions_in(postgres_url) as store:
        assert store.missing_results("s") == []
        assert any(name in line for line in store.export("s") if '"kept_result"' in line)
        store.delete("s")
        assert not any(store.results_of("s").glob("*"))


def poll(read: Callable[[], list[str]]) -> list[str]:
    """What is read, once there is something."""
    end = time.monotonic() + SECONDS
    while not (found := read()):
        assert time.monotonic() < end
    return found


def results_of(url: str, session: str) -> list[str]:
    with sessions_in(url) as store:
        return [fact.content for fact in store.facts(session) if fact.kind == "tool_result"]


def test_a_worker_that_is_told_to_stop_keeps_what_runs_and_repeats_nothing(
    sqlite_url: str, world: Callable[[str], World]
) -> None:
    here = world(sqlite_url)
    first = here.worker()
    here.put("one", "call mail {}", "then", "call pay {}")
    (mail,) = (call for call in here.calls(2) if call.said == "mail" or call.answer())
    first.send_signal(signal.SIGTERM)
    line_with(first, "stopping: running calls get 20 seconds")
    mail.answer("sent")
    line_with(first, "stopped")
    assert first.wait(SECONDS) == 0
    second = here.worker()
    line_with(second, "one/1: goes on")
    line_with(second, "one/1: end_turn")
    assert here.nothing_comes()
    with sessions_in(sqlite_url) as store:
        assert [fact.content for fact in store.facts("one") if fact.kind == "tool_result"] == ["sent", "done"]


def test_a_turn_that_waits_for_a_person_goes_on_when_that_one_has_decided(
    sqlite_url: str, world: Callable[[str], World]
) -> None:
    here = world(sqlite_url)
    worker = here.worker()
    here.put("one", "call mail {}", ask=("mail",))
    line_with(worker, "one/1: needs_approval")
    command = [sys.executable, "-m", "glm_agent.cli", "runs", "show", "one", "--database", sqlite_url]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert "undecided  needs_approval" in shown.stdout
    assert "to approve: glm-agent sessions approve one " in shown.stderr
    with sessions_in(sqlite_url) as store:
        (waiting,) = store.waiting("one")
        store.decide("one", ApprovalDecision(call_id=waiting.call_id, is_approved=True))
    (mail,) = here.calls(1)
    mail.answer("sent")
    line_with(worker, "one/2: end_turn")
    with sessions_in(sqlite_url) as store:
        assert store.waiting("one") == []
        assert [fact.content for fact in store.facts("one") if fact.kind == "tool_result"] == ["sent"]


def test_a_second_signal_leaves_at_once(sqlite_url: str, world: Callable[[str], World]) -> None:
    here = world(sqlite_url)
    worker = here.worker()
    here.put("one", "call mail {}")
    here.calls(1)
    worker.send_signal(signal.SIGTERM)
    line_with(worker, "stopping")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SECONDS) == 143


def test_signals_that_come_together_are_one(sqlite_url: str, world: Callable[[str], World]) -> None:
    here = world(sqlite_url)
    worker = here.worker()
    here.put("one", "call mail {}")
    (mail,) = here.calls(1)
    worker.send_signal(signal.SIGSTOP)
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGCONT)
    line_with(worker, "stopping")
    mail.answer("sent")
    assert worker.wait(SECONDS) == 0


def test_a_turn_that_ends_its_workers_is_given_up(sqlite_url: str, world: Callable[[str], World]) -> None:
    here = world(sqlite_url)
    here.put("poison", "call die {}")
    for _ in range(2):
        worker = here.worker("--max-attempts", "2", "--concurrency", "1")
        assert worker.wait(SECONDS) == -signal.SIGKILL
    here.put("fine", "call pay {}")  # earlier, it could be taken before the poison is taken up again
    last = here.worker("--max-attempts", "2")
    line_with(last, "poison/1: error: given up: 2 workers began it and did not live to its end")
    (pay,) = here.calls(1)
    pay.answer()
    line_with(last, "fine/1: end_turn")
    with queue_in(sqlite_url) as queue:
        (run,) = [run for run in queue.runs() if run.session == "poison"]
    assert run.outcome is not None
    assert run.outcome["stop_reason"] == "error"


def test_a_turn_of_a_task_that_is_gone_ends_with_what_is_wrong(sqlite_url: str, world: Callable[[str], World]) -> None:
    here = world(sqlite_url)
    with queue_in(sqlite_url) as queue:
        queue.put([TurnSpec(session="one", options={"task": str(here.folder / "GONE.md")})])
    line = line_with(here.worker(), "one/1: error")
    assert "GONE.md" in line


def test_what_is_put_twice_is_done_once(sqlite_url: str) -> None:
    spec = TurnSpec(session="one", prompt="hello")
    with queue_in(sqlite_url) as queue:
        assert queue.put([spec]) == queue.put([spec]) == ["one/1"]
        assert [run.workflow for run in queue.runs()] == ["one/1"]


def test_a_session_that_waits_for_a_worker_is_not_opened_beside_it(sqlite_url: str) -> None:
    with queue_in(sqlite_url) as queue, sessions_in(sqlite_url) as store:
        queue.put([TurnSpec(session="one", prompt="hello")], queue="nightly")
        with pytest.raises(JournalError, match="waits in the queue 'nightly'"):
            store.open("one")
        assert queue.cancel("one")
        assert not queue.cancel("one")
        with store.open("one") as session:
            assert session.facts == ()
