"""Where sessions are: a file of the journal or a database, by the name that was given, and the steps of a run there."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread

from glm_agent.driver import InlineSteps, Steps
from glm_agent.errors import ConfigurationError
from glm_agent.turn import Turn

if TYPE_CHECKING:
    from glm_agent.journal.store import OpenSession, Sessions

_T = TypeVar("_T")

DATABASE_VARIABLE: Final = "GLM_AGENT_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a run's answers are kept, and what is there already."""

    steps: Steps
    session: str
    """The session's id; of a run that is not kept, one that names nothing."""
    turn: Turn | None = None
    """What is stored of the session."""
    results: Path | None = None
    """A folder for results that are too long for the model."""
    version: str = ""
    """Of glm-agent, to be kept with the turn; empty where nothing is kept."""


def sessions(given: Any = None) -> Sessions:
    """The store that was given, or what its name means: the address of a database, else a file of the journal.

    Without a name it is the database of ``GLM_AGENT_DATABASE_URL``, else the nearest journal. Raises
    ``ConfigurationError`` for an address that is none.
    """
    from glm_agent.durable import is_address, sessions_in

    name = given if given is not None else os.environ.get(DATABASE_VARIABLE) or None
    if isinstance(name, str) and is_address(name):
        return sessions_in(name)
    if given is None and name is not None:
        raise ConfigurationError(
            f"{DATABASE_VARIABLE} is '{name}': write sqlite:///runs.db or postgresql://user@host/database, or unset it"
        )
    if given is None or isinstance(given, str | Path):
        from glm_agent.journal import Journal

        return Journal(given)
    store: Sessions = given
    return store


def kept(journal: Any, session: str | None, *, is_new: bool = True) -> AbstractAsyncContextManager[Kept]:
    """Where the answers of one run are kept, for as long as the block lasts.

    ``is_new``: whether the session may be; else ``JournalError`` where it is not there.
    """
    if session is None and journal is None:
        return nullcontext(Kept(InlineSteps(), uuid4().hex))
    return _stored(journal, session, is_new=is_new)


@asynccontextmanager
async def _stored(journal: Any, session: str | None, *, is_new: bool) -> AsyncGenerator[Kept]:
    from glm_agent.journal.store import new_session_id, own_version

    store = sessions(journal)
    try:
        if session and not is_new and not await _in_thread(lambda: store.has(session)):
            store.summary(session)  # says which sessions there are
        async with _opened(store, session or new_session_id()) as opened:
            yield Kept(opened, opened.id, opened.turn, store.results_of(opened.id), own_version())
    finally:
        if store is not journal:
            store.close()


@asynccontextmanager
async def _opened(store: Sessions, session: str) -> AsyncGenerator[OpenSession]:
    """Opened and closed in a thread: a database may be far away, and the loop has other things to do."""
    from glm_agent.journal import Journal

    if isinstance(store, Journal):
        with store.open(session) as at_once:
            yield at_once
        return
    opened = await _in_thread(lambda: store.open(session))
    error: BaseException | None = None
    try:
        yield opened
    except BaseException as raised:
        error = raised
        raise
    finally:
        kind = type(error) if error is not None else None
        await _in_thread(lambda: opened.__exit__(kind, error, None))


async def _in_thread(function: Callable[[], _T]) -> _T:
    """Not to be cancelled: what is opened meanwhile would be lost, and stay open."""
    with anyio.CancelScope(shield=True):
        return await anyio.to_thread.run_sync(function)
    raise AssertionError  # for type checkers, a cancel scope may swallow what its block raises
