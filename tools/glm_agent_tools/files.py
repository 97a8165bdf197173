"""Files of the workspace: list, read, write, edit, count."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Annotated, BinaryIO, Final, TypedDict

from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools.content import Content, recognise
from glm_agent_tools.content import count_lines as lines_in
from glm_agent_tools.languages import language_of
from glm_agent_tools.pages import page, text_lines
from glm_agent_tools.replacing import encoded, places, with_newlines
from glm_agent_tools.tree import files_under
from glm_agent_tools.workspace import workspace_of

_MAX_EDIT_BYTES: Final = 16_000_000


class FileList(TypedDict):
    """One page of a list."""

    files: list[str]
    total: int
    next_offset: int | None


class FileStats(TypedDict):
    """What is known of one file without showing it."""

    path: str
    bytes: int
    lines: int | None
    language: str
    encoding: str | None
    modified: str


class LanguageLines(TypedDict):
    """The share of one language."""

    language: str
    files: int
    lines: int


class LineCount(TypedDict):
    """How much there is."""

    files: int
    lines: int
    binary_files: int
    languages: list[LanguageLines]


class Written(TypedDict):
    """What writing did."""

    path: str
    is_new: bool
    bytes: int
    lines: int


class Edited(TypedDict):
    """What an edit did."""

    path: str
    replaced: int
    first_line: int


@tool(read_only=True)
def list_files(
    context: ToolContext,
    folder: str = ".",
    pattern: str = "",
    offset: Annotated[int, Field(ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=1000)] = 200,
) -> FileList:
    """List the files in a folder and everything below it.

    Leaves out what git ignores. Ask for the next page with offset=next_offset while that is not null.

    Args:
        folder: Folder to look into, relative to the workspace.
        pattern: Only paths that match, as a line of .gitignore would: "*.py", "src/**/*.ts", "docs/", "*.{js,ts}".
        offset: How many files to skip.
        limit: How many files to return at most.
    """
    files = files_under(workspace_of(context), folder, pattern=pattern)
    end = offset + limit
    return FileList(files=files[offset:end], total=len(files), next_offset=end if end < len(files) else None)


@tool(read_only=True, untrusted=True, max_output_tokens=30_000)
def read_file(
    context: ToolContext,
    path: str,
    offset: Annotated[int, Field(ge=1)] = 1,
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000,
) -> str:
    """Read a text file, or a part of it.

    The last line of the result, in square brackets, says how to go on where the file has more.

    Args:
        path: File to read, relative to the workspace.
        offset: First line to return, from 1.
        limit: How many lines to return at most.
    """
    with workspace_of(context).open(path) as file:
        content = _text_of(file, path)
        shown, is_more = page(text_lines(file, content, path), offset=offset, limit=limit)
    if not shown and offset > 1:
        raise ToolError(f"'{path}' has fewer than {offset} lines: ask for an offset that is lower")
    end = offset + len(shown) - 1
    note = f"[lines {offset} to {end}; there are more: go on with offset={end + 1}]" if is_more else ""
    return "".join(shown) + note if shown else "[the file is empty]"


@tool(idempotent=True, destructive=True)
def write_file(context: ToolContext, path: str, content: str) -> Written:
    """Write a text file: make it, with the folders it needs, or replace the one that is there.

    To change a part of a file, use edit_file.

    Args:
        path: File to write, relative to the workspace.
        content: The whole new text.
    """
    data = content.encode(errors="replace")
    workspace = workspace_of(context)
    is_new = workspace.write(path, data)
    return Written(path=workspace.name(path), is_new=is_new, bytes=len(data), lines=len(content.splitlines()))


@tool(destructive=True)
def edit_file(context: ToolContext, path: str, old: str, new: str, replace_all: bool = False) -> Edited:
    """Replace an exact piece of text in a file.

    The piece must occur exactly once, unless replace_all is true: take in the lines around it to make it unique.

    Args:
        path: File to change, relative to the workspace.
        old: The text to replace, exactly as it stands in the file, with its spaces and line ends.
        new: The text to put there.
        replace_all: Replace every occurrence.
    """
    workspace = workspace_of(context)
    with workspace.open(path) as file:
        content = _text_of(file, path)
        data = file.read(_MAX_EDIT_BYTES + 1)
    if len(data) > _MAX_EDIT_BYTES:
        raise ToolError(f"'{path}' is larger than {_MAX_EDIT_BYTES:,} bytes and is not edited")
    try:
        text = data.decode(content.encoding)
    except UnicodeDecodeError as error:
        raise ToolError(f"'{path}' has bytes that are no {content.encoding}, and is not edited: {error}") from None
    old, new = (with_newlines(piece, content, text) for piece in (old, new))
    at = places(text, old, path, may_repeat=replace_all)
    workspace.write(path, encoded(text.replace(old, new), content, path))
    first_line = text.count("\n", 0, at[0]) + 1
    return Edited(path=workspace.name(path), replaced=len(at), first_line=first_line)


@tool(read_only=True)
def file_stats(context: ToolContext, path: str) -> FileStats:
    """Size, lines, language, encoding and time of the last change of one file, without its text.

    Args:
        path: The file, relative to the workspace.
    """
    workspace = workspace_of(context)
    with workspace.open(path) as file:
        status = os.fstat(file.fileno())
        content = recognise(file)
        lines = None if content.is_binary else lines_in(file, content)
    return FileStats(
        path=workspace.name(path),
        bytes=status.st_size,
        lines=lines,
        language=language_of(path),
        encoding=content.encoding or None,
        modified=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.st_mtime)),
    )


@tool(read_only=True, timeout_seconds=120)
def count_lines(context: ToolContext, folder: str = ".", pattern: str = "", tracked_only: bool = False) -> LineCount:
    """Count files and lines in a folder and everything below it, by language, the most lines first.

    Leaves out what git ignores. Binary files count as files and have no lines.

    Args:
        folder: Folder to look into, relative to the workspace.
        pattern: Only paths that match, as a line of .gitignore would: "*.py", "src/**/*.ts".
        tracked_only: In a git repository, only files that git tracks.
    """
    workspace = workspace_of(context)
    files, lines = Counter[str](), Counter[str]()
    binary = 0
    paths = files_under(workspace, folder, pattern=pattern, tracked_only=tracked_only)
    for done, path in enumerate(paths):
        if context.cancelled.is_set():
            raise ToolError(f"cancelled after {done} of {len(paths)} files")
        if done % 500 == 499:
            context.progress(f"{done + 1} of {len(paths)} files", done=done + 1, total=len(paths))
        try:
            with workspace.open(path) as file:
                content = recognise(file)
                count = 0 if content.is_binary else lines_in(file, content)
        except ToolError:
            continue  # gone meanwhile, or not ours to read
        binary += content.is_binary
        language = "Binary" if content.is_binary else language_of(path)
        files[language] += 1
        lines[language] += count
    ranked = sorted(files, key=lambda name: (-lines[name], -files[name], name))
    return LineCount(
        files=files.total(),
        lines=lines.total(),
        binary_files=binary,
        languages=[LanguageLines(language=name, files=files[name], lines=lines[name]) for name in ranked],
    )


def _text_of(file: BinaryIO, path: str) -> Content:
    content = recognise(file)
    if content.is_binary:
        raise ToolError(f"'{path}' is a binary file and is not shown as text; file_stats tells its size")
    return content
