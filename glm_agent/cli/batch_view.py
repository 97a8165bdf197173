"""A running batch on stderr: one line with a bar on a terminal, a line now and then elsewhere, failures in any case."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.messages import Event, Notice, Retrying, ToolCall, ToolFinished, ToolResult, ToolStarted

if TYPE_CHECKING:
    from glm_agent.batch import BatchReport, BatchResult, Progress
    from glm_agent.batch.lines import Item

_LINE_SECONDS: Final = 10.0
"""Where nobody watches, one line so often."""


class BatchView:
    """Shows how far a batch is."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=is_quiet, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._live: Live | None = None
        self._started = self._said = time.monotonic()
        self._last = ""
        self._running: dict[tuple[str, str], ToolCall] = {}

    def begin(self, progress: Progress) -> None:
        """Show these figures from now on."""
        self._progress = progress
        if self._console.is_terminal and not self._console.quiet:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=4, transient=True)
            self._live.start()

    def end(self, result: BatchResult) -> None:
        """A task has its result."""
        if not result.is_answered:
            said = phrases.short(result.detail or result.stop_reason, limit=300)
            self._print(f"✗ line {result.line} {phrases.short(result.key, limit=60)!r}: {said}", style="red")
        if self._live is None and time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            self._print(", ".join(self._figures()), style="dim")

    def see(self, item: Item, event: Event) -> None:
        """An event of a task."""
        match event:
            case ToolStarted():
                self._running[item.key, event.call.id] = event.call
            case ToolFinished():
                self._running.pop((item.key, event.result.call_id), None)
            case ToolResult():
                self._running.pop((item.key, event.call_id), None)
            case Retrying():
                self._last = f"{item.key}: retrying in {event.wait_seconds:.0f} s: {event.reason}"
            case Notice() if event.level != "info":
                self._last = f"{item.key}: {event.text}"
            case _:
                pass

    def say(self, text: str) -> None:
        """A sentence that stays."""
        self._print(phrases.short(text, limit=400), style="yellow")

    def running(self) -> list[str]:
        """Names of the tools whose calls have not ended."""
        return [f"tool '{call.name}'" for call in self._running.values()]

    def close(self, report: BatchReport | None = None) -> None:
        """Nothing moves any more; the figures of the whole stay."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if report is not None:
            ended = ", ".join(f"{count:,} {reason}" for reason, count in report.ended.items() if reason != "end_turn")
            parts = (
                f"{report.answered:,} of {report.total:,} answered"
                + (f" ({report.skipped:,} before)" if report.skipped else ""),
                ended,
                f"{report.left:,} left" if report.left else "",
                f"{report.duplicates:,} lines twice" if report.duplicates else "",
                phrases.duration(report.duration_seconds),
                phrases.cost(report.cost_usd),
            )
            self._print(" · ".join(filter(None, parts)), style="bold")

    def _print(self, text: str, *, style: str) -> None:
        self._console.print(Text(text, style=style))

    def _render(self) -> Group:
        assert self._progress is not None
        progress = self._progress
        grid = Table.grid(padding=(0, 1))
        done = progress.skipped + progress.done
        grid.add_row(
            ProgressBar(total=max(1, progress.total), completed=done, width=30), Text(" · ".join(self._figures()))
        )
        note = progress.waiting or (phrases.short(self._last, limit=self._console.width - 1) if self._last else "")
        return Group(grid, Text(note, style="dim yellow", overflow="ellipsis", no_wrap=True)) if note else Group(grid)

    def _figures(self) -> list[str]:
        assert self._progress is not None
        progress, seconds = self._progress, time.monotonic() - self._started
        figures = [f"{progress.skipped + progress.done:,}/{progress.total:,}", f"{progress.running} running"]
        if progress.failed:
            figures.append(f"{progress.failed:,} failed")
        if progress.cost_usd:
            figures.append(phrases.cost(progress.cost_usd))
        if progress.done and seconds > 0:
            rate = progress.done / seconds
            figures.insert(1, f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min")
            rest = progress.rest_usd()
            more = f" and {phrases.cost(rest)}" if rest else ""
            figures.append(f"about {phrases.duration(progress.left / rate)}{more} left")
        return figures
