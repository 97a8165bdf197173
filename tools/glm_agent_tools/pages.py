"""A text file by lines, and as much of it as a model is shown at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

from glm_agent import ToolError
from glm_agent_tools.content import Content, split_lines

_MAX_LINE_CHARACTERS: Final = 2_000
_MAX_READ_CHARACTERS: Final = 90_000
_MAX_WIDE_BYTES: Final = 64_000_000


def text_lines(file: BinaryIO, content: Content, path: str) -> Iterator[str]:
    """The lines of a text file, one at a time, so that a large file is not read into memory."""
    if content.is_wide:
        data = file.read(_MAX_WIDE_BYTES + 1)
        if len(data) > _MAX_WIDE_BYTES:
            raise ToolError(f"'{path}' is {content.encoding} and larger than {_MAX_WIDE_BYTES:,} bytes: not read")
        yield from split_lines(data, content)
        return
    encoding = "utf-8" if content.encoding == "utf-8-sig" else content.encoding
    for number, line in enumerate(_bounded(file)):
        text = line.decode(encoding, errors="replace")
        yield text.removeprefix("\ufeff") if number == 0 else text


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Lines of at most 1 MiB: what is longer comes in pieces."""
    while line := file.readline(1 << 20):
        yield line


def page(lines: Iterator[str], *, offset: int, limit: int) -> tuple[list[str], bool]:
    """The lines from ``offset`` on that fit, and whether there are more."""
    shown: list[str] = []
    room = _MAX_READ_CHARACTERS
    for line in islice(lines, offset - 1, None):
        cut = _cut(line)
        room -= len(cut)
        if len(shown) == limit or (room < 0 and shown):
            return shown, True
        shown.append(cut)
    return shown, False


def _cut(line: str) -> str:
    text = line.rstrip("\r\n")
    if len(text) <= _MAX_LINE_CHARACTERS:
        return f"{text}\n"
    return f"{text[:_MAX_LINE_CHARACTERS]} … [{len(text) - _MAX_LINE_CHARACTERS:,} characters more in this line]\n"
