"""Events that were kept, read again: the lines of ``run --format jsonl``, exported and stored sessions."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast

from glm_agent.cli import formats
from glm_agent.errors import ConfigurationError
from glm_agent.messages import Event, Fact, Notice, TurnResult, TurnStarted
from glm_agent.turn import Turn, pending, rebuild, receive

if TYPE_CHECKING:
    from glm_agent.journal.store import Sessions

Played: TypeAlias = Event | formats.Result | TurnResult

_LINE_SECONDS: Final = 0.1
_SESSION_SECONDS: Final = 0.5
"""Every look reads the session anew."""
_QUIET_LOOKS: Final = 10
"""So many looks without news, then it is asked whether anybody is still at work."""


def of_lines(lines: Iterable[bytes], *, where: str) -> Iterator[Played]:
    """The events of a stream of lines, or of an exported session; a line that is none becomes a notice.

    Raises ``ConfigurationError`` where the first line is no event: then nothing will be.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    for first, line in numbered:
        if _is_header(line):
            yield from with_results(_exported(chain([line], (line for _, line in numbered))))
            return
        yield _event(line, where=f"line {first} of {where}")
        break
    for number, line in numbered:
        try:
            yield _event(line, where=f"line {number}")
        except ConfigurationError as error:
            yield Notice(text=str(error), level="warning")


def with_results(facts: Iterable[Fact]) -> Iterator[Played]:
    """The facts of a session, and behind the last one of each turn that has ended how it did."""
    turn: Turn | None = None
    for fact in facts:
        if isinstance(fact, TurnStarted):
            yield from _result(turn)
        turn = rebuild([fact]) if turn is None else receive(turn, fact)
        yield fact
    yield from _result(turn)


def of_session(sessions: Sessions, session_id: str, *, is_followed: bool) -> Iterator[Fact]:
    """The facts of a stored session; followed, until its turn is over or nobody works on it any more."""
    seen = quiet = 0
    while True:
        facts = sessions.facts(session_id)
        yield from facts[seen:]
        quiet = quiet + 1 if len(facts) == seen else 0
        seen = len(facts)
        # A turn that is over is looked at once more: its open calls may get their results behind its end.
        if not is_followed or (quiet and any(_result(rebuild(facts)))):
            return
        if quiet and quiet % _QUIET_LOOKS == 0 and not sessions.is_open(session_id):
            return
        time.sleep(_SESSION_SECONDS)


def lines_of(path: str, *, is_followed: bool) -> Iterator[bytes]:
    """The lines of a file, or of stdin (``-``); followed, those that are yet to come too."""
    if path == "-":
        yield from sys.stdin.buffer
        return
    try:
        with Path(os.path.expanduser(path)).open("rb") as file:
            yield from _followed(file) if is_followed else file
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error.strerror or error}") from error


def _followed(file: BinaryIO) -> Iterator[bytes]:
    begun = b""
    while True:
        begun += file.readline()
        if begun.endswith(b"\n"):
            yield begun
            begun = b""
        else:  # the rest of this line is not written yet
            time.sleep(_LINE_SECONDS)


def _event(line: bytes, *, where: str) -> Event | formats.Result:
    try:
        return formats.read_line(line)
    except ValueError as error:
        raise ConfigurationError(
            f"{where} is no event that this version of glm-agent knows: give a session's id, or lines of "
            "`run --format jsonl` or `sessions export`"
        ) from error


def _is_header(line: bytes) -> bool:
    """Whether this is the first line of an exported session."""
    from glm_agent.journal import records

    try:
        header: Any = json.loads(line)
    except ValueError:
        return False
    return isinstance(header, dict) and cast("dict[str, Any]", header).get("format") == records.FORMAT


def _exported(lines: Iterable[bytes]) -> tuple[Fact, ...]:
    from glm_agent.journal import records, spilled

    texts, _ = spilled.taken_from(line.decode(errors="replace") for line in lines)
    return records.facts_of(records.from_lines(texts)[1])


def _result(turn: Turn | None) -> Iterator[TurnResult]:
    """How the turn ended; nothing where it has not."""
    if turn is not None and (turn.messages or turn.stopped):
        yield from (item for item in pending(turn) if isinstance(item, TurnResult))
