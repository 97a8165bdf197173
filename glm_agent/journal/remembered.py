"""What this process has read of sessions: one is opened again and again, and its log only grows.

A log is still read as a whole, and each record compared with the one before by a hash of its text; but only what
came since is parsed, and folded into a turn. So nothing here is ever out of date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from hashlib import blake2b
from operator import is_
from typing import Final, TypeAlias

from glm_agent.errors import TurnError
from glm_agent.journal.records import StoredRecord
from glm_agent.messages import Fact
from glm_agent.turn import Turn, rebuild, receive

Row: TypeAlias = tuple[float, str, str]
"""When it was kept, its kind, and its text."""

_MOST_CHARACTERS: Final = 8_000_000
"""Of all sessions together; what was not asked for longest goes."""
_FEW: Final = 32
"""So many records are parsed within a millisecond."""


@dataclass(slots=True)
class _Session:
    hashes: list[bytes] = field(default_factory=list[bytes])
    records: list[StoredRecord] = field(default_factory=list[StoredRecord])
    characters: int = 0
    folded: tuple[Sequence[Fact], Turn] | None = None
    """Facts, and what they make."""


class Remembered:
    """The sessions that were read last. Any thread may use it."""

    def __init__(self, *, most_characters: int = _MOST_CHARACTERS) -> None:
        self._most = most_characters
        self._sessions = OrderedDict[str, _Session]()
        self._lock = threading.Lock()

    def records(self, name: str, rows: Sequence[Row], parse: Callable[[Row], StoredRecord]) -> list[StoredRecord]:
        """The records in these rows; what ``parse`` raises goes through."""
        if len(rows) < _FEW:
            return list(map(parse, rows))
        known = self._sessions.get(name) or _Session()
        hashes = list(map(_hash, rows))
        same = _alike(known.hashes, hashes)
        found = [*known.records[:same], *map(parse, rows[same:])]
        characters = sum(len(text) for _, _, text in rows)
        self._remember(name, _Session(hashes, list(found), characters, known.folded))
        return found

    def turn(self, name: str, facts: Sequence[Fact]) -> Turn:
        """What ``rebuild`` makes of the facts of a session; raises as it does."""
        known = self._sessions.get(name)
        turn = _continued(known.folded, facts) if known is not None and known.folded is not None else rebuild(facts)
        if known is not None:
            known.folded = tuple(facts), turn
        return turn

    def _remember(self, name: str, session: _Session) -> None:
        with self._lock:
            self._sessions[name] = session
            self._sessions.move_to_end(name)
            while self._sessions and sum(each.characters for each in self._sessions.values()) > self._most:
                self._sessions.popitem(last=False)


def _hash(row: Row) -> bytes:
    return blake2b(f"{row[0]!r} {row[1]} {row[2]}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _alike(before: Sequence[bytes], now: Sequence[bytes]) -> int:
    """How many of the first ones are equal."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(before), len(now)))


def _continued(folded: tuple[Sequence[Fact], Turn], facts: Sequence[Fact]) -> Turn:
    """The turn of these facts; made anew where they do not begin with those that were folded."""
    known, turn = folded
    if len(known) > len(facts) or not all(map(is_, known, facts)):
        return rebuild(facts)
    return reduce(receive, facts[len(known) :], turn)


class Head:
    """The facts of a session that is open, and the turn they make."""

    def __init__(self, name: str, facts: Sequence[Fact]) -> None:
        self.facts = list(facts)
        self._name = name
        self._folded = 0
        self._turn: Turn | None = None

    @property
    def turn(self) -> Turn | None:
        """What ``rebuild`` makes of the facts, and raises; None where there are none."""
        if self._turn is None and self.facts:
            self._turn = REMEMBERED.turn(self._name, self.facts)
        elif self._turn is not None:
            self._turn = reduce(receive, self.facts[self._folded :], self._turn)
        self._folded = len(self.facts)
        return self._turn

    @property
    def made(self) -> Turn | None:
        """The same; None also where the facts make none."""
        try:
            return self.turn
        except TurnError:
            return None


REMEMBERED: Final = Remembered()
