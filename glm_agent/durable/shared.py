"""Long results of a session on a server: files of the machine that made them, and copies for the others.

A copy is there before the record that names it. A machine that goes on with the session makes files of what it lacks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from glm_agent.driver import Record
from glm_agent.durable.database import Database
from glm_agent.errors import JournalError
from glm_agent.journal import spilled
from glm_agent.messages import Fact

SHARED_BYTES: Final = 16 * 2**20
"""A longer result stays on its machine; elsewhere the model is told to call the tool again."""


class SharedResults:
    """Those of one session."""

    def __init__(self, database: Database, session: str, folder: Path) -> None:
        self._database, self._session, self._folder = database, session, folder

    def keep(self, record: Record) -> None:
        """Copy the results that a record names into the database."""
        for name in spilled.named(record):
            path = self._folder / name
            with suppress(OSError):  # what is not there cannot be read here either
                if path.stat().st_size <= SHARED_BYTES:
                    self._database.replace_blob(self._session, name, zlib.compress(path.read_bytes()))

    def fetch(self, facts: Sequence[Fact]) -> None:
        """Make files of the results that are named and not here, as far as the database has them."""
        wanted = spilled.missing(facts, self._folder)
        found = self._database.blobs_of(self._session, wanted) if wanted else {}
        with suppress(JournalError):  # a disk that takes no copy does not keep the session from going on
            spilled.write({name: zlib.decompress(data) for name, data in found.items()}, self._folder)
