"""Work on a given text that models are bad at: counting, comparing, sorting out lines."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import Annotated, Final, TypedDict

from pydantic import Field

from glm_agent import ToolError, tool

_MAX_COMPARE_LINES: Final = 20_000


class TextCount(TypedDict):
    """How much text it is."""

    characters: int
    bytes: int
    words: int
    lines: int
    occurrences: int | None


class Tally(TypedDict):
    """How often one line stands in a text."""

    line: str
    count: int


class Tallies(TypedDict):
    """Lines and how often they stand in a text."""

    lines: int
    distinct: int
    most_common: list[Tally]


@tool(read_only=True)
def count_text(text: str, of: str = "") -> TextCount:
    """Count the characters, words and lines of a text, and how often a piece stands in it.

    Args:
        text: The text to count.
        of: A piece of text; occurrences counts it, upper and lower case being different.
    """
    return TextCount(
        characters=len(text),
        bytes=len(text.encode(errors="replace")),
        words=len(text.split()),
        lines=len(text.splitlines()),
        occurrences=text.count(of) if of else None,
    )


@tool(read_only=True)
def tally_lines(text: str, limit: Annotated[int, Field(ge=1, le=1000)] = 20) -> Tallies:
    """Count how often each line stands in a text, the most common first. Empty lines do not count.

    Args:
        text: The lines; spaces at their ends are ignored.
        limit: How many different lines to return at most.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    counts = Counter(lines)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    most = [Tally(line=line, count=count) for line, count in ranked[:limit]]
    return Tallies(lines=len(lines), distinct=len(counts), most_common=most)


@tool(read_only=True)
def pick_lines(text: str, containing: str = "", without: str = "", ignore_case: bool = True) -> str:
    """The lines of a text that hold a piece of text and do not hold another, in their order.

    Args:
        text: The text to pick from.
        containing: Keep lines that hold this; empty keeps all.
        without: Leave out lines that hold this; empty leaves out none.
        ignore_case: Whether upper and lower case are the same.
    """

    def fold(piece: str) -> str:
        return piece.casefold() if ignore_case else piece

    wanted, unwanted = fold(containing), fold(without)
    kept = [
        line for line in text.splitlines() if wanted in (folded := fold(line)) and not (unwanted and unwanted in folded)
    ]
    return "\n".join(kept) if kept else "[no line]"


@tool(read_only=True)
def compare_texts(before: str, after: str, context_lines: Annotated[int, Field(ge=0, le=50)] = 3) -> str:
    """What changed between two texts, as a unified diff.

    Args:
        before: The old text.
        after: The new text.
        context_lines: How many unchanged lines to show around each change.
    """
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > _MAX_COMPARE_LINES:
        raise ToolError(f"the texts have more than {_MAX_COMPARE_LINES:,} lines together: compare parts of them")
    changes = difflib.unified_diff(old, new, "before", "after", n=context_lines, lineterm="")
    return "\n".join(changes) or _same(before, after)


def _same(before: str, after: str) -> str:
    return "[the texts are the same]" if before == after else "[the texts differ only in line ends]"
