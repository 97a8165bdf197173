"""The file of lines: checked whole before anything runs, then read again line by line.

Of a line only its place in the file and hashes are kept, so that a batch may have any number.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from glm_agent.batch.lines import Item, parse_line
from glm_agent.errors import ConfigurationError

_SHOWN: Final = 5
"""Mistakes that are said one by one; the rest are counted."""

_SPLIT_BYTES: Final = 64 * 1024 * 1024
"""A line longer than this is a file without line ends."""


class TaskLines:
    """The lines of a batch. Use it as what it is read from: ``open``, ``check``, iterate, ``close``."""

    def __init__(self, given: str | Path | Iterable[Mapping[str, Any]], *, parameters: Mapping[str, Any]) -> None:
        self.name = str(given) if isinstance(given, str | Path) else "the batch"
        if self.name == "-":
            self.name = "stdin"
        self._parameters = parameters
        self._file = _opened(given)
        self._places = array("q")
        """Of each task: where its line begins in the file, and the number of the line."""
        self.duplicates = 0
        """Lines that say what another one with the same key says."""

    def __len__(self) -> int:
        return len(self._places) // 2

    def check(self, checks: Callable[[Item], None]) -> dict[bytes, bytes]:
        """Read everything once; each task's key and digest, both hashed.

        Raises ``ConfigurationError`` that names the lines that are wrong, the first five of them.
        """
        seen: dict[bytes, bytes] = {}
        lines: dict[bytes, int] = {}
        wrong: list[str] = []
        for place, number, text in self._numbered():
            try:
                item = parse_line(text, number=number, parameters=self._parameters)
                key = key_hash(item.key)
                if self._is_new(item, key, seen, lines):
                    checks(item)
                    seen[key], lines[key] = bytes.fromhex(item.digest), number
                    self._places.extend((place, number))
            except ConfigurationError as error:
                wrong.append(f"{self.name}:{number}: {error}")
        if wrong:
            more = f"\n… and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
            raise ConfigurationError("\n".join(wrong[:_SHOWN]) + more)
        if not self._places:
            raise ConfigurationError(f"{self.name} holds no tasks: write one JSON object a line")
        return seen

    def __iter__(self) -> Iterator[Item]:
        """The tasks in the order of the file, read again."""
        for at in range(0, len(self._places), 2):
            self._file.seek(self._places[at])
            number = self._places[at + 1]
            try:
                yield parse_line(self._file.readline(), number=number, parameters=self._parameters)
            except ConfigurationError as error:
                raise ConfigurationError(f"{self.name}:{number}: changed while the batch ran: {error}") from error

    def close(self) -> None:
        self._file.close()

    def _is_new(self, item: Item, key: bytes, seen: dict[bytes, bytes], lines: dict[bytes, int]) -> bool:
        if key not in seen:
            return True
        if seen[key] != bytes.fromhex(item.digest):
            raise ConfigurationError(f"the key '{item.key}' names another task in line {lines[key]}: give each its own")
        self.duplicates += 1
        return False

    def _numbered(self) -> Iterator[tuple[int, int, bytes]]:
        """Place, number and text of each line that is not blank."""
        self._file.seek(0)
        place, number = 0, 0
        while text := self._file.readline(_SPLIT_BYTES):
            number += 1
            if len(text) == _SPLIT_BYTES:
                raise ConfigurationError(f"{self.name}:{number}: over 64 MiB: write one JSON object a line")
            if text.strip(b" \t\r\n\xef\xbb\xbf"):
                yield place, number, text
            place += len(text)


def key_hash(key: str) -> bytes:
    """A key in 16 bytes."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:16]


def session_of(batch: str, item: Item) -> str:
    """The session that a task of a batch is kept in; another one where the task asks something else."""
    name = hashlib.sha256(f"{item.key}\0{item.digest}".encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{batch}-{name}"


def _opened(given: str | Path | Iterable[Mapping[str, Any]]) -> IO[bytes]:
    """A file that can be read twice: what comes through a pipe or from a program is kept in one without a name."""
    if isinstance(given, str | Path):
        return _spooled(sys.stdin.buffer) if str(given) == "-" else _file(Path(os.path.expanduser(given)))
    if not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            f'a batch takes a path or a list of tasks, and got {given!r}: write [{{"prompt": "…"}}]'
        )
    spool = TemporaryFile()  # noqa: SIM115
    spool.writelines(_line(each) for each in given)
    return spool


def _file(path: Path) -> IO[bytes]:
    try:
        file = path.open("rb")
        if file.seekable():
            return file
        with file:
            return _spooled(file)
    except OSError as error:
        raise ConfigurationError(f"the batch '{path}' cannot be read: {error.strerror or error}") from error


def _spooled(pipe: IO[bytes]) -> IO[bytes]:
    spool = TemporaryFile()  # noqa: SIM115
    while piece := pipe.read(1 << 20):
        spool.write(piece)
    return spool


def _line(given: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(given).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"a task of the batch is no JSON: {error}") from error
