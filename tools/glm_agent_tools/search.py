"""Search: text in files, and files by name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, TypedDict

from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools.tree import files_under
from glm_agent_tools.workspace import workspace_of

_SEARCH_SECONDS: Final = 20.0


class FoundFiles(TypedDict):
    """Files whose names fit."""

    files: list[str]
    total: int


@tool(read_only=True, untrusted=True, timeout_seconds=40)
def search_text(
    context: ToolContext,
    pattern: str,
    *,
    folder: str = ".",
    files: str = "",
    is_regex: bool = True,
    ignore_case: bool = False,
    context_lines: Annotated[int, Field(ge=0, le=10)] = 0,
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=500)] = 100,
) -> str:
    """Find lines in the files of a folder and everything below it.

    Each line of the result is path:line:text, or path-line-text for lines around a hit. The last line, in
    square brackets, says how many there are and how to see more. Leaves out what git ignores and binary files.

    Args:
        pattern: What a line must hold: a regular expression in Python's syntax, or with is_regex=false plain text.
        folder: Folder to look into, relative to the workspace.
        files: Only files whose path matches, as a line of .gitignore would: "*.py", "src/**/*.ts".
        is_regex: Whether pattern is a regular expression.
        ignore_case: Whether upper and lower case are the same.
        context_lines: How many lines to show before and after each hit.
        offset: How many hits to skip.
        limit: How many hits to return at most.
    """
    _check(pattern, is_regex=is_regex)
    workspace = workspace_of(context)
    paths = files_under(workspace, folder, pattern=files)
    question = {
        "root": str(workspace.root),
        "files": paths,
        "pattern": pattern if is_regex else re.escape(pattern),
        "ignore_case": ignore_case,
        "context_lines": context_lines,
        "offset": offset,
        "limit": limit,
    }
    return _answer(_ask(question), offset=offset, searched=len(paths))


@tool(read_only=True)
def find_files(
    context: ToolContext, words: str, folder: str = ".", limit: Annotated[int, Field(ge=1, le=500)] = 50
) -> FoundFiles:
    """Find files by pieces of their path, the best fits first. Leaves out what git ignores.

    Args:
        words: Pieces of the path, with spaces between; all must occur, upper or lower case.
        folder: Folder to look into, relative to the workspace.
        limit: How many files to return at most.
    """
    wanted = words.casefold().split()
    if not wanted:
        raise ToolError("words is empty: give a piece of the name, or use list_files")
    every = files_under(workspace_of(context), folder)
    found = [path for path in every if all(word in path.casefold() for word in wanted)]
    found.sort(key=lambda path: _distance(path, wanted))
    return FoundFiles(files=found[:limit], total=len(found))


def _distance(path: str, wanted: list[str]) -> tuple[int, int, str]:
    """Pieces found in the folders only come after those found in the name, long paths after short ones."""
    name = PurePosixPath(path).name.casefold()
    return sum(word not in name for word in wanted), len(path), path


def _check(pattern: str, *, is_regex: bool) -> None:
    if not pattern:
        raise ToolError("pattern is empty: give what a line must hold")
    if is_regex:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ToolError(
                f"the pattern is no regular expression: {error}; with is_regex=false it is searched as plain text"
            ) from None


def _ask(question: dict[str, Any]) -> list[dict[str, Any]]:
    """What another process finds: a pattern that would run for years is stopped by stopping that process."""
    command = [sys.executable, "-P", "-m", "glm_agent_tools.search_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            said, failed = process.communicate(json.dumps(question).encode(), timeout=_SEARCH_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            return [*_complete(said), {"timeout": True}]
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise ToolError(f"the search failed: {failed.decode(errors='replace').strip()[-300:]}")
    return _complete(said)


def _complete(said: bytes) -> list[dict[str, Any]]:
    """Its lines; the last one may be cut."""
    return [json.loads(line) for line in said.split(b"\n")[:-1] if line]


def _answer(found: list[dict[str, Any]], *, offset: int, searched: int) -> str:
    lines = [line for entry in found for line in entry.get("lines", ())]
    end = next((entry for entry in found if "hits" in entry), None)
    shown = sum(entry.get("is_hit", False) for entry in found)
    hits = "1 hit" if shown == 1 else f"{shown} hits"
    if any("timeout" in entry for entry in found):
        note = f"[stopped after {_SEARCH_SECONDS:g} seconds: use a simpler pattern, or search fewer files]"
    elif end is not None and end["is_more"]:
        note = f"[{hits} shown; there are more: go on with offset={offset + shown}]"
    elif shown:
        note = f"[{hits} in {searched} files]" if not offset else f"[{hits}, the last ones]"
    else:
        note = f"[no hit in {searched} files]" if not offset else "[no more hits]"
    return "\n".join((*lines, note))
