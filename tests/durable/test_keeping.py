"""What keeping costs a database: how many statements, and that none of them parts what belongs together."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy import event

from glm_agent import Agent
from glm_agent.durable import engine as engines
from glm_agent.durable import keeping, queue_in, rows, sessions_in, worker, worker_on
from glm_agent.durable.address import Address
from glm_agent.durable.database import Database
from glm_agent.durable.engine import Engine
from glm_agent.durable.keeping import Owned, Step, TakenAway, keep
from glm_agent.durable.queue import TurnSpec
from glm_agent.durable.worker import Work
from glm_agent.errors import JournalError
from glm_agent.journal import Journal
from glm_agent.journal.moving import move
from glm_agent.messages import TurnResult, TurnStarted, UserMessage
from glm_agent.simulate import ScriptedModel

SECONDS = 60.0


@contextmanager
def statements() -> Generator[list[str]]:
    """Those that read or write records and decisions, by their first word."""
    seen: list[str] = []

    def see(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "operation_outputs" in statement or ("inbox" in statement and "WHERE" in statement):
            seen.append(statement.split(maxsplit=1)[0])

    event.listen(sa.Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(sa.Engine, "before_cursor_execute", see)


async def answer(work: Work) -> TurnResult:
    agent = Agent(ScriptedModel(["fine"]), journal=work.sessions)
    return await (agent.resume(work.session) if work.is_resumed else agent.run(work.prompt, session=work.session))


def done_by_a_worker(url: str, *specs: TurnSpec) -> None:
    with queue_in(url) as queue:
        runs = queue.put(specs)
    database = Database(Address.parse(url))

    def await_all() -> None:
        for run in runs:
            database.client.retrieve_workflow(run).get_result(polling_interval_sec=0.05)

    with worker_on(url, answer):
        waiting = threading.Thread(target=await_all, daemon=True)
        waiting.start()
        waiting.join(SECONDS)
        assert not waiting.is_alive()
    database.close()


def test_a_short_turn_is_read_once_and_written_twice(url: str) -> None:
    with sessions_in(url) as store, store.open("other"):
        pass  # the tables are there
    engines.close()
    with statements() as seen:
        done_by_a_worker(url, TurnSpec(session="one", prompt="hello"))
    assert seen == ["SELECT", "INSERT", "INSERT"], "before it; its start and its message; its answer"
    with sessions_in(url) as store:
        assert [fact.kind for fact in store.facts("one")] == ["turn_started", "user_message", "model_response"]
        summary = store.summary("one")
    assert (summary.title, summary.steps, summary.stop_reason) == ("hello", 1, "end_turn")


def test_a_second_turn_of_a_session_knows_the_first(url: str) -> None:
    done_by_a_worker(url, TurnSpec(session="one", prompt="hello"))
    engines.close()
    done_by_a_worker(url, TurnSpec(session="one", prompt="again"))
    with sessions_in(url) as store:
        assert [fact.text for fact in store.facts("one") if isinstance(fact, UserMessage)] == ["hello", "again"]
        summary = store.summary("one")
    assert (summary.title, summary.turns) == ("hello", 2)


@pytest.fixture
def held(url: str) -> Generator[tuple[Database, Owned]]:
    """A run that this process has, with one record."""
    with sessions_in(url) as store, store.open("one") as session:
        session.keep(TurnStarted(session="one", model="m"))
        engine = engines.current()
        assert engine is not None
        yield engine.database, engine.attached["one/1"].context.run(keeping.own_run)


def test_steps_of_one_moment_are_kept_together(url: str, held: tuple[Database, Owned]) -> None:
    said = [keeping.Step(place, "user_message", f'{{"text":"{place}","kind":"user_message"}}') for place in (2, 3, 4)]
    with statements() as seen:
        keep(*held, said)
    assert seen == ["INSERT"]
    with sessions_in(url) as store:
        assert [fact.text for fact in store.facts("one") if isinstance(fact, UserMessage)] == ["2", "3", "4"]


def test_a_row_of_ours_says_what_one_of_the_engine_says(url: str, held: tuple[Database, Owned]) -> None:
    database, owned = held
    engine = engines.current()
    assert engine is not None
    keep(database, owned, [Step(70, "ours", '{"a":1}')])
    engine.attached["one/1"].context.run(DBOS.run_step, {"name": "theirs"}, lambda: {"a": 1})
    schema = "" if database.address.path else "dbos."
    with database.engine.connect() as connection:
        found = connection.execute(
            sa.text(f"SELECT * FROM {schema}operation_outputs WHERE function_name IN ('ours', 'theirs')")
        )
        written = {row["function_name"]: dict(row) for row in found.mappings()}
    times = {"function_id", "function_name", "started_at_epoch_ms", "completed_at_epoch_ms", "retention_timestamp"}
    ours, theirs = ({k: v for k, v in written[name].items() if k not in times} for name in ("ours", "theirs"))
    assert ours == theirs
    assert {k for k in times if written["ours"][k] is None} == {k for k in times if written["theirs"][k] is None}


def test_of_a_run_that_another_process_has_no_step_is_kept(url: str, held: tuple[Database, Owned]) -> None:
    database, owned = held
    said = [Step(place, "user_message", '{"text":"late","kind":"user_message"}') for place in (2, 3)]
    with pytest.raises(TakenAway, match="session 'one' goes on in another process, or was cancelled"):
        keep(database, owned._replace(owner="somebody"), said)
    with sessions_in(url) as store:
        assert [fact.kind for fact in store.facts("one")] == ["turn_started"]


def test_what_is_on_record_is_not_written_over(url: str, held: tuple[Database, Owned]) -> None:
    with pytest.raises(JournalError):
        keep(*held, [Step(1, "user_message", '{"text":"other","kind":"user_message"}')])
    with sessions_in(url) as store:
        assert [fact.kind for fact in store.facts("one")] == ["turn_started"]


def test_a_step_whose_confirmation_was_lost_is_sent_again_and_kept_once(
    url: str, held: tuple[Database, Owned], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    execute = keeping._execute

    def twice(database: Database, statement: sa.TextClause, values: dict[str, Any]) -> int:
        sent.append(values)
        assert execute(database, statement, values) == 1
        return execute(database, statement, values)  # as after a connection that was lost in between

    monkeypatch.setattr(keeping, "_execute", twice)
    keep(*held, [Step(2, "user_message", '{"text":"once","kind":"user_message"}')])
    assert len(sent) == 1
    with sessions_in(url) as store:
        assert [fact.text for fact in store.facts("one") if isinstance(fact, UserMessage)] == ["once"]


def test_runs_that_were_put_at_one_moment_are_all_listed_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_PAGE", 3)
    with queue_in(url) as queue:
        for first in (0, 2, 12):
            queue.put(TurnSpec(session=f"s{number}", prompt="hello") for number in range(first, first + 10))
        assert sorted(run.session for run in queue.runs()) == sorted(f"s{number}" for number in range(22))
        assert len(queue.runs(status="ENQUEUED")) == 22
        assert queue.runs(status="PENDING") == []


def test_a_long_session_arrives_in_few_statements_with_its_times(url: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal, journal.open("long") as session:
        session.keep(TurnStarted(session="long", model="m"))
        for number in range(240):
            session.keep(UserMessage(text=str(number)))
    with Journal(tmp_path / "journal.db") as journal, sessions_in(url) as store:
        kept = journal.records("long")
        with store.open("other"):
            pass  # the tables are there
        with statements() as seen:
            move("long", source=journal, target=store)
        assert seen.count("INSERT") == 3
        assert store.records("long") == kept


def test_a_turn_that_was_just_taken_is_not_taken_for_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with queue_in(url) as queue:
        queue.put([TurnSpec(session="one", prompt="hello")])
    taker = worker.Worker(url, answer)
    taker._engine = engine = engines.install(Engine(Address.parse(url), runner=taker._run))
    table = "workflow_status" if engine.address.path else "dbos.workflow_status"
    with engine.database.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET status = 'PENDING', executor_id = :id"), {"id": engine.id})

    def status() -> str:
        return str(engine.database.client.retrieve_workflow("one/1").get_status().status)

    for _ in range(3):
        taker._take_up_again()
    assert status() == "PENDING"
    later = time.monotonic() + worker.LOST_SECONDS
    monkeypatch.setattr("glm_agent.durable.worker.time", SimpleNamespace(monotonic=lambda: later))
    taker._take_up_again()
    assert status() == "ENQUEUED"
