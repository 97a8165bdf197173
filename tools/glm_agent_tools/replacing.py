"""A piece of text in a file, and another in its place: where it stands, and why it does not."""

from __future__ import annotations

from glm_agent import ToolError
from glm_agent_tools.content import Content


def with_newlines(piece: str, content: Content, text: str) -> str:
    """The piece with the file's line ends: models write ``\\n`` whatever they have read."""
    if content.newline == "\r\n" and "\r\n" not in piece and text.count("\n") == text.count("\r\n"):
        return piece.replace("\n", "\r\n")
    return piece


def places(text: str, old: str, path: str, *, may_repeat: bool) -> list[int]:
    """Where ``old`` stands; ``ToolError`` where that is nowhere, or not clear."""
    if not old:
        raise ToolError("old is empty: give the text to replace, or use write_file for a new file")
    found: list[int] = []
    at = text.find(old)
    while at >= 0:
        found.append(at)
        at = text.find(old, at + len(old))
    if not found:
        raise ToolError(f"the text to replace does not stand in '{path}' as it was given{_why_not(text, old)}")
    if len(found) > 1 and not may_repeat:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in found[:10])
        raise ToolError(
            f"the text to replace stands {len(found)} times in '{path}' (lines {lines}): "
            "take in more of the text around it, or set replace_all"
        )
    return found


def _why_not(text: str, old: str) -> str:
    """The most common mistake, where it is that: other spaces."""
    wanted = old.split()
    for number, line in enumerate(text.splitlines(), start=1):
        if wanted and line.split()[: len(wanted)] == wanted[: len(line.split())] and line.strip():
            return f": line {number} is like it but for spaces or what follows; read it again"
    return ": read the file again and copy it exactly"


def encoded(text: str, content: Content, path: str) -> bytes:
    """The text in the file's encoding; ``ToolError`` where that cannot hold it."""
    try:
        return text.encode(content.encoding)
    except UnicodeEncodeError as error:
        raise ToolError(
            f"'{path}' is {content.encoding}, which cannot hold {error.object[error.start : error.end]!r}"
        ) from None
