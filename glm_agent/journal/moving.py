"""Carrying a session from one store into another, so that it is whole in one of them at any moment."""

from __future__ import annotations

from contextlib import suppress

from glm_agent.errors import JournalError
from glm_agent.journal.store import Sessions


def move(session_id: str, *, source: Sessions, target: Sessions) -> None:
    """Copy a session with the decisions that wait in it, then delete the first one.

    A move that was cut off is finished by the same move. Raises ``JournalError`` where the session is not there, is
    open, was gone on with meanwhile, or where ``target`` has another one of this id.
    """
    if not source.has(session_id) and target.has(session_id):
        with suppress(JournalError):
            source.delete(session_id)  # files, where that is what was cut off
        return
    seen = source.records(session_id)
    if source.is_open(session_id):
        raise JournalError(f"session '{session_id}' is open, or waits for a worker: move it when that is over")
    _copy(session_id, source=source, target=target)
    _take_decisions(session_id, source=source, target=target)
    if source.records(session_id) != seen:
        target.delete(session_id)
        raise JournalError(f"session '{session_id}' was gone on with while it was moved: it stays where it was")
    source.delete(session_id)


def _copy(session_id: str, *, source: Sessions, target: Sessions) -> None:
    try:
        target.import_(source.export(session_id), takes_setup=True)
    except JournalError as error:
        if not target.has(session_id):
            raise
        if target.records(session_id) != source.records(session_id):
            raise JournalError(
                f"'{target.place}' has another session '{session_id}': delete one of the two, or carry this one over "
                "under another id with sessions export and sessions import --id"
            ) from error


def _take_decisions(session_id: str, *, source: Sessions, target: Sessions) -> None:
    waiting = {each.call_id for each in target.waiting(session_id)}
    for decision in source.left(session_id):
        if decision.call_id in waiting:
            target.decide(session_id, decision)
