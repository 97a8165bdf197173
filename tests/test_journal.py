"""The journal: what is kept stays, who writes is known, and files that cannot be used are named."""

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent.driver import Driver, Intent, Record
from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import Journal, new_session_id
from glm_agent.journal.database import MIGRATIONS, default_path
from glm_agent.messages import (
    Fact,
    HistoryReplaced,
    ImagePart,
    ModelRequest,
    ModelResponse,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnStarted,
    TurnStopped,
    Usage,
    UserMessage,
)
from glm_agent.registry import ToolContext
from glm_agent.turn import Turn, rebuild

pytestmark = pytest.mark.anyio
both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)

USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=2)
CALL = ToolCall(id="call_1", name="pay", arguments='{"amount": 3}')
FACTS: tuple[Fact, ...] = (
    TurnStarted(model="glm-5.3-flash", session="s1", tools=(ToolSpec(name="pay", description="", parameters={}),)),
    UserMessage(text="Pay 3 €", attachments=(ImagePart(url="data:image/png;base64,AA=="),)),
    ModelResponse(tool_calls=(CALL,), finish_reason="tool_calls", usage=USAGE, reasoning="hm", extra={"x": [1, None]}),
    ToolResult(call_id="call_1", name="pay", content="ok"),
    ModelResponse(text="Done. 好", usage=USAGE, model="glm-5.3-flash"),
)


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "home" / "journal.db") as journal:
        yield journal


def written(journal: Journal, id: str = "s1", facts: tuple[Fact, ...] = FACTS) -> str:
    with journal.open(id) as session:
        for fact in facts:
            session.keep(fact)
    return id


def intent(key: str, holder: str = "h") -> Intent:
    return Intent(key=key, call_id="call_1", name="pay", holder=holder)


async def kept(session, record: Record) -> Record:
    async def answer() -> Record:
        return record

    return await session.reserve().run(answer)


# -- keeping


@both_loops
async def test_what_was_kept_is_there_after_reopening(journal: Journal) -> None:
    with journal.open("s1") as session:
        for fact in FACTS:
            assert await kept(session, fact) == fact
        assert session.facts == FACTS
    with Journal(journal.path) as again, again.open("s1") as session:
        assert session.facts == FACTS
        assert again.facts("s1") == FACTS


def test_a_new_session_is_made_with_its_first_record_and_not_before(journal: Journal) -> None:
    assert not journal.path.exists()
    assert journal.sessions() == []
    assert not journal.path.exists()
    with journal.open("s1") as session:
        assert session.facts == ()
    assert journal.sessions() == []


async def test_facts_are_kept_in_the_order_of_their_answers(journal: Journal) -> None:
    with journal.open("s1") as session:
        first, second = session.reserve(), session.reserve()
        is_second_done = anyio.Event()

        async def late() -> Record:
            await is_second_done.wait()
            return ToolResult(call_id="1")

        async def early() -> Record:
            return ToolResult(call_id="2")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, late)
            await second.run(early)
            is_second_done.set()
    assert [fact.call_id for fact in journal.facts("s1") if isinstance(fact, ToolResult)] == ["2", "1"]


@both_loops
async def test_an_intent_that_is_on_record_is_returned_instead_of_the_new_one(journal: Journal) -> None:
    with journal.open("s1") as session:
        assert await kept(session, intent("k", "first")) == intent("k", "first")
    with journal.open("s1") as session:
        assert await kept(session, intent("k", "second")) == intent("k", "first")
        assert await kept(session, intent("other", "second")) == intent("other", "second")
        await kept(session, FACTS[0])
    assert [line.record.kind for line in journal.records("s1")] == ["intent", "intent", "turn_started"]
    assert journal.facts("s1") == FACTS[:1]


async def test_facts_and_intents_that_come_at_once_are_all_kept(journal: Journal) -> None:
    with journal.open("s1") as session:
        await kept(session, FACTS[0])
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(kept, session, intent(f"k{number}"))
                for _ in range(10):  # one of them comes while the intent's thread is about to write
                    await kept(session, ToolResult(call_id=f"{number}"))
                    await anyio.lowlevel.checkpoint()
    assert len(journal.records("s1")) == 1_101


async def test_sessions_do_not_see_the_intents_of_others(journal: Journal) -> None:
    with journal.open("s1") as one, journal.open("s2") as two:
        await kept(one, intent("k", "one"))
        assert await kept(two, intent("k", "two")) == intent("k", "two")


def test_every_opening_has_a_holder_of_its_own(journal: Journal) -> None:
    with journal.open("s1") as one:
        pass
    with journal.open("s1") as two:
        assert one.holder != two.holder


def test_an_intent_is_synced_to_disk_and_a_fact_is_not(journal: Journal) -> None:
    with journal.open("s1") as session:
        session.keep(FACTS[0])
        statements: list[str] = []
        journal._database._connection.set_trace_callback(statements.append)
        session.keep(FACTS[1])
        assert len(statements) == 1
        session.keep(intent("k"))
    assert statements[1] == "PRAGMA synchronous = FULL"
    assert statements[2].startswith("INSERT INTO records")
    assert statements[3] == "PRAGMA synchronous = NORMAL"


async def test_an_intent_is_kept_off_the_event_loop(journal: Journal) -> None:
    threads: list[int] = []
    with journal.open("s1") as session:
        keep = session.keep
        session.keep = lambda record: threads.append(threading.get_ident()) or keep(record)
        await kept(session, FACTS[0])
        await kept(session, intent("k"))
    assert threads[0] == threading.get_ident() != threads[1]


@pytest.mark.parametrize(("seconds", "stays"), [(0.0004, True), (0.02, False)])
async def test_where_the_disk_was_quick_the_last_time_an_intent_stays_on_the_event_loop(
    journal: Journal, seconds: float, stays: bool
) -> None:
    threads: list[int] = []
    with journal.open("s1") as session:
        session.keep(intent("k"))
        assert 0 < journal._database._synced_in < 60, "each tells how quick the disk is"
        journal._database._synced_in = seconds
        keep = session.keep
        session.keep = lambda record: threads.append(threading.get_ident()) or keep(record)
        await kept(session, intent("l"))
    assert (threads == [threading.get_ident()]) is stays


@both_loops
async def test_an_answer_that_is_there_is_kept_although_the_run_is_cancelled(journal: Journal) -> None:
    with journal.open("s1") as session:
        with anyio.CancelScope() as scope:

            async def answer() -> Record:
                scope.cancel()
                return intent("k")

            await session.reserve().run(answer)
        session.keep(FACTS[0])
    assert [line.record.kind for line in journal.records("s1")] == ["intent", "turn_started"]


async def test_an_answer_that_raises_leaves_nothing_behind(journal: Journal) -> None:
    async def answer() -> Record:
        raise ZeroDivisionError

    with journal.open("s1") as session:
        with pytest.raises(ZeroDivisionError):
            await session.reserve().run(answer)
        assert session.facts == ()


def test_a_closed_session_takes_nothing_and_says_so(journal: Journal) -> None:
    with journal.open("s1") as session:
        pass
    session.close()
    with pytest.raises(JournalError, match="session 's1' is closed"):
        session.keep(FACTS[0])


def test_half_an_emoji_is_kept_as_something_that_can_be_read_again(journal: Journal) -> None:
    with journal.open("s1") as session:
        joined = session.keep(ModelResponse(text="\ud83d\ude00", extra={"k": "\udc80"}))
        assert session.keep(UserMessage(text="a\ud83d b")) == UserMessage(text="a\ufffd b")
    assert joined == ModelResponse(text="\U0001f600", extra={"k": "\ufffd"})
    assert journal.facts("s1") == session.facts


words = st.text(st.characters(), max_size=20)
facts = st.one_of(
    st.builds(UserMessage, text=words),
    st.builds(ToolResult, call_id=words, content=words, is_error=st.booleans()),
    st.builds(ModelResponse, text=words, reasoning=words, extra=st.dictionaries(words, words, max_size=2)),
    st.builds(TurnStarted, model=words, instructions=words, turn=st.integers(1, 9)),
    st.builds(HistoryReplaced, messages=st.tuples(st.builds(UserMessage, text=words))),
    st.builds(TurnStopped, stop_reason=st.just("budget"), detail=words),
)


numbers = itertools.count()


@settings(max_examples=50, deadline=None)
@given(said=st.lists(facts, max_size=5))
def test_any_facts_come_back_as_they_were_kept_also_through_an_export(
    tmp_path_factory: pytest.TempPathFactory, said: list[Fact]
) -> None:
    id = f"any{next(numbers)}"
    with Journal(tmp_path_factory.getbasetemp() / "any" / "journal.db") as journal:
        with journal.open(id) as session:
            assert [session.keep(fact) for fact in said] == list(session.facts)
        if said:
            assert journal.facts(id) == session.facts
            copy = journal.import_(journal.export(id), session_id=f"{id}-copy")
            renamed = [replace(f, session=copy) if isinstance(f, TurnStarted) else f for f in session.facts]
            assert journal.facts(copy) == tuple(renamed)


# -- one writer


def test_a_second_writer_is_refused_with_the_name_of_the_first(journal: Journal) -> None:
    with journal.open("s1"):
        with pytest.raises(JournalError, match=rf"session 's1' is open .*process {os.getpid()} on .+, "):
            journal.open("s1")
        with journal.open("s2"):
            pass
    with journal.open("s1"):
        pass


def test_a_session_can_be_closed_on_another_thread(journal: Journal) -> None:
    session = journal.open("s1")
    thread = threading.Thread(target=session.close)
    thread.start()
    thread.join(60)
    with journal.open("s1"):
        pass


CHILD = """
import os, signal, sys
from glm_agent.journal import Journal
from glm_agent.driver import Intent
from glm_agent.messages import UserMessage
session = Journal(sys.argv[1]).open("s1")
for number in range(20):
    session.keep(UserMessage(text=str(number)))
session.keep(Intent(key="k", call_id="c", name="pay", holder=session.holder))
print(session.holder, flush=True)
sys.stdin.read()
"""


def test_a_killed_process_loses_nothing_and_its_lock_is_free(journal: Journal) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(journal.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        holder = child.stdout.readline().strip()
        with pytest.raises(JournalError, match=f"process {child.pid} "):
            journal.open("s1")
        assert len(journal.facts("s1")) == 20  # reading needs no lock
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    with journal.open("s1") as session:
        assert [fact.text for fact in session.facts if isinstance(fact, UserMessage)] == [str(n) for n in range(20)]
        assert session.keep(intent("k", session.holder)) == Intent(key="k", call_id="c", name="pay", holder=holder)


WRITER = """
import sys
from glm_agent.journal import Journal
from glm_agent.messages import UserMessage
with Journal(sys.argv[1]) as journal, journal.open(sys.argv[2]) as session:
    for number in range(100):
        session.keep(UserMessage(text=str(number)))
"""


def test_processes_share_a_new_file_from_the_first_moment(journal: Journal) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(journal.path), f"s{n}"], stderr=subprocess.PIPE)
        for n in range(4)
    ]
    for child in children:
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said.decode()
    assert sorted(each.id for each in journal.sessions()) == ["s0", "s1", "s2", "s3"]
    assert all(len(journal.facts(f"s{n}")) == 100 for n in range(4))


async def test_many_sessions_of_one_process_are_written_at_once(journal: Journal) -> None:
    async def chat(id: str) -> None:
        with journal.open(id) as session:
            for n in range(5):
                await kept(session, intent(f"k{n}"))
                await kept(session, UserMessage(text=f"{id} {n}"))

    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(chat, f"s{n}")
    for n in range(10):
        assert journal.facts(f"s{n}") == tuple(UserMessage(text=f"s{n} {i}") for i in range(5))


# -- with the driver: resumed after any record


class Model:
    """Answers the next of ``responses`` that the conversation does not hold yet."""

    name = "glm-5.3-flash"

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelResponse, None]:
        self.asked += 1
        done = sum(isinstance(message, ModelResponse) for message in request.messages)
        yield (FACTS[2], FACTS[4])[done]


class Tools:
    """``pay`` is a ``write`` tool: it must never run twice."""

    def __init__(self) -> None:
        self.paid = 0

    async def specs(self) -> tuple[ToolSpec, ...]:
        return ()

    async def permit(self, call: ToolCall, context: ToolContext) -> None:
        return None

    async def call(self, call: ToolCall, context: ToolContext) -> ToolResult:
        if context.was_started:
            return ToolResult(call_id=call.id, name=call.name, content="unknown outcome", is_error=True)
        self.paid += 1
        return ToolResult(call_id=call.id, name=call.name, content="ok")


class Crash(Exception):
    pass


async def run_until(journal: Journal, model: Model, tools: Tools, *, crash_after: int | None) -> str:
    """One process: begins or resumes session s1, and dies right after keeping so many records."""
    with journal.open("s1") as session:
        stored, keep, counter = session.facts, session.keep, itertools.count(1)

        def keep_then_die(record: Record) -> Record:
            same = keep(record)
            if next(counter) == crash_after:
                raise Crash
            return same

        session.keep = keep_then_die
        is_begun = any(isinstance(fact, UserMessage) for fact in stored)
        turn = rebuild(stored) if stored else Turn(started=FACTS[0])
        driver = Driver(turn=turn, model=model, tools=tools, steps=session)
        new = () if is_begun else FACTS[len(stored) : 2]
        return (await driver.run(*new)).output


@pytest.mark.parametrize("crash_after", range(1, 7))
async def test_a_turn_cut_off_after_any_record_resumes_without_asking_or_paying_again(
    journal: Journal, crash_after: int
) -> None:
    model, tools = Model(), Tools()
    with pytest.raises(Crash):
        await run_until(journal, model, tools, crash_after=crash_after)
    output = await run_until(journal, model, tools, crash_after=None)
    assert output == "Done. 好"
    assert model.asked == 2
    told = [fact.content for fact in journal.facts("s1") if isinstance(fact, ToolResult)]
    # Record 4 is the intent: who dies there may have paid, so the call is not repeated.
    assert (tools.paid, told) == ((0, ["unknown outcome"]) if crash_after == 4 else (1, ["ok"]))
    assert journal.summary("s1").stop_reason == "end_turn"


# -- summaries


def test_a_summary_tells_the_session_in_one_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(journal.path.parent.parent)
    with journal.open("s1", task="TASK.md") as session:
        for fact in FACTS:
            session.keep(fact)
    (summary,) = journal.sessions()
    assert summary == journal.summary("s1")
    assert (summary.id, summary.title, summary.model) == ("s1", "Pay 3 €", "glm-5.3-flash")
    assert (summary.stop_reason, summary.turns, summary.steps) == ("end_turn", 1, 2)
    assert summary.usage == USAGE + USAGE
    assert summary.origin.folder == str(journal.path.parent.parent)
    assert (summary.origin.task, summary.origin.version != "") == ("TASK.md", True)
    assert summary.origin.created <= summary.updated


def test_a_summary_is_true_while_the_session_is_open_and_after_a_crash(journal: Journal) -> None:
    with journal.open("s1") as session:
        session.keep(FACTS[0])
        session.keep(FACTS[1])
        assert journal.summary("s1").title == "Pay 3 €"
        assert journal.summary("s1").stop_reason is None
    with journal.open("s1") as session:
        session.keep(FACTS[2])
        assert journal.summary("s1").steps == 1
        assert journal.summary("s1").usage == USAGE


def test_a_title_is_one_line_of_eighty_characters(journal: Journal) -> None:
    written(journal, facts=(FACTS[0], UserMessage(text="\n  a\n\tb  " + "x" * 1_000_000)))
    title = journal.summary("s1").title
    assert (title[:4], title[-1], len(title)) == ("a b ", "…", 80)


def test_sessions_are_listed_by_the_time_of_their_last_record(journal: Journal) -> None:
    for id in ("s1", "s2", "s1"):
        written(journal, id, FACTS[:1])
    assert [summary.id for summary in journal.sessions()] == ["s1", "s2"]


def test_a_stopped_turn_says_why_until_it_goes_on(journal: Journal) -> None:
    written(journal, facts=(*FACTS[:2], TurnStopped(stop_reason="budget", detail="no money")))
    assert journal.summary("s1").stop_reason == "budget"
    written(journal, facts=(FACTS[0],))
    assert journal.summary("s1").stop_reason is None


# -- ids


@pytest.mark.parametrize("id", ["", "a/b", "../x", "a b", "a\n", "ä", "x" * 81, "a\0", ".", ".."])
def test_an_id_that_is_no_file_name_is_refused(journal: Journal, id: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the id of a session"):
        journal.open(id)


def test_dots_in_an_id_lead_nowhere(journal: Journal) -> None:
    written(journal, "...")
    journal.delete("...")
    assert journal.path.is_file()


def test_new_ids_are_valid_and_differ(journal: Journal) -> None:
    assert len({new_session_id() for _ in range(20)}) > 1
    with journal.open(new_session_id()):
        pass


def test_an_unknown_session_is_answered_with_the_nearest_ids(journal: Journal) -> None:
    with pytest.raises(JournalError, match="holds none yet"):
        journal.facts("report")
    written(journal, "report-1")
    for ask in (journal.facts, journal.records, journal.export, journal.delete, journal.summary, journal.fork):
        with pytest.raises(JournalError, match=r"no session 'report-2' .*did you mean 'report-1'"):
            ask("report-2")


# -- export, import, fork


def test_an_export_reads_like_a_log_and_imports_as_the_same_session(journal: Journal, tmp_path: Path) -> None:
    with journal.open("s1", task="TASK.md") as session:
        for record in (*FACTS[:3], intent("k"), *FACTS[3:]):
            session.keep(record)
    lines = list(journal.export("s1"))
    header = json.loads(lines[0])
    assert (header["format"], header["version"], header["id"]) == ("glm-agent-session", 1, "s1")
    assert [json.loads(line)["kind"] for line in lines[1:]] == [
        *("turn_started", "user_message", "model_response", "intent", "tool_result", "model_response")
    ]
    with Journal(tmp_path / "other.db") as other:
        assert other.import_(line + "\n" for line in lines) == "s1"
        assert other.records("s1") == journal.records("s1")
        assert other.summary("s1") == journal.summary("s1")


def test_an_import_takes_no_name_that_is_taken(journal: Journal) -> None:
    lines = list(journal.export(written(journal)))
    with pytest.raises(JournalError, match="session 's1' exists already"):
        journal.import_(lines)
    assert journal.import_(lines, session_id="s2") == "s2"
    (started, *_) = journal.facts("s2")
    assert isinstance(started, TurnStarted)
    assert started.session == "s2"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: [], "nothing to import: the export is empty"),
        (lambda _: ["[]"], "line 1 is no JSON object"),
        (lambda lines: lines[1:], "line 1 is no header"),
        (lambda lines: [lines[0].replace('"version": 1', '"version": 2'), *lines[1:]], "format version 2"),
        (lambda lines: [*lines[:3], "{"], "line 4 is no JSON"),
        (lambda lines: [*lines[:2], '{"kind": "user_message", "text": "x"}'], "line 3 has no 'at'"),
        (lambda lines: [*lines[:2], '{"at": 1, "kind": "poem"}'], "line 3 holds a record of kind 'poem'.*upgrade"),
        (lambda lines: [*lines[:2], '{"at": 1, "kind": "user_message"}'], "line 3 holds a damaged record"),
        (lambda lines: [*lines[:2], '{"at": 1, "kind": "intent"}'], "line 3 holds a damaged record"),
        (lambda lines: [*lines[:2], '{"at": 1, "kind": "intent", "key": [], "x": 1}'], "line 3 holds a damaged"),
    ],
)
def test_a_bad_export_is_refused_whole_with_its_line(
    journal: Journal, spoil: Callable[[list[str]], list[str]], message: str
) -> None:
    lines = list(journal.export(written(journal)))
    with pytest.raises(JournalError, match=message):
        journal.import_(spoil(lines), session_id="s2")
    assert [summary.id for summary in journal.sessions()] == ["s1"]


def test_a_fork_begins_like_its_source_and_goes_its_own_way(journal: Journal) -> None:
    with journal.open("s1", task="TASK.md") as session:
        for record in (*FACTS[:3], intent("k"), *FACTS[3:]):
            session.keep(record)
    new = journal.fork("s1", facts=3)
    assert journal.facts(new) == (replace(FACTS[0], session=new), *FACTS[1:3])
    assert [line.record.kind for line in journal.records(new)][-1] == "model_response"
    assert journal.summary(new).origin.task == "TASK.md"
    assert journal.fork("s1", new_id="whole") == "whole"
    assert [line.record for line in journal.records("whole")][1:] == list(FACTS[1:])
    assert journal.facts("s1") == FACTS


@pytest.mark.parametrize("asked", [{"facts": 0}, {"facts": -1}, {"facts": 99}, {"facts": 1, "step": 1}])
def test_a_fork_of_facts_that_are_not_there_is_refused(journal: Journal, asked: dict[str, int]) -> None:
    with journal.open("s1") as session:
        session.keep(TurnStarted(model="glm-5.3", session="s1"))
    with pytest.raises(ConfigurationError, match=r"has 1 facts|leave out step="):
        journal.fork("s1", **asked)  # type: ignore[arg-type]
    assert [each.id for each in journal.sessions()] == ["s1"]


# -- deleting


def test_a_deleted_session_is_gone_with_its_lock_and_others_stay(journal: Journal) -> None:
    written(journal, "s1")
    written(journal, "s2")
    journal.delete("s1")
    assert [summary.id for summary in journal.sessions()] == ["s2"]
    assert journal.facts("s2") == FACTS
    assert not (journal.path.parent / "locks" / "s1.lock").exists()
    written(journal, "s1", FACTS[:2])
    assert journal.facts("s1") == FACTS[:2]


def test_an_open_session_is_not_deleted(journal: Journal) -> None:
    with journal.open("s1") as session:
        session.keep(FACTS[0])
        with pytest.raises(JournalError, match="is open"):
            journal.delete("s1")
        assert journal.prune(older_than_days=-1) == []
    assert journal.facts("s1") == FACTS[:1]


def test_pruning_deletes_what_is_old_and_nothing_else(journal: Journal) -> None:
    lines = list(journal.export(written(journal, "new")))
    old = [lines[0], *('{"at": 86400.0,' + line.split(",", 1)[1] for line in lines[1:])]
    journal.import_(old, session_id="old")
    assert journal.prune(older_than_days=30) == ["old"]
    assert [summary.id for summary in journal.sessions()] == ["new"]


# -- the file


def test_the_files_are_for_their_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLM_AGENT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with Journal() as journal, journal.open("s1") as session:
        session.keep(FACTS[0])
        folder = tmp_path / ".glm-agent"
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert stat.S_IMODE((folder / "locks" / "s1.lock").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes.pop(".gitignore")
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600, "locks": 0o700}
    assert (folder / ".gitignore").read_text() == "*\n"


def test_the_nearest_journal_is_found_unless_the_environment_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLM_AGENT_HOME", raising=False)
    below = tmp_path / "project" / "src"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert default_path() == below / ".glm-agent" / "journal.db"
    with Journal(tmp_path / "project" / ".glm-agent" / "journal.db") as journal:
        written(journal)
    assert default_path() == journal.path
    monkeypatch.setenv("GLM_AGENT_HOME", str(tmp_path / "elsewhere"))
    assert default_path() == tmp_path / "elsewhere" / "journal.db"


def test_a_journal_of_a_stranger_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLM_AGENT_HOME", raising=False)
    with Journal(tmp_path / ".glm-agent" / "journal.db") as journal:
        written(journal)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert default_path() == tmp_path / "mine" / ".glm-agent" / "journal.db"


def test_who_has_no_home_and_may_write_nowhere_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLM_AGENT_HOME", "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(JournalError, match="no home; set GLM_AGENT_HOME"):
        default_path()


def test_a_newer_schema_is_refused_with_what_to_do(journal: Journal) -> None:
    written(journal)
    with sqlite3.connect(journal.path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with Journal(journal.path) as again, pytest.raises(JournalError, match=r"journal.db' has schema version .*upgrade"):
        again.sessions()


def test_an_older_schema_is_migrated_and_keeps_its_sessions(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    written(journal)
    journal.close()
    newer = (*MIGRATIONS, ("ALTER TABLE sessions ADD COLUMN note TEXT NOT NULL DEFAULT 'x'",))
    monkeypatch.setattr("glm_agent.journal.database.MIGRATIONS", newer)
    assert journal.facts("s1") == FACTS
    assert journal._database.read("SELECT note FROM sessions") == [("x",)]
    assert journal._database.read("PRAGMA user_version") == [(len(newer),)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    written(journal)
    journal.close()
    with monkeypatch.context() as patch:
        newer = (*MIGRATIONS, ("CREATE TABLE half (a)", "no SQL"))
        patch.setattr("glm_agent.journal.database.MIGRATIONS", newer)
        with pytest.raises(JournalError, match="cannot be used"):
            journal.sessions()
    assert journal.facts("s1") == FACTS
    assert journal._database.read("SELECT 1 FROM sqlite_master WHERE name = 'half'") == []


def test_a_record_of_a_newer_version_is_named(journal: Journal) -> None:
    written(journal)
    journal._database.execute("UPDATE records SET kind = 'dream' WHERE kind = 'tool_result'")
    with pytest.raises(JournalError, match=r"session 's1' .*kind 'dream'.*newer one wrote it"):
        journal.facts("s1")
    with pytest.raises(JournalError, match="dream"):
        journal.open("s1")
    journal.delete("s1")  # and the failed opening left no lock


def test_a_damaged_record_is_named(journal: Journal) -> None:
    written(journal)
    journal._database.execute("UPDATE records SET data = '{' WHERE kind = 'tool_result'")
    with pytest.raises(JournalError, match="damaged record of kind 'tool_result'"):
        journal.facts("s1")


def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"notes " * 1000)
    with Journal(path) as journal, pytest.raises(JournalError, match=r"journal.db' cannot be used .*move it away"):
        journal.sessions()
    assert path.read_bytes() == b"notes " * 1000


def test_a_damaged_database_is_named(journal: Journal) -> None:
    written(journal, facts=tuple(UserMessage(text="x" * 5000) for _ in range(50)))
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    journal.path.write_bytes(data)
    with pytest.raises(JournalError, match=r"journal.db' cannot be used .*damaged"):
        journal.facts("s1")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with Journal(path) as journal, pytest.raises(JournalError, match=r"notes.db' is an SQLite file of another program"):
        written(journal)
    assert path.read_bytes() == before


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with (
        Journal(tmp_path / "home" / "journal.db") as journal,
        pytest.raises(JournalError, match=r"home.*GLM_AGENT_HOME"),
    ):
        journal.open("s1")


def test_a_database_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()
    with Journal(tmp_path / "journal.db") as journal, pytest.raises(JournalError, match=r"journal.db' cannot be used"):
        journal.sessions()


def test_a_file_that_cannot_be_written_is_named(journal: Journal) -> None:
    with journal.open("s1") as session:
        session.keep(FACTS[0])
        journal._database._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalError, match=r"journal.db' cannot be used .*make it writable"):
            session.keep(FACTS[1])
        assert session.facts == FACTS[:1]
        journal._database._connection.execute("PRAGMA query_only = OFF")


def test_a_full_disk_is_named_and_the_session_goes_on_when_there_is_room(journal: Journal) -> None:
    with journal.open("s1") as session:
        session.keep(FACTS[0])
        connection = journal._database._connection
        ((pages,),) = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match=r"cannot be used .*disk is full"):
            session.keep(UserMessage(text="x" * 100_000))
        connection.execute("PRAGMA max_page_count = 100000")
        session.keep(FACTS[1])
    assert journal.facts("s1") == FACTS[:2]


def test_a_file_that_is_held_too_long_is_named(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    written(journal)
    journal.close()
    monkeypatch.setattr("glm_agent.journal.database._BUSY_SECONDS", 0.0)
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with journal.open("s1") as session:
        with pytest.raises(JournalError, match="another process holds it"):
            session.keep(FACTS[0])
        other.execute("ROLLBACK")
        session.keep(FACTS[0])
    other.close()


def test_the_error_in_the_block_is_not_hidden_by_a_failing_close(journal: Journal) -> None:
    def fail() -> None:
        with journal.open("s1") as session:
            session.keep(FACTS[0])
            journal._database._connection.execute("PRAGMA query_only = ON")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    journal.close()
    with journal.open("s1") as session:
        assert session.facts == FACTS[:1]


def test_importing_the_journal_makes_nothing(tmp_path: Path) -> None:
    code = "import glm_agent.journal as j; j.Journal()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_one_journal_serves_many_event_loops(journal: Journal) -> None:
    async def chat(id: str) -> None:
        with journal.open(id) as session:
            await kept(session, intent("k"))
            await kept(session, FACTS[0])

    for id in ("s1", "s2"):
        asyncio.run(chat(id))
    assert len(journal.sessions()) == 2
