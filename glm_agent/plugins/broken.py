"""A plugin that broke: which one, with what, and where in its files."""

from __future__ import annotations

import importlib
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MACHINERY: Final = ("<frozen ", importlib.__file__, str(Path(__file__).parent))
"""How the names of files begin that only import others: no place to blame."""


class NoTools(Exception):
    """A module that was named and offers nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    source: str
    """As it was named, or the file."""
    error: str
    """``Type: message``."""
    file: str = ""
    """Where it happened; empty where no file is to blame."""
    line: int = 0
    """From 1; 0 where no line is to blame."""

    def __str__(self) -> str:
        place = f" (file '{self.file}', line {self.line})" if self.file else ""
        return f"'{self.source}': {self.error}{place}"


def broken(source: str, error: BaseException) -> Broken:
    """What is to be said of a plugin that raised while it was loaded."""
    file, line = _place(error)
    said = f"{type(error).__name__}: {error}" if not isinstance(error, NoTools) else str(error)
    return Broken(source=source, error=said + _hint(error, file), file=file, line=line)


def _place(error: BaseException) -> tuple[str, int]:
    """The deepest line of the plugin's own files; of a syntax error, the line itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if not frame.filename.startswith(_MACHINERY)]
    if not frames:
        return "", 0
    # The first frame is the plugin's; a library that it calls lies elsewhere, and its lines say little.
    folder = str(Path(frames[0].filename).parent)
    deepest = [frame for frame in frames if frame.filename.startswith(folder)][-1]
    return deepest.filename, deepest.lineno or 0


def _hint(error: BaseException, file: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and file:
        sibling = Path(file).with_name(f"{error.name.partition('.')[0]}.py")
        if os.path.isfile(sibling):
            return f"; the file beside it is imported with 'from .{error.name} import …'"
    return ""
