"""Stacks as a flame graph in SVG: a box for each function, as wide as its share, on what called it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

Frame = tuple[str, str]
"""A function and its file."""

WIDTH, ROW, LETTER = 1200, 16, 6.5
LEAST = 0.004
"""The share of a box that is drawn; smaller ones would be thinner than five pixels."""


@dataclass
class Box:
    """A function at one place of the stacks."""

    count: int = 0
    above: dict[Frame, Box] = field(default_factory=dict)
    """What it called."""

    def add(self, stack: Sequence[Frame], count: int) -> None:
        box = self
        box.count += count
        for frame in stack:
            box = box.above.setdefault(frame, Box())
            box.count += count


def flames(stacks: Iterable[tuple[Sequence[Frame], int]], *, title: str, part_of: Callable[[str], str]) -> str:
    """The graph; ``part_of`` says who a file belongs to, and gives the colour."""
    root = Box()
    for stack, count in stacks:
        root.add(stack, count)
    lines: list[str] = []
    depth = _draw(_trunk(root), lines, left=0.0, depth=0, total=root.count, part_of=part_of)
    height = (depth + 2) * ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="monospace" font-size="11"><rect width="100%" height="100%" fill="white"/>'
    )
    said = f'<text x="4" y="12">{escape(title)}, {root.count:,} samples</text>'
    return "\n".join([head, said, f'<g transform="translate(0 {ROW + 4})">', *lines, "</g></svg>"]) + "\n"


def _trunk(box: Box) -> Box:
    """Where the stacks part: what all of them have in common says nothing."""
    while len(box.above) == 1 and (only := next(iter(box.above.values()))).count == box.count:
        box = only
    return box


def _draw(box: Box, lines: list[str], *, left: float, depth: int, total: int, part_of: Callable[[str], str]) -> int:
    """Draw what a box called; the depth of the deepest."""
    deepest = depth
    for (name, file), above in sorted(box.above.items(), key=lambda each: -each[1].count):
        share = above.count / total
        if share < LEAST:
            continue
        part, width = part_of(file), share * WIDTH
        said = f"{part}: {name}"
        fits = int((width - 4) / LETTER)
        text = f'<text x="{left + 2:.1f}" y="{depth * ROW + 11}">{escape(said[:fits])}</text>' if fits > 2 else ""
        lines.append(
            f'<g><title>{escape(said)} {share:.1%}</title><rect x="{left:.1f}" y="{depth * ROW}" width="{width:.1f}" '
            f'height="{ROW - 1}" fill="hsl({_hue(part)} 70% 78%)"/>{text}</g>'
        )
        deepest = max(
            deepest, 1 + _draw(above, lines, left=left, depth=depth + 1, total=total, part_of=part_of), depth + 1
        )
        left += width
    return deepest


def _hue(part: str) -> int:
    """Ours are warm, libraries are cold; each part has a hue of its own."""
    own = sum(map(ord, part))
    return own * 7 % 60 if part.startswith("glm_agent") else 170 + own * 7 % 110
