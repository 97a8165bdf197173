"""Which batch it is: its id, kept beside the journal for its file of results, and the one process that runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.journal import new_session_id

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,60}")


def batch_id(name: str | None, *, out: Path | None, folder: Path) -> tuple[str, bool]:
    """The id of a batch, and whether it may have been begun before.

    A batch has the name it is given; without one, a file of results that is there goes on with the batch
    that made it, and everything else is a new batch.

    Args:
        name: What the user calls it.
        out: The file of results.
        folder: Where it is kept which file belongs to which batch.
    """
    if name is not None:
        if not _ID.fullmatch(name) or name.startswith("."):
            raise ConfigurationError(
                f"'{name}' cannot be the name of a batch: use 1 to 60 letters, digits, '.', '_', '-'"
            )
        return name, True
    if out is None:
        return f"batch-{new_session_id()}", False
    note = folder / f"{_hash(out)}.json"
    if os.path.exists(out) and (known := _known(note)):
        return known, True
    return _begin(note, out), os.path.exists(out)


@contextmanager
def held(what: str | Path, *, folder: Path) -> Generator[None]:
    """Keep other processes from a batch or a file of results; ``ConfigurationError`` names the one that has it."""
    from filelock import FileLock, Timeout

    path = folder / f"{_hash(what) if isinstance(what, Path) else what}.lock"
    lock = FileLock(path, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        holder = path.read_text(errors="replace").strip() or "another process"
        raise ConfigurationError(f"the batch '{what}' is running already ({holder}): wait for it, or end it") from error
    except OSError as error:
        raise JournalError(
            f"the lock '{path}' cannot be taken ({error.strerror or error}): "
            "make room and the folder writable, or set GLM_AGENT_HOME to another one"
        ) from error
    try:
        with suppress(OSError):
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        lock.release()


def make_folder(journal: Path) -> Path:
    """The folder for what is kept of batches, beside the journal."""
    from glm_agent.journal.database import make_folder as make

    folder = journal.parent / "batches"
    try:
        make(journal.parent)
        make(folder)
    except OSError as error:
        raise JournalError(
            f"the folder '{folder}' cannot be made ({error.strerror or error}): "
            "set GLM_AGENT_HOME to a folder that can be written"
        ) from error
    return folder


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:20]


def _begin(note: Path, out: Path) -> str:
    id = f"batch-{new_session_id()}"
    new = note.with_suffix(".new")
    try:
        new.write_text(json.dumps({"version": 1, "id": id, "out": str(out), "created": time.time()}), encoding="utf-8")
        os.replace(new, note)
    except OSError as error:
        raise JournalError(f"'{note}' cannot be written: {error.strerror or error}") from error
    return id


def _known(note: Path) -> str:
    try:
        kept: Any = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise JournalError(f"'{note}' cannot be read ({error}): delete it to begin the batch anew") from error
    id = cast("dict[str, Any]", kept).get("id") if isinstance(kept, dict) else None
    return id if isinstance(id, str) and _ID.fullmatch(id) else ""
