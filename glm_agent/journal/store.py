"""What all stores of sessions have in common: their protocol, and the rules of ids and headers. Opens nothing."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast

from glm_agent.driver import Record, Steps
from glm_agent.errors import ConfigurationError
from glm_agent.journal.records import StoredRecord, is_time
from glm_agent.journal.search import Hit
from glm_agent.journal.summary import Origin, SessionSummary, Setup
from glm_agent.messages import Decision, Fact, JsonObject, TurnStarted
from glm_agent.turn import Turn, Waiting
from glm_agent.wire.jsontext import scrub

_ID: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,80}")
"""An id is also the name of a file and of a folder, which ``..`` must not be."""


class OpenSession(Steps, Protocol):
    """A session open for writing; closed at the end of the block."""

    id: str

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every fact of the session in order."""
        ...

    @property
    def turn(self) -> Turn | None:
        """What the facts make; None where there are none. Raises ``TurnError`` where they are no turn."""
        ...

    def keep(self, record: Record) -> Record:
        """Append a record and return it as stored; of an intent, the first one with its key."""
        ...

    def close(self) -> None:
        """Let others write. May be called twice."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sessions(Protocol):
    """Where sessions are: ``Journal`` in a file, ``DatabaseSessions`` in a database."""

    @property
    def place(self) -> str:
        """Where that is, for people; no password in it."""
        ...

    def describe(self, session_id: str, *, task: str = "", options: JsonObject | None = None) -> None: ...
    def open(self, session_id: str, *, task: str = "") -> OpenSession: ...
    def is_open(self, session_id: str) -> bool: ...
    def results_of(self, session_id: str) -> Path: ...
    def sessions(self) -> list[SessionSummary]: ...
    def has(self, session_id: str) -> bool: ...
    def summary(self, session_id: str) -> SessionSummary: ...
    def setup(self, session_id: str) -> Setup: ...
    def facts(self, session_id: str) -> tuple[Fact, ...]: ...
    def records(self, session_id: str) -> tuple[StoredRecord, ...]: ...
    def search(self, text: str) -> Iterator[Hit]: ...
    def waiting(self, session_id: str) -> list[Waiting]: ...
    def left(self, session_id: str) -> Sequence[Decision]: ...
    def decide(self, session_id: str, decision: Decision) -> None: ...
    def export(self, session_id: str) -> Iterator[str]: ...
    def missing_results(self, session_id: str) -> list[str]: ...
    def import_(self, lines: Iterable[str], *, session_id: str | None = None, takes_setup: bool = False) -> str: ...
    def delete(self, session_id: str) -> None: ...
    def prune(self, *, older_than_days: float, keep: int = 0, is_dry: bool = False) -> list[str]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def new_session_id() -> str:
    """An id that sorts by time, such as ``20261122-213108-5f3a9c``."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def checked_id(session_id: str) -> str:
    """The id; ``ConfigurationError`` where it cannot be one."""
    if not _ID.fullmatch(session_id):
        raise ConfigurationError(
            f"'{session_id[:100]}' cannot be the id of a session: use 1 to 80 letters, digits, '.', '_' and '-'"
        )
    return session_id


def renamed(record: Record, session_id: str) -> Record:
    """The record in a session of another id: the keys of its calls are made from that id."""
    return replace(record, session=session_id) if isinstance(record, TurnStarted) else record


def header_of(summary: SessionSummary) -> dict[str, Any]:
    """What an export says beside the records, which hold the rest."""
    return {"id": summary.id, "origin": asdict(summary.origin)}


def origin_of(header: dict[str, Any]) -> Origin:
    """Where a stored session began, as far as its header says it."""
    found = header.get("origin")
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    created = said.get("created")
    texts = {name: scrub(str(said.get(name, ""))) for name in ("folder", "task", "version")}
    return Origin(created=float(created) if is_time(created) else time.time(), **texts)


def new_origin(task: str) -> Origin:
    """Of a session that begins here and now."""
    return Origin(created=time.time(), folder=_working_folder(), task=scrub(task), version=own_version())


def _working_folder() -> str:
    try:
        return os.fsencode(os.getcwd()).decode(errors="replace")
    except OSError:
        return ""


@cache
def own_version() -> str:
    """Of the package that is installed."""
    try:
        return version("glm-agent")
    except PackageNotFoundError:
        return "unknown"
