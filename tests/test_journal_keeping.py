"""What is kept with a session beside its records: how it is run, what it cost, its long results; and finding words."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import Journal
from glm_agent.journal.database import MIGRATIONS
from glm_agent.journal.moving import move
from glm_agent.journal.search import hits
from glm_agent.journal.spilled import to_lines
from glm_agent.messages import (
    Fact,
    HistoryReplaced,
    ModelResponse,
    ToolCall,
    ToolResult,
    TurnStarted,
    TurnStopped,
    Usage,
    UserMessage,
    fact_to_json,
)

FACTS: tuple[Fact, ...] = (
    TurnStarted(model="glm-4.6", session="s", instructions="Be brief."),
    UserMessage(text="hello"),
    ModelResponse(text="hi", usage=Usage(input_tokens=1_000_000, output_tokens=1_000)),
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


def write(journal: Journal, id: str = "s", *facts: Fact) -> str:
    with journal.open(id) as session:
        for fact in facts or FACTS:
            session.keep(fact)
    return id


def test_the_file_of_a_lock_is_emptied_before_it_is_removed(journal: Journal) -> None:
    with journal.open("s"):
        (path,) = (journal.path.parent / "locks").iterdir()
        held = path.open()
        assert str(os.getpid()) in held.read()
    with held:
        assert not path.exists()
        assert os.fstat(held.fileno()).st_size == 0, "else ext4 takes milliseconds to close it"


# -- how it is run


def test_how_a_session_is_run_is_kept_with_its_next_record_and_holds_until_it_is_said_anew(journal: Journal) -> None:
    journal.describe("s", task="TASK.md", options={"model": "a"})
    with journal.open("s"):
        pass
    assert journal.setup("s").options == {}  # nothing was kept, so there is no session
    journal.describe("s", task="TASK.md", options={"model": "a"})
    write(journal)
    assert (journal.setup("s").options, journal.summary("s").origin.task) == ({"model": "a"}, "TASK.md")
    write(journal, "s", UserMessage(text="more"))
    assert journal.setup("s").options == {"model": "a"}
    journal.describe("s", task="OTHER.md", options={"model": "b"})
    write(journal, "s", UserMessage(text="more"))
    assert (journal.setup("s").options, journal.summary("s").origin.task) == ({"model": "b"}, "TASK.md")


def test_a_fork_is_run_as_its_source_is(journal: Journal) -> None:
    journal.describe("s", options={"model": "a"})
    write(journal)
    assert journal.setup(journal.fork("s", new_id="copy")).options == {"model": "a"}


@pytest.mark.parametrize("setup", [None, 3, {"options": 3}, {"options": None}])
def test_a_header_that_says_nothing_of_how_it_was_run_is_taken_as_that(journal: Journal, setup: Any) -> None:
    header, *lines = journal.export(write(journal))
    header = json.dumps({**json.loads(header), "setup": setup})
    assert journal.setup(journal.import_([header, *lines], session_id="copy", takes_setup=True)).options == {}


# -- what it cost


def test_the_cost_is_that_of_every_request_by_the_price_of_its_model(journal: Journal) -> None:
    write(journal)
    cost = journal.summary("s").cost_usd
    assert cost is not None
    assert cost > 0
    dearer = TurnStarted(model="glm-5.3", session="s", turn=2)
    write(journal, "s", dearer, UserMessage(text="more"), TurnStopped(stop_reason="error", usage=Usage(input_tokens=9)))
    more = journal.summary("s")
    assert more.cost_usd is not None
    assert more.cost_usd > cost
    assert more.usage.input_tokens == 1_000_009


def test_a_cost_that_is_not_known_is_not_made_up(journal: Journal) -> None:
    write(journal, "s", TurnStarted(model="vllm:mine", session="s"), *FACTS[1:])
    assert journal.summary("s").cost_usd is None


def test_sessions_of_the_same_terms_have_the_same_hash_of_settings(journal: Journal) -> None:
    write(journal)
    write(journal, "t", TurnStarted(model="glm-4.6", session="t", turn=5, instructions="Be brief.", version="9"))
    write(journal, "u", TurnStarted(model="glm-4.6", session="u", instructions="Be long."))
    same, also, other = (journal.summary(id).settings_hash for id in "stu")
    assert same == also != other
    assert len(same) == 12


# -- files of older versions


def test_a_journal_of_the_first_schema_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        origin = json.dumps({"created": 1.0, "folder": "/srv", "task": "TASK.md", "version": "0.0.9"})
        old = json.dumps({"id": "s", "origin": json.loads(origin), "updated": 1.0, "title": "cached", "turns": 1})
        connection.execute("INSERT INTO sessions VALUES (1, 's', ?, ?, ?)", (origin, old, (1 << 32) + len(FACTS)))
        for number, fact in enumerate(FACTS, start=1):
            row = ((1 << 32) + number, 1, 1.0, fact.kind, None, fact_to_json(fact).decode())
            connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()
    with Journal(path) as journal:
        summary = journal.summary("s")
        assert (summary.title, summary.versions, summary.waiting) == ("hello", ("0.0.9",), 0)
        assert summary.cost_usd
        write(journal, "s", UserMessage(text="more"))
        assert journal.facts("s") == (*FACTS, UserMessage(text="more"))
        assert (journal.setup("s").options, journal.waiting("s")) == ({}, [])


def test_how_a_session_was_run_before_that_stood_in_the_journal_moves_and_is_exported_with_it(tmp_path: Path) -> None:
    options = {"version": 1, "model": "glm-4.6", "tools": ["/srv/tools.py"]}
    with Journal(tmp_path / "old" / "journal.db") as journal, Journal(tmp_path / "new" / "journal.db") as other:
        write(journal)
        beside = tmp_path / "old" / "runs" / "s.json"
        beside.parent.mkdir()
        beside.write_text(json.dumps(options))
        assert journal.setup("s").options == options
        assert json.loads(next(journal.export("s")))["setup"]["options"] == options
        move("s", source=journal, target=other)
        assert other.setup("s").options == options
        assert not beside.exists()


def test_options_beside_the_journal_that_cannot_be_read_are_named(journal: Journal) -> None:
    write(journal)
    beside = journal.path.parent / "runs" / "s.json"
    beside.parent.mkdir()
    for damaged in ("{", "[]"):
        beside.write_text(damaged)
        with pytest.raises(JournalError, match=r"runs/s\.json'.*delete it"):
            journal.setup("s")
    journal.delete("s")
    assert journal.setup("s").options == {}


# -- long results


LONG = ToolResult(
    call_id="a", content="…\n[cut; the whole is kept: read_result(id='r0123456789ab', from_line=…, contains=…)]"
)
GONE = ToolResult(call_id="b", content="the whole is kept: read_result(id='rffffffffffff', from_line=…, contains=…)")


def with_results(journal: Journal) -> Path:
    first, second = (
        ModelResponse(tool_calls=(ToolCall(id=id, name="look", arguments="{}"),), finish_reason="tool_calls")
        for id in "ab"
    )
    write(journal, "s", FACTS[0], HistoryReplaced(messages=(UserMessage(text="hello"), first, LONG)), second, GONE)
    folder = journal.results_of("s")
    folder.mkdir(parents=True)
    (folder / "r0123456789ab").write_text("long\n" * 10)
    (folder / "raaaaaaaaaaaa").write_bytes(b"\xff\x00")
    (folder / "notes.txt").write_text("somebody else's")
    return folder


def test_long_results_come_along_and_what_is_missing_is_named(journal: Journal, tmp_path: Path) -> None:
    with_results(journal)
    assert journal.missing_results("s") == ["rffffffffffff"]
    with Journal(tmp_path / "elsewhere" / "journal.db") as other:
        other.import_(journal.export("s"))
        folder = other.results_of("s")
        assert sorted(path.name for path in folder.iterdir()) == ["r0123456789ab", "raaaaaaaaaaaa"]
        assert (folder / "raaaaaaaaaaaa").read_bytes() == b"\xff\x00"
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert other.missing_results("s") == ["rffffffffffff"]
        assert len(other.facts("s")) == len(journal.facts("s"))


def test_long_results_come_along_on_a_fork_and_go_with_the_session(journal: Journal) -> None:
    folder = with_results(journal)
    copy = journal.results_of(journal.fork("s", new_id="copy"))
    assert (copy / "r0123456789ab").read_text() == "long\n" * 10
    journal.delete("s")
    assert not folder.exists()
    assert copy.exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"kind": "kept_result", "at": 1, "id": "../../evil", "text": "x"}',
            "a 'kept_result' of the id '../../evil', which is none",
        ),
        ('{"kind": "kept_result", "at": 1, "id": 3, "text": "x"}', "a 'kept_result' of the id '3', which is none"),
        ('{"kind": "kept_result", "at": 1, "id": "r0123456789ab"}', "a damaged 'kept_result'"),
        ('{"kind": "kept_result", "at": 1, "id": "r0123456789ab", "base64": "?"}', "a damaged 'kept_result'"),
        ('{"kind": "kept_result"', "a damaged 'kept_result'"),
    ],
)
def test_a_long_result_that_cannot_be_read_is_named_by_its_line_and_nothing_is_added(
    journal: Journal, line: str, says: str
) -> None:
    lines = [*journal.export(write(journal)), line]
    with pytest.raises(JournalError, match=f"line {len(lines)} holds {says}"):
        journal.import_(lines, session_id="copy")
    assert [each.id for each in journal.sessions()] == ["s"]


@pytest.mark.parametrize("at", ["1e308", "-1", "1000000000000000000000000000000", "NaN", "true", "null"])
def test_a_time_that_is_none_is_named_by_its_line(journal: Journal, at: str) -> None:
    header, *others = journal.export(write(journal))
    lines = [header, re.sub(r'^{"at":[^,]*', f'{{"at":{at}', others[0]), *others[1:]]
    with pytest.raises(JournalError, match="line 2 has no 'at'"):
        journal.import_(lines, session_id="copy")
    assert [each.id for each in journal.sessions()] == ["s"]


def test_a_header_that_says_odd_things_of_its_beginning_is_taken_as_far_as_it_goes(journal: Journal) -> None:
    header, *others = journal.export(write(journal))
    odd = json.dumps({**json.loads(header), "origin": {"created": 10**30, "folder": "\ud83d", "task": 3}})
    origin = journal.summary(journal.import_([odd, *others], session_id="copy")).origin
    assert (origin.folder, origin.task, origin.created < 10**11) == ("\N{REPLACEMENT CHARACTER}", "3", True)


def test_an_empty_export_is_said_to_be_empty(journal: Journal) -> None:
    with pytest.raises(JournalError, match="nothing to import: the export is empty"):
        journal.import_(["", " "])


def test_words_that_look_like_a_kept_result_are_words(journal: Journal) -> None:
    said = UserMessage(text='{"kind": "kept_result", "id": "../x"}')
    write(journal, "s", said)
    assert journal.facts(journal.import_(journal.export("s"), session_id="copy")) == (said,)


def test_a_folder_that_was_never_made_has_no_results(tmp_path: Path) -> None:
    assert list(to_lines(None)) == list(to_lines(tmp_path / "none")) == []


# -- locks


def test_a_lock_leaves_no_file_however_its_session_ends(journal: Journal) -> None:
    write(journal)
    with journal.open("s"), pytest.raises(JournalError):
        journal.open("s")
    folder = journal.path.parent / "locks"
    assert list(folder.iterdir()) == []
    assert not journal.is_open("s")
    with journal.open("s"):
        assert journal.is_open("s")
        assert [path.name for path in folder.iterdir()] == ["s.lock"]


def test_pruning_removes_the_locks_of_killed_processes_and_leaves_those_that_are_held(journal: Journal) -> None:
    write(journal)
    folder = journal.path.parent / "locks"
    (folder / "dead.lock").write_text("process 1 on nowhere\n")
    with journal.open("s"):
        assert journal.prune(older_than_days=1) == []
        assert [path.name for path in folder.iterdir()] == ["s.lock"]


OPENING = """
import sys
from glm_agent.errors import JournalError
from glm_agent.journal import Journal
from glm_agent.messages import UserMessage
with Journal(sys.argv[1]) as journal:
    for number in range(15):
        while True:
            try:
                session = journal.open("s")
            except JournalError as error:
                assert "is open in another place" in str(error), error
                continue
            break
        with session:
            session.keep(UserMessage(text=str(len(session.facts))))
"""


def test_no_two_processes_write_at_once_although_lock_files_come_and_go(journal: Journal) -> None:
    command = [sys.executable, "-c", OPENING, str(journal.path)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for child in children:
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said.decode()
    # Each saw all that was written before it: two writers at once would have counted the same number.
    assert [fact.text for fact in journal.facts("s") if isinstance(fact, UserMessage)] == [str(n) for n in range(45)]


# -- finding words


def rows(*facts: Fact) -> list[tuple[float, str, str]]:
    return [(float(number), fact.kind, fact_to_json(fact).decode()) for number, fact in enumerate(facts)]


def found(text: str, *facts: Fact) -> list[tuple[int, str, str]]:
    return [(hit.step, hit.who, hit.found) for hit in hits(text, rows(*facts), session="s")]


def test_words_are_found_in_all_that_was_said_and_done_and_once_in_each_text() -> None:
    call = ToolCall(id="a", name="pay", arguments='{"to": "Needle & Co"}')
    facts = (
        UserMessage(text="a needle, another needle"),
        ModelResponse(text="what needle?", reasoning="NEEDLE", tool_calls=(call,)),
        ToolResult(call_id="a", name="pay", content="no needle", is_error=True),
        ModelResponse(text="none"),
        HistoryReplaced(messages=(UserMessage(text="kneed, less"),)),
        TurnStopped(stop_reason="error", detail="needle"),
    )
    assert found("needle", *facts) == [
        (0, "user", "needle"),
        (1, "thinking", "NEEDLE"),
        (1, "model", "needle"),
        (1, "call pay", "Needle"),
        (1, "error pay", "needle"),
        (2, "stopped error", "needle"),
    ]
    assert found("need", facts[4]) == [(0, "user", "need")]


def test_what_was_found_stands_in_its_context() -> None:
    (hit,) = hits("B", rows(UserMessage(text="x" * 100 + "b" + "y" * 100)), session="s")
    assert (hit.before, hit.found, hit.after) == ("x" * 60, "b", "y" * 60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('say "hi"', 'they say "hi" to me'),
        ("C:\\temp", "in C:\\temp it is"),
        ("a b", "a\n  b"),
        ("a.c", "abc a.c"),
        ("你好", "他说你好。"),
        ("GRÜN", "grünlich"),
        ("Straße", "in der STRAßE"),
        ("\U0001f600", "smile \U0001f600!"),
    ],
)
def test_words_are_found_as_they_are_written_whatever_is_in_them(text: str, said: str) -> None:
    assert len(found(text, UserMessage(text=said))) == 1
    assert found("zzz", UserMessage(text=said)) == []


@given(st.text(min_size=1), st.text(), st.text())
def test_any_text_is_found_where_it_stands(text: str, before: str, after: str) -> None:
    if text.strip() and text.encode(errors="ignore").decode() == text:
        said = (before + text + after).encode(errors="replace").decode()
        assert found(text, UserMessage(text=said))


def test_the_session_that_was_written_last_comes_first_and_nothing_is_no_question(journal: Journal) -> None:
    for id in ("old", "new"):
        write(journal, id)
    assert [hit.session for hit in journal.search("HELLO")] == ["new", "old"]
    with pytest.raises(ConfigurationError, match="give a text"):
        journal.search(" \n")


def test_a_dry_prune_deletes_nothing_and_names_no_open_session(journal: Journal) -> None:
    for id in ("a", "b", "c"):
        write(journal, id)
    with journal.open("b"):
        assert journal.prune(older_than_days=0, is_dry=True) == ["c", "a"]
    assert len(journal.sessions()) == 3
    assert os.listdir(journal.path.parent / "locks") == []
