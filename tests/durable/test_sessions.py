"""Sessions in a database: kept as steps, read as facts, one writer at a time."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from glm_agent import Agent, tool
from glm_agent.agent import stores
from glm_agent.durable import Address, queue_in, sessions_in
from glm_agent.durable import engine as engines
from glm_agent.durable.database import Database
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import Journal
from glm_agent.messages import ModelResponse, ToolCall, ToolResult, TurnStarted, UserMessage
from glm_agent.simulate import ScriptedModel
from glm_agent.turn import rebuild


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls(*ids: str) -> ModelResponse:
    arguments = '{"a": 1, "b": 2}'
    asked = tuple(ToolCall(id=id, name="add", arguments=arguments) for id in ids)
    return ModelResponse(tool_calls=asked, finish_reason="tool_calls")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_session_in_a_database_is_gone_on_with(sqlite_url: str) -> None:
    first = Agent(ScriptedModel([calls("a", "b"), "three"]), tools=[add], journal=sqlite_url)
    await first.run("add", session="sums")
    second = await Agent(ScriptedModel(["again"]), journal=sqlite_url).run("and now?", session="sums")
    assert [type(message) for message in second.messages] == [
        *(UserMessage, ModelResponse, ToolResult, ToolResult, ModelResponse),
        *(UserMessage, ModelResponse),
    ]


@pytest.mark.anyio
async def test_both_databases_hold_the_same_facts_as_the_journal(url: str, tmp_path: Path) -> None:
    kept = []
    for place in (url, tmp_path / "journal.db"):
        agent = Agent(ScriptedModel([calls("a"), "three"]), tools=[add], journal=place)
        await agent.run("add", session="sums")
        with stores.sessions(str(place)) as store:
            kept.append(store.facts("sums"))
    assert kept[0] == kept[1]
    assert rebuild(kept[0]).messages[-1].text == "three"  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_list_and_summary_say_what_the_journal_says(url: str) -> None:
    await Agent(ScriptedModel([calls("a"), "three"]), tools=[add], journal=url).run("add 1 and 2", session="sums")
    with sessions_in(url) as store:
        (summary,) = store.sessions()
    assert (summary.id, summary.title, summary.stop_reason) == ("sums", "add 1 and 2", "end_turn")
    assert (summary.turns, summary.steps) == (1, 2)
    assert summary.origin.folder == os.getcwd()


@pytest.mark.anyio
async def test_a_session_goes_from_the_journal_into_a_database_and_back(url: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal, sessions_in(url) as store:
        await Agent(ScriptedModel([calls("a"), "three"]), tools=[add], journal=journal).run("add", session="sums")
        store.import_(journal.export("sums"))
        assert store.records("sums") == journal.records("sums")
        assert store.summary("sums") == journal.summary("sums")
        assert list(store.export("sums"))[1:] == list(journal.export("sums"))[1:]


@pytest.mark.anyio
async def test_a_session_is_forked_at_a_fact_and_deleted(url: str) -> None:
    agent = Agent(ScriptedModel([calls("a"), "three", "four"]), tools=[add], journal=url)
    await agent.run("add", session="sums")
    with sessions_in(url) as store:
        store.fork("sums", new_id="other", facts=2)
        assert [fact.kind for fact in store.facts("other")] == ["turn_started", "user_message"]
        store.delete("sums")
        assert [summary.id for summary in store.sessions()] == ["other"]
        with pytest.raises(JournalError, match=r"there is no session 'sums'.*did you mean 'other'"):
            store.facts("sums")


@pytest.mark.anyio
async def test_a_record_too_large_for_a_step_lies_beside_it(url: str) -> None:
    text = "long " * 100_000
    await Agent(ScriptedModel(["fine"]), journal=url).run(text, session="long")
    with sessions_in(url) as store:
        facts = store.facts("long")
        store.delete("long")
    assert facts[1] == UserMessage(text=text)


@pytest.mark.anyio
async def test_steps_are_json_that_other_programs_read(sqlite_url: str) -> None:
    await Agent(ScriptedModel(["fine"]), journal=sqlite_url).run("hello", session="one")
    engines.close()
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as database:
        rows = database.execute("SELECT function_name, output FROM operation_outputs ORDER BY function_id").fetchall()
        inputs = database.execute("SELECT serialization FROM workflow_status").fetchall()
    database.close()
    assert [name for name, _ in rows] == ["turn_started", "user_message", "model_response"]
    assert json.loads(rows[1][1])["text"] == "hello"
    assert inputs == [("portable_json",)]


def test_half_an_emoji_is_mended_before_it_is_kept(url: str) -> None:
    with sessions_in(url) as store:
        with store.open("broken") as session:
            session.keep(TurnStarted(session="broken", model="m"))
            kept = session.keep(UserMessage(text="\ud83d and \x00"))
        assert kept == UserMessage(text="\ufffd and \x00")
        assert store.facts("broken")[-1] == kept


def test_one_process_has_a_session_open_once(url: str) -> None:
    with sessions_in(url) as store, store.open("one"):
        with pytest.raises(JournalError, match="session 'one' is open in another place"):
            store.open("one")
        with pytest.raises(JournalError, match="open in another place"):
            store.delete("one")


def test_a_closed_session_keeps_nothing_more(sqlite_url: str) -> None:
    with sessions_in(sqlite_url) as store:
        session = store.open("one")
        session.close()
        session.close()
        with pytest.raises(JournalError, match="session 'one' is closed"):
            session.keep(UserMessage(text="late"))


def test_who_lost_the_session_to_another_process_keeps_nothing_more(url: str) -> None:
    with sessions_in(url) as store, store.open("one") as session:
        session.keep(TurnStarted(session="one", model="m"))
        with queue_in(url) as elsewhere:
            assert elsewhere.cancel("one")
        with pytest.raises(JournalError, match="goes on in another process, or was cancelled"):
            session.keep(UserMessage(text="late"))
        assert [fact.kind for fact in store.facts("one")] == ["turn_started"]


def test_nothing_is_begun_on_a_disk_that_is_nearly_full(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with sessions_in(sqlite_url) as store, store.open("one") as session:
        session.keep(TurnStarted(session="one", model="m"))
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
        with pytest.raises(JournalError, match=r"there are 1 MiB left for '.*runs\.db': make room, at least 64 MiB"):
            session.keep(UserMessage(text="no room"))
        monkeypatch.undo()
        session.keep(UserMessage(text="room again"))
        assert [fact.kind for fact in session.facts] == ["turn_started", "user_message"]


def test_one_process_works_on_one_database_at_a_time(tmp_path: Path) -> None:
    first, second = (sessions_in(f"sqlite:///{tmp_path}/{name}.db") for name in ("first", "second"))
    with first.open("one"), pytest.raises(ConfigurationError, match=r"has sessions open in '.*first\.db'"):
        second.open("one")
    with second.open("one"):  # nothing is open in the first one any more
        pass
    assert [summary.id for summary in first.sessions()] == ["one"]
    first.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_make_the_tables_at_the_same_moment(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    made = request.getfixturevalue("postgres").new_database() if kind == "postgresql" else f"sqlite:///{tmp_path}/x.db"
    gate, failed = threading.Barrier(4), list[Exception]()

    def prepare() -> None:
        database = Database(Address.parse(made))
        gate.wait()
        try:
            database.prepare()
        except Exception as error:
            failed.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=prepare) for _ in range(gate.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with sessions_in(f"sqlite:///{tmp_path}/none.db") as store:
        assert store.sessions() == []
        with pytest.raises(JournalError, match="it holds none yet"):
            store.facts("one")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    with sessions_in(f"sqlite:///{tmp_path}/new/runs.db") as store, store.open("one"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes["runs.db"] == 0o600
    assert set(modes.values()) == {0o600, 0o700}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://root:hunter2@db/x", r"'mysql://root:\*\*\*@db/x' is no database that is known here"),
        ("sqlite://", "names no file: write sqlite:///runs.db"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_an_address_that_is_none_says_how_to_write_one(address: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        Agent("simulate:directive", journal=address).run_sync("hello", session="one")
    assert "hunter2" not in str(raised.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    agent = Agent(ScriptedModel(["fine"]), journal="postgresql://me:hunter2@127.0.0.1:1/runs")
    with pytest.raises(JournalError, match="is the server running") as raised:
        agent.run_sync("hello", session="one")
    assert "127.0.0.1:1/runs" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_in_a_folder_that_cannot_be_is_named() -> None:
    agent = Agent(ScriptedModel(["fine"]), journal="sqlite:////proc/none/runs.db")
    with pytest.raises(JournalError, match=r"'sqlite:////proc/none/runs\.db' .*: name a file in a folder that can be"):
        agent.run_sync("hello", session="one")


def test_addresses_are_shown_as_they_were_written() -> None:
    for url in (
        "postgresql:///runs?host=/run/pg",
        "postgresql://me@db:5433/runs",
        "postgresql://",
        "sqlite:////a/b.db",
    ):
        assert Address.parse(url).shown == url


def test_addresses_show_no_password() -> None:
    for url in ("postgres://me:hunter2@db/x", "postgresql://me@db/x?password=hunter2&sslmode=require"):
        assert "hunter2" not in Address.parse(url).shown
        assert "hunter2" not in repr(Address.parse(url))


def test_without_a_name_sessions_are_in_the_database_of_the_environment(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLM_AGENT_DATABASE_URL", sqlite_url)
    Agent(ScriptedModel(["fine"])).run_sync("hello", session="one")
    with sessions_in(sqlite_url) as store:
        assert store.summary("one").stop_reason == "end_turn"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes, and no database " * 100)
    with pytest.raises(JournalError, match=r"notes\.db' cannot be used .*name another one"):
        Agent(ScriptedModel(["fine"]), journal=f"sqlite:///{tmp_path}/notes.db").run_sync("hello", session="one")
