"""What is in a file: text or not, in which encoding, how many lines."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import BinaryIO, Final

_SAMPLE_BYTES: Final = 65_536

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer marks first: that of UTF-32 begins like that of UTF-16."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What the beginning of a file says about the whole."""

    encoding: str
    """Python's name of it; empty for binary files."""
    newline: str
    """``\\n`` or ``\\r\\n``, whichever the first line ends with."""

    @property
    def is_binary(self) -> bool:
        return not self.encoding

    @property
    def is_wide(self) -> bool:
        """Whether a byte 10 may be something else than the end of a line."""
        return self.encoding.startswith(("utf-16", "utf-32"))


def recognise(file: BinaryIO) -> Content:
    """Look at the beginning of a file, and go back to it."""
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    encoding = _encoding(sample)
    first = sample.decode(encoding, errors="replace").partition("\n")[0] if encoding else ""
    return Content(encoding=encoding, newline="\r\n" if first.endswith("\r") else "\n")


def count_lines(file: BinaryIO, content: Content) -> int:
    """Lines from here to the end; a last line without a line end counts."""
    if content.is_wide:
        return len(split_lines(file.read(), content))
    lines, last = 0, b"\n"
    while block := file.read(1 << 20):
        lines += block.count(b"\n")
        last = block[-1:]
    return lines + (last != b"\n")


def split_lines(data: bytes, content: Content) -> list[str]:
    """The lines of a whole file without their ends. Only a line feed ends a line, as for git and editors."""
    lines = data.decode(content.encoding, errors="replace").removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _encoding(sample: bytes) -> str:
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    if b"\0" in sample:
        return ""
    try:
        # The sample may end inside a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
        return "utf-8"
    except UnicodeDecodeError:
        return "cp1252" if _looks_like_text(sample) else ""


def _looks_like_text(sample: bytes) -> bool:
    """Old Western text has hardly any control characters; compressed data has one in ten bytes."""
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in sample)
    return controls * 100 <= len(sample)
