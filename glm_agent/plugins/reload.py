"""Files of tools that change while they are used: noticed, and executed again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from glm_agent.plugins.files import forget
from glm_agent.plugins.sources import parts_of

_Stamp: TypeAlias = tuple[int, int]


class ToolFiles:
    """The files behind sources of tools: those that are named, and what lies beside them.

    Installed plugins and modules are not watched: Python cannot import them anew for certain.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self._folders = {file.resolve().parent for source in sources if (file := _file_of(source)) is not None}
        self._seen = self._stamps()

    def changed(self) -> list[Path]:
        """The files that changed, came or went since the last time this was asked; what they held is forgotten."""
        now, before = self._stamps(), self._seen
        self._seen = now
        changed = sorted(file for file in now.keys() | before.keys() if now.get(file) != before.get(file))
        for folder in {file.parent for file in changed}:
            forget(folder)
        return changed

    def _stamps(self) -> dict[Path, _Stamp]:
        stamps: dict[Path, _Stamp] = {}
        for folder in self._folders:
            for file in folder.glob("*.py"):
                try:
                    status = file.stat()
                except OSError:
                    continue
                stamps[file] = (status.st_mtime_ns, status.st_size)
        return stamps


def _file_of(source: str) -> Path | None:
    part = next(iter(parts_of(source)), None)
    return part.file if part is not None else None
