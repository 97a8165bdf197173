"""Results that are too long for the model, kept as whole files, and the tool that reads on in them.

A file holds one result as UTF-8 text and is named by an id that the model is told. Knows nothing of
sessions but the folder it is given.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from glm_agent.errors import ToolError
from glm_agent.registry.function import FunctionTool

_ID = re.compile(r"r[0-9a-f]{12}")
_ROW = 1_000
"""Characters of a line that count as one."""
_PAGE_BYTES = 60_000
"""Well under what one result may hold, so that a page is never cut itself."""

# Described here, not in the docstring: this tool is in every stored run, and to parse sections takes 60 ms to import.
Id: TypeAlias = Annotated[str, Field(description="The id named where the result was cut.")]
Line: TypeAlias = Annotated[int, Field(ge=1, description="First line to show, from 1.")]
Count: TypeAlias = Annotated[int, Field(ge=1, le=2_000, description="How many lines to show at most.")]
Wanted: TypeAlias = Annotated[str, Field(description="Only lines that hold this text, capital letters or not.")]


class KeptResults:
    """A folder of long results; without one, a temporary folder that goes with this object."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.tool = copy.copy(_reader())
        """Offered to the model beside its tools."""
        self.tool.function = self.read_result

    def keep(self, text: str | bytes, *, key: str) -> str:
        """Keep a result under an id made from its call's ``key``, and say how to read on in it."""
        name = f"r{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        path = self._path(name)
        path.touch(mode=0o600)
        path.write_bytes(text.encode(errors="replace") if isinstance(text, str) else text)
        return f"the whole is kept: {self.tool.spec.name}(id={name!r}, from_line=…, contains=…)"

    def read_result(self, id: Id, from_line: Line = 1, lines: Count = 200, contains: Wanted = "") -> str:
        """Read on in a tool result that was too long to be shown as a whole."""
        if not _ID.fullmatch(id) or not os.path.isfile(path := self._path(id)):
            raise ToolError(f"no result {id!r} is kept: call the tool again")
        with path.open(encoding="utf-8", errors="replace") as file:
            return _page(enumerate(_rows(file), start=1), from_line, lines, contains.casefold())

    def _path(self, name: str) -> Path:
        folder = self._folder
        if folder is None:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="glm-agent-results-")
            folder = Path(self._temporary.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / name

    def close(self) -> None:
        """Remove the temporary folder; a given one stays."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


@cache
def _reader() -> FunctionTool[..., str]:
    """The tool of no folder in particular: every stored run has one, and its schema takes a millisecond to make."""
    unbound = KeptResults.__new__(KeptResults)
    return FunctionTool(unbound.read_result, read_only=True, untrusted=True, timeout_seconds=20.0)


def _rows(lines: Iterable[str]) -> Iterator[str]:
    """The lines, long ones in several rows: JSON often comes as one line of megabytes."""
    for line in lines:
        text = line.rstrip("\r\n")
        yield text[:_ROW]
        yield from (text[at : at + _ROW] for at in range(_ROW, len(text), _ROW))


def _page(numbered: Iterator[tuple[int, str]], first: int, count: int, wanted: str) -> str:
    found = ((number, row) for number, row in numbered if number >= first and wanted in row.casefold())
    shown: list[str] = []
    size = 0
    for number, row in found:
        size += len(row.encode()) + 10
        if len(shown) == count or size > _PAGE_BYTES:
            return "\n".join([*shown, f"[more from line {number}]"])
        shown.append(f"{number}: {row}")
    return "\n".join([*shown, "[end]"] if shown else ["[no such line]"])
