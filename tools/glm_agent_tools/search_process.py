"""The search itself, in a process of its own: ``python -m glm_agent_tools.search_process``.

Reads one JSON object on stdin and writes one JSON object a line, each hit at once. Python's regular
expressions cannot be interrupted, and some take longer than the universe will last: whoever
started this process ends it when the time is up, and keeps what was found until then.
"""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from glm_agent import ToolError
from glm_agent_tools.content import recognise, split_lines
from glm_agent_tools.workspace import Workspace

_MAX_FILE_BYTES: Final = 32_000_000
_MAX_LINE_CHARACTERS: Final = 20_000
_SHOWN_CHARACTERS: Final = 400


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    for entry in search(question):
        sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()


def search(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines to show, in the order of the files, and at the end what there was."""
    pattern = re.compile(question["pattern"], re.IGNORECASE if question["ignore_case"] else 0)
    workspace, hits = Workspace(question["root"]), 0
    first, last = question["offset"], question["offset"] + question["limit"]
    for path in question["files"]:
        for lines, is_hit in _in_file(workspace, path, pattern, around=question["context_lines"]):
            hits += is_hit
            if hits > last:
                yield {"hits": last, "is_more": True}
                return
            if hits > first:
                yield {"lines": lines, "is_hit": is_hit}
    yield {"hits": hits, "is_more": False}


def _in_file(
    workspace: Workspace, path: str, pattern: re.Pattern[str], *, around: int
) -> Iterator[tuple[list[str], bool]]:
    """A hit with the lines before it, or a line after one."""
    before = deque[str](maxlen=around)
    after = 0
    for number, text in enumerate(_text(workspace, path), start=1):
        if found := pattern.search(text[:_MAX_LINE_CHARACTERS]):
            yield [*before, _show(path, ":", number, text, at=found.start())], True
            before.clear()
            after = around
        elif after:
            yield [_show(path, "-", number, text)], False
            after -= 1
        elif around:
            before.append(_show(path, "-", number, text))


def _text(workspace: Workspace, path: str) -> list[str]:
    try:
        with workspace.open(path) as file:
            return _lines(file)
    except (ToolError, OSError):
        return []  # gone meanwhile, or not ours to read


def _lines(file: BinaryIO) -> list[str]:
    content = recognise(file)
    if content.is_binary:
        return []
    return split_lines(file.read(_MAX_FILE_BYTES), content)


def _show(path: str, mark: str, number: int, text: str, *, at: int = 0) -> str:
    """A long line, as minified files have, is shown around its hit."""
    start = max(0, min(at - _SHOWN_CHARACTERS // 4, len(text) - _SHOWN_CHARACTERS))
    piece = text[start : start + _SHOWN_CHARACTERS]
    piece = f"{'…' if start else ''}{piece}{'…' if start + len(piece) < len(text) else ''}"
    return f"{path}{mark}{number}{mark}{piece}"


if __name__ == "__main__":
    main()
