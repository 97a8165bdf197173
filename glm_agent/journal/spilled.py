"""Results that were too long for the model, as lines of an export beside the records.

A file of a session's folder of results is one line. What its facts name and the folder does not hold any
more is missing, and said to be.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from glm_agent.errors import JournalError
from glm_agent.messages import Fact, HistoryReplaced, ToolResult

KIND: Final = "kept_result"
_ID: Final = re.compile(r"r[0-9a-f]{12}")
_NAMED: Final = re.compile(r"\(id='(r[0-9a-f]{12})', from_line=")
"""How the model was told of one; see ``registry.results``."""

Files: TypeAlias = dict[str, bytes]


def to_lines(folder: Path | None) -> Iterator[str]:
    """Each kept result as a line of JSON; none where the folder was never made."""
    for path in sorted(folder.iterdir()) if folder is not None and os.path.isdir(folder) else ():
        if _ID.fullmatch(path.name) and os.path.isfile(path):
            content = _encoded(path.read_bytes())
            yield json.dumps({"kind": KIND, "at": path.stat().st_mtime, "id": path.name, **content}, ensure_ascii=False)


def taken_from(lines: Iterable[str]) -> tuple[list[str], Files]:
    """The lines of an export with those of kept results left empty, and these results by their ids."""
    others, files = list[str](), Files()
    for number, line in enumerate(lines, start=1):
        found = _read(line, where=f"line {number}")
        others.append(line if found is None else "")
        files.update(found or {})
    return others, files


def write(files: Files, folder: Path) -> None:
    """Put the results into a folder, made where it is new, for their owner's eyes only; else ``JournalError``."""
    try:
        if files:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.write_bytes(content)
    except OSError as error:
        raise JournalError(
            f"long results cannot be kept in '{folder}' ({error.strerror or error}): make room, or make it writable"
        ) from error


def missing(facts: Sequence[Fact], folder: Path | None) -> list[str]:
    """Ids of results that the model was told of and that are not there."""
    wanted = dict.fromkeys(id for fact in facts for id in named(fact))
    return [id for id in wanted if folder is None or not os.path.isfile(folder / id)]


def named(record: object) -> Iterator[str]:
    """Ids of the results that a record tells the model of."""
    said = record.messages if isinstance(record, HistoryReplaced) else (record,)
    for one in said:
        if isinstance(one, ToolResult):
            yield from _NAMED.findall(one.content)


def read(folder: Path) -> Files:
    """The results in a folder, by their ids; none where it was never made."""
    found = sorted(folder.iterdir()) if os.path.isdir(folder) else []
    return {path.name: path.read_bytes() for path in found if _ID.fullmatch(path.name) and os.path.isfile(path)}


def _encoded(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _read(line: str, *, where: str) -> Files | None:
    """The result in a line; None where the line is something else."""
    if KIND not in line[:1_000]:
        return None
    try:
        data: Any = json.loads(line)
        if not isinstance(data, dict) or data.get("kind") != KIND:  # pyright: ignore[reportUnknownMemberType]
            return None
        name, text = data["id"], data.get("text")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        content = text.encode() if isinstance(text, str) else base64.b64decode(data["base64"], validate=True)  # pyright: ignore[reportUnknownArgumentType]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise JournalError(f"{where} holds a damaged '{KIND}': {error}") from error
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise JournalError(f"{where} holds a '{KIND}' of the id {str(name)!r}, which is none")  # pyright: ignore[reportUnknownArgumentType]
    return {name: content}
