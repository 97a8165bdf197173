"""A plot of ratios as SVG: a bar each, a mark where the target is, a line at the hand-written loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

LEFT, WIDTH, ROW = 210, 420, 22
LOWEST, HIGHEST = 0.1, 4.0


@dataclass(frozen=True, kw_only=True)
class Bar:
    label: str
    ratio: float
    target: float


def plot(bars: list[Bar]) -> str:
    height = ROW * (len(bars) + 2)
    grid = [line(ratio, height) for ratio in (0.1, 0.2, 0.5, 1, 2, 4)]
    rows = [row(bar, ROW * (place + 1)) for place, bar in enumerate(bars)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 60} {height}" '
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *grid,
            *rows,
            "</svg>\n",
        ]
    )


def across(ratio: float) -> float:
    """Where a ratio stands from left to right; each doubling takes the same room."""
    inside = min(max(ratio, LOWEST), HIGHEST)
    return LEFT + WIDTH * math.log(inside / LOWEST) / math.log(HIGHEST / LOWEST)


def line(ratio: float, height: int) -> str:
    x, colour = across(ratio), "#444" if ratio == 1 else "#ddd"
    label = "by hand" if ratio == 1 else f"{ratio:g}x"
    return (
        f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{ROW}" y2="{height - ROW}" stroke="{colour}"/>'
        f'<text x="{x:.0f}" y="{height - 6}" text-anchor="middle" fill="#444">{label}</text>'
    )


def row(bar: Bar, y: int) -> str:
    end, mark = across(bar.ratio), across(bar.target)
    colour = "#4c8c5a" if bar.ratio <= bar.target else "#c0504d"
    return (
        f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{LEFT}" y="{y + 3}" width="{max(end - LEFT, 1):.0f}" height="14" fill="{colour}"/>'
        f'<rect x="{mark - 1:.0f}" y="{y}" width="3" height="20" fill="#222"/>'
        f'<text x="{end + 6:.0f}" y="{y + 14}" fill="#444">{bar.ratio:.2f}</text>'
    )
