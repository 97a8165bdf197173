"""Tables in files: what their columns are called, and their rows, one at a time.

Knows CSV, TSV and JSON lines, each also packed with gzip.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, TypeAlias, cast

from glm_agent import ToolError
from glm_agent_tools.content import recognise
from glm_agent_tools.workspace import Workspace

MAX_BYTES: Final = 256 * 2**20
"""Of a file, unpacked."""
_MAX_COLUMNS: Final = 1_000
_MAX_LINE: Final = 16 * 2**20
_SAMPLE: Final = 200
_MAX_DIGITS: Final = 40
"""Of a number: longer ones are not numbers to reckon with, and slow to read."""

Value: TypeAlias = str | int | float | None
Rows: TypeAlias = Iterator[list[Value]]

csv.field_size_limit(_MAX_LINE)


@contextmanager
def opened(workspace: Workspace, path: str) -> Generator[tuple[list[str], Rows]]:
    """The columns and the rows of a table. Raises ``ToolError`` where it is none."""
    with workspace.open(path) as file:
        name = PurePosixPath(path.lower())
        is_packed = name.suffix == ".gz"
        source = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_packed else file
        bounded = cast("BinaryIO", io.BufferedReader(_Bounded(source, path)))
        try:
            yield _read(bounded, PurePosixPath(name.stem).suffix if is_packed else name.suffix, path)
        except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ToolError(f"'{path}' is no table that can be read: {error}") from None


class _Bounded(io.RawIOBase):
    """A file that ends in an error where it is too large: a small packed file may unpack to a huge one."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path, self._total = file, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), 1 << 16))
        self._total += len(data)
        if self._total > MAX_BYTES:
            raise ToolError(f"'{self._path}' holds more than {MAX_BYTES >> 20} MiB: split it, or use python_script")
        buffer[: len(data)] = data
        return len(data)


def _read(file: BinaryIO, suffix: str, path: str) -> tuple[list[str], Rows]:
    buffered = cast("io.BufferedReader", file)
    content = recognise(cast("BinaryIO", io.BytesIO(buffered.peek(65_536)[:65_536])))
    if content.is_binary:
        raise ToolError(f"'{path}' is a binary file: tables are CSV, TSV or JSON lines")
    text = io.TextIOWrapper(buffered, encoding=content.encoding, errors="replace", newline="")
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(text, path)
    return _separated(text, suffix, path)


# -- CSV --------------------------------------------------------------------------------------------------


def _separated(text: io.TextIOWrapper, suffix: str, path: str) -> tuple[list[str], Rows]:
    first = text.readline(_MAX_LINE).removeprefix("\ufeff")
    if not first.strip():
        raise ToolError(f"'{path}' is empty: a table has a first line with the names of its columns")
    delimiter = "\t" if suffix == ".tsv" else max(",;\t|", key=lambda mark: (first.count(mark), mark == ","))
    reader = csv.reader(chain([first], text), delimiter=delimiter)
    columns = _names(next(reader), path)
    return columns, (_fitted(row, len(columns)) for row in reader if row)


def _names(given: list[str], path: str) -> list[str]:
    """Each column under a name of its own, upper and lower case being the same to SQL."""
    if len(given) > _MAX_COLUMNS:
        raise ToolError(f"'{path}' has more than {_MAX_COLUMNS:,} columns")
    names = dict[str, str]()
    for place, text in enumerate(given, start=1):
        plain = " ".join(text.split()) or f"column_{place}"
        others = (f"{plain}_{number}" for number in count(place))
        name = next(name for name in chain([plain], others) if name.casefold() not in names)
        names[name.casefold()] = name
    return list(names.values())


def _fitted(row: list[str], width: int) -> list[Value]:
    cells: list[Value] = [number(cell) for cell in row[:width]]
    return cells + [None] * (width - len(cells))


def number(text: str) -> Value:
    """The number a text is written as; None for an empty one. ``007`` stays text, like what is too long to be exact."""
    plain = text.strip()
    if not plain:
        return None
    digits = plain.lstrip("+-")
    if not digits[:1].isdigit() and digits[:1] != ".":
        return text
    if len(digits) > _MAX_DIGITS or (digits[0] == "0" and digits[1:2].isdigit()):
        return text
    try:
        if digits.isascii() and digits.isdigit():
            value = int(plain)
            return value if abs(value) < 2**63 else text
        return float(plain) if not set(digits) - set("0123456789.eE+-") else text
    except ValueError:
        return text


# -- JSON lines -------------------------------------------------------------------------------------------


def _json_lines(text: io.TextIOWrapper, path: str) -> tuple[list[str], Rows]:
    """The columns are those of the first objects; what others have besides is left out."""
    objects = _objects(text, path)
    head = list(islice(objects, _SAMPLE))
    columns = list(dict.fromkeys(key for entry in head for key in entry))
    names = _names(columns, path)
    if not names:
        raise ToolError(f"'{path}' holds no objects")
    return names, ([_value(entry.get(column)) for column in columns] for entry in chain(head, objects))


def _objects(text: io.TextIOWrapper, path: str) -> Iterator[dict[str, Any]]:
    for line_number, line in enumerate(iter(lambda: text.readline(_MAX_LINE), ""), start=1):
        if not line.strip("\ufeff \t\r\n"):
            continue
        try:
            entry: Any = json.loads(line.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as error:
            raise ToolError(f"line {line_number} of '{path}' is no JSON: {error}") from None
        if not isinstance(entry, dict):
            raise ToolError(f"line {line_number} of '{path}' is no JSON object")
        yield cast("dict[str, Any]", entry)


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    return json.dumps(value, ensure_ascii=False)
