"""A log that is read again gives what it gave to who reads it first, whatever happened to it in between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import TurnError
from glm_agent.journal import Journal
from glm_agent.journal.records import StoredRecord, from_text
from glm_agent.journal.remembered import Remembered, Row
from glm_agent.messages import Fact, ModelResponse, TurnStarted, UserMessage, fact_to_json
from glm_agent.turn import rebuild

START = TurnStarted(session="one", model="m")


def row(fact: Fact, *, at: float = 1.0) -> Row:
    return at, fact.kind, fact_to_json(fact).decode()


def conversation(words: Sequence[str]) -> list[Row]:
    said: list[Fact] = [START]
    for word in words:
        said += [UserMessage(text=word), ModelResponse(text=word, finish_reason="stop")]
    return [row(fact) for fact in said]


class Reader:
    def __init__(self, remembered: Remembered) -> None:
        self.remembered, self.parsed = remembered, 0

    def read(self, rows: Sequence[Row], *, name: str = "one") -> list[StoredRecord]:
        return self.remembered.records(name, rows, self._parse)

    def _parse(self, row: Row) -> StoredRecord:
        self.parsed += 1
        at, kind, text = row
        return StoredRecord(at=at, record=from_text(text, kind=kind, where="here"))


def facts(stored: Sequence[StoredRecord]) -> list[Fact]:
    return [line.record for line in stored]  # type: ignore[misc]


words = st.lists(st.sampled_from("abc"), min_size=14, max_size=24)


@given(st.lists(words, min_size=1, max_size=5), st.sampled_from([1, 300, 3_000, 10**6]))
def test_what_is_remembered_is_what_is_on_record(logs: list[list[str]], most: int) -> None:
    reader = Reader(Remembered(most_characters=most))
    for log in logs:
        rows = conversation(log)
        stored = reader.read(rows)
        assert stored == [StoredRecord(at=at, record=from_text(text, kind=kind, where="")) for at, kind, text in rows]
        assert reader.remembered.turn("one", facts(stored)) == rebuild(facts(stored))


def test_only_what_came_since_is_parsed() -> None:
    reader, log = Reader(Remembered()), ["word"] * 40
    reader.read(conversation(log))
    before = reader.parsed
    first = reader.read(conversation(log))
    assert reader.parsed == before
    again = reader.read(conversation([*log, "more"]))
    assert reader.parsed == before + 2
    assert all(one is other for one, other in zip(first, again, strict=False))


def test_a_record_that_was_changed_is_read_anew_with_all_behind_it() -> None:
    reader, rows = Reader(Remembered()), conversation(["word"] * 40)
    reader.read(rows)
    before = reader.parsed
    rows[41] = row(UserMessage(text="edited"))
    assert facts(reader.read(rows))[41] == UserMessage(text="edited")
    assert reader.parsed == before + len(rows) - 41


def test_the_time_of_a_record_is_part_of_it() -> None:
    reader, rows = Reader(Remembered()), conversation(["word"] * 40)
    reader.read(rows)
    rows[-1] = (2.0, *rows[-1][1:])
    assert reader.read(rows)[-1].at == 2.0


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    rows = conversation(["word"] * 40)
    size = sum(len(text) for _, _, text in rows)
    reader = Reader(Remembered(most_characters=2 * size))
    for name in ("a", "b", "a", "c", "a"):
        reader.read(rows, name=name)
    assert reader.parsed == 3 * len(rows), "of 'a' once"
    reader.read(rows, name="b")
    assert reader.parsed == 4 * len(rows)


def test_facts_that_are_no_turn_are_none_the_second_time_either() -> None:
    reader, rows = Reader(Remembered()), [row(UserMessage(text=str(number))) for number in range(40)]
    for _ in range(2):
        with pytest.raises(TurnError, match="the first fact"):
            reader.remembered.turn("one", facts(reader.read(rows)))


def test_a_session_that_another_one_takes_the_place_of_is_not_mixed_up_with_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        for word in ("before", "behind"):
            with journal.open("one") as session:
                assert session.turn is None
                session.keep(START)
                for number in range(40):
                    session.keep(UserMessage(text=f"{word} {number}"))
                    session.keep(ModelResponse(text="fine", finish_reason="stop"))
            with journal.open("one") as session:
                assert session.turn == rebuild(session.facts)
                assert session.facts[1] == UserMessage(text=f"{word} 0")
            summary = journal.summary("one")
            assert (summary.title, summary.steps) == (f"{word} 0", 40)
            journal.delete("one")
