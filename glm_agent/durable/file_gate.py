"""The gate of a key and model over all processes on an SQLite file: its places are locked files beside it.

The system frees the places of a process that dies. How many there are is a small file, which everybody reads with
every place they take: a refusal (1302) that one of them meets halves it for all.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from glm_agent.durable.gate import UNLIMITED, SharedLimit
from glm_agent.errors import JournalError
from glm_agent.journal.database import make_folder

_log = logging.getLogger("glm_agent.durable")

_PATIENCE_SECONDS: Final = 10.0
"""For the file that says how many there are: it is held for less than a millisecond."""
_POLL_SECONDS: Final = 0.005


@dataclass(slots=True)
class _State:
    """How many places a key and model have."""

    most: int | None
    """None: no limit is known."""
    round: int = 0
    """Counts refusals: those of one round are refused together."""


class FileGate:
    """The gates of the processes on one database file. Blocking; any thread may use it."""

    def __init__(self, database: Path, *, bound: int | None = None) -> None:
        self._folder = database.with_name(f"{database.name}.gates")
        self._bound = bound
        self._own: dict[str, dict[int, FileLock]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="glm-agent gate")

    def limit(self, account: str) -> SharedLimit:
        """The limit of a key and model."""
        return SharedLimit(self, account)

    def take(self, account: str) -> tuple[int, int, int | None] | None:
        """A place: its slot, its round, and how many places there are; None where all are taken."""
        with self._state(account) as state:
            own = self._own.setdefault(account, {})
            for slot in range(state.most if state.most is not None else UNLIMITED):
                if slot not in own and (lock := self._locked(account, slot)) is not None:
                    own[slot] = lock
                    return slot, state.round, state.most
        return None

    def give(self, account: str, slot: int) -> None:
        """A place back."""
        if (lock := self._own.get(account, {}).pop(slot, None)) is not None:
            lock.release()

    def refused(self, account: str, *, round: int) -> None:
        """Too many ran: half of them may. Requests of one round are refused together, whoever made them."""
        with self._state(account) as state:
            if state.round == round:
                state.round, state.most = round + 1, max(1, self._taken(account) // 2)

    def grow(self, account: str, *, round: int) -> None:
        """A full round of successes: one more may run."""
        with self._state(account) as state:
            if state.round == round and state.most is not None:
                state.most = min(state.most + 1, self._bound or UNLIMITED)

    def later(self, work: Callable[..., None], *given: Any, **named: Any) -> None:
        """Do it soon, in order: an event loop does not wait for it."""
        self._thread.submit(self._quietly, partial(work, *given, **named))

    def close(self) -> None:
        self._thread.shutdown()
        for locks in self._own.values():
            for lock in locks.values():
                lock.release()
        self._own.clear()

    def _quietly(self, work: Callable[[], None]) -> None:
        try:
            work()
        except JournalError as error:
            _log.warning("%s", error)

    @contextmanager
    def _state(self, account: str) -> Generator[_State]:
        """What is known of an account, for this process alone; kept where the block changes it."""
        folder = self._folder / account[:32]
        try:
            make_folder(self._folder)
            make_folder(folder)
            with FileLock(folder / "lock", timeout=_PATIENCE_SECONDS, poll_interval=_POLL_SECONDS, mode=0o600):
                state = _read(folder / "state")
                before = asdict(state)
                if self._bound is not None and (state.most is None or state.most > self._bound):
                    state.most = self._bound
                yield state
                if asdict(state) != before:
                    _replace(folder / "state", json.dumps(asdict(state)))
        except (OSError, Timeout) as error:
            raise JournalError(
                f"the gate '{folder}' cannot be used ({error}): make room, and the folder writable"
            ) from error

    def _locked(self, account: str, slot: int) -> FileLock | None:
        lock = FileLock(self._folder / account[:32] / f"{slot}.place", timeout=0, mode=0o600, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock

    def _taken(self, account: str) -> int:
        """Places that somebody has."""
        own = self._own.get(account, {})
        others = [int(path.stem) for path in (self._folder / account[:32]).glob("*.place")]
        return len(own) + sum(slot not in own and not self._is_free(account, slot) for slot in others)

    def _is_free(self, account: str, slot: int) -> bool:
        lock = self._locked(account, slot)
        if lock is not None:
            lock.release()
        return lock is not None


def _read(path: Path) -> _State:
    try:
        return _State(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # damaged: what it was is found out again
        return _State(None)


def _replace(path: Path, text: str) -> None:
    """Written beside and put in its place: what is there is whole at every moment."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    os.replace(new, path)
