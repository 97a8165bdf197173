"""A session's beginning as a session of its own, that goes on in another way. Knows nothing of where sessions are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Protocol

from glm_agent.driver import Intent
from glm_agent.errors import ConfigurationError
from glm_agent.journal import records, spilled
from glm_agent.journal.records import StoredRecord
from glm_agent.messages import (
    Fact,
    HistoryReplaced,
    JsonObject,
    ModelResponse,
    ToolResult,
    UserMessage,
)
from glm_agent.turn import Turn, open_calls, rebuild

_UNKNOWN = "no result: the call had begun when the session was forked, and what came of it is not known here"


class Store(Protocol):
    """What is needed of the place where sessions are."""

    def export(self, session_id: str) -> Iterator[str]: ...
    def import_(self, lines: Iterable[str], *, session_id: str | None = None, takes_setup: bool = False) -> str: ...
    def results_of(self, session_id: str) -> Path: ...


def fork(
    store: Store,
    session_id: str,
    *,
    new_id: str,
    step: int | None = None,
    edit: str | None = None,
    answer: str | None = None,
    options: JsonObject | None = None,
) -> str:
    """Copy a session up to a model request into a new one, and return the new id.

    Args:
        store: The journal, or a database.
        session_id: The session to copy.
        new_id: The id of the copy.
        step: Number of the request, from 1, that the copy ends before; None: the whole session.
        edit: What the user says at that point: instead of the message that the request ended in, or, where that was
            a tool's result, after it.
        answer: What the model is to have answered to that request.
        options: How the copy is run, in place of what is kept with the session.

    Raises:
        ConfigurationError: The session has no such step, or the ids cannot be.
        JournalError: There is no such session, or the new id is taken.
    """
    if edit is not None and not edit.strip():
        raise ConfigurationError("what the user says instead is empty: say what is to be done")
    lines, _ = spilled.taken_from(store.export(session_id))
    header, stored = records.from_lines(lines)
    header["origin"] = {**header.get("origin", {}), "created": time.time()}
    if options is not None:
        header["setup"] = {"options": options}
    kept = forked(stored, session=session_id, step=step, edit=edit, answer=answer)
    copied = chain(records.to_lines(header, kept), spilled.to_lines(store.results_of(session_id)))
    return store.import_(copied, session_id=new_id, takes_setup=True)


def forked(
    stored: Sequence[StoredRecord], *, session: str, step: int | None, edit: str | None, answer: str | None
) -> list[StoredRecord]:
    """The records of the copy: facts alone, since its calls get keys of their own; a history that can go on."""
    if step is None:
        if edit is not None or answer is not None:
            raise ConfigurationError(f"there is no place to edit: say at which step, such as '{session}@1'")
        kept = _facts(stored)
        return [*kept, *_closings(stored, kept)]
    kept = _facts(stored)[: _place(stored, session=session, step=step)]
    if edit is not None:
        kept = _edited(kept, edit)
    if answer is not None:
        kept = [*kept, StoredRecord(at=time.time(), record=ModelResponse(text=answer))]
    return kept


def _facts(stored: Sequence[StoredRecord]) -> list[StoredRecord]:
    return [line for line in stored if records.is_fact(line.record)]


def _place(stored: Sequence[StoredRecord], *, session: str, step: int) -> int:
    """How many facts stand before the response to a request."""
    places = [at for at, line in enumerate(_facts(stored)) if isinstance(line.record, ModelResponse)]
    if not 1 <= step <= len(places):
        known = f"its steps are 1 to {len(places)}" if places else "the model answered nothing in it"
        raise ConfigurationError(
            f"session '{session}' has no step {step}: {known}, as 'glm-agent sessions show {session}' numbers them"
        )
    return places[step - 1]


def _edited(kept: list[StoredRecord], text: str) -> list[StoredRecord]:
    """The records with the user's last word exchanged, or with one more where a tool had the last one."""
    turn = _turn(kept)
    if not isinstance(turn.messages[-1], UserMessage):
        return [*kept, StoredRecord(at=time.time(), record=UserMessage(text=text))]
    said = [at for at, line in enumerate(kept) if isinstance(line.record, UserMessage | HistoryReplaced)]
    last = kept[said[-1]]
    return [*kept[: said[-1]], replace(last, record=_reworded(last.record, text)), *kept[said[-1] + 1 :]]


def _reworded(record: object, text: str) -> Fact:
    if isinstance(record, HistoryReplaced):
        last = record.messages[-1]
        assert isinstance(last, UserMessage)
        return replace(record, messages=(*record.messages[:-1], replace(last, text=text)))
    assert isinstance(record, UserMessage)
    return replace(record, text=text)


def _closings(stored: Sequence[StoredRecord], kept: Sequence[StoredRecord]) -> Iterator[StoredRecord]:
    """Results for the open calls that had begun: run once more, they would do the thing twice."""
    if not kept:
        return
    turn = _turn(kept)
    waiting = {request.call_id for request in turn.requested}
    begun = _begun(stored)
    for call in open_calls(turn.messages):
        if call.id in begun and call.id not in waiting:
            result = ToolResult(call_id=call.id, name=call.name, content=_UNKNOWN, is_error=True)
            yield StoredRecord(at=time.time(), record=result)


def _begun(stored: Sequence[StoredRecord]) -> set[str]:
    """Calls of the latest response that have an intent."""
    begun = set[str]()
    for line in stored:
        if isinstance(line.record, ModelResponse):
            begun.clear()
        elif isinstance(line.record, Intent):
            begun.add(line.record.call_id)
    return begun


def _turn(kept: Sequence[StoredRecord]) -> Turn:
    return rebuild(records.facts_of(kept))
