"""The live view: an observer that shows a turn on stderr while it runs.

Lines that stay are printed once; what still changes (thinking, the coming answer, running calls) is
in a region below them, on a terminal only. So what a retry makes void disappears by itself.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.cli.region import Region
from glm_agent.messages import (
    ApprovalDecision,
    Event,
    ModelResponse,
    Notice,
    ReasoningDelta,
    Retrying,
    StopReason,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolStarted,
    TurnResult,
    TurnStarted,
)

_LEVELS = {"info": "dim", "warning": "yellow", "error": "red"}


class View:
    """Shows events, on stderr where no ``console`` is given. ``is_quiet`` only keeps track of what runs."""

    def __init__(self, *, is_quiet: bool = False, shows_answer: bool = True, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, quiet=is_quiet, highlight=False, soft_wrap=True)
        self._region = Region(self._console, is_live=not is_quiet)
        self._shows_answer = shows_answer
        self._started = time.monotonic()
        self._thought = self._said = 0
        self._calls: dict[str, ToolCall] = {}
        self._shown = set[str]()

    def __call__(self, event: Event) -> None:
        match event:
            case TextDelta():
                self._region.say(event.text)
            case ReasoningDelta():
                self._region.think(event.text)
            case ToolCallDelta():
                self._region.coming[event.index] = event.name
            case ModelResponse():
                self._respond(event)
            case ToolStarted():
                self._begin(event.call)
            case ToolProgress():
                self._region.progress(event)
            case ToolFinished():
                self._shown.add(event.result.call_id)
                call = self._region.end(event.result.call_id)
                self._show(event.result, call, took=phrases.duration(event.duration_seconds))
            case ToolResult():
                self._result(event)
            case Retrying():
                self._retry(event)
            case _:
                self._note(event)
        self._region.refresh()

    def running(self) -> list[str]:
        """Names of the tools whose calls have not ended."""
        return [f"tool '{call.name}'" for call in self._region.calls]

    def close(self) -> None:
        """Take the region away; the next event brings it back."""
        self._region.hide()

    @contextmanager
    def paused(self) -> Generator[Console]:
        """The console with nothing moving on it, for a question."""
        self._region.hide()
        yield self._console

    def line(self, text: str, *, style: str = "") -> None:
        """Print one line that stays."""
        self._console.print(Text(text, style=style))

    def end(self, result: TurnResult, *, cost_usd: float | None) -> None:
        """The last line: how it ended, and what it took."""
        figures = [
            phrases.count(result.steps, "step"),
            phrases.usage(result.usage),
            phrases.cost(cost_usd),
            phrases.duration(time.monotonic() - self._started),
        ]
        self.ended(result.stop_reason, result.detail, figures=figures)

    def ended(self, stop_reason: StopReason, detail: str, *, figures: Sequence[str]) -> None:
        """``end`` for a turn of which only this is known."""
        self.close()
        is_good = stop_reason == "end_turn"
        how = Text("done" if is_good else stop_reason, style="bold green" if is_good else "bold red")
        if not is_good and detail:
            how.append(f": {phrases.clean(detail)}", style="red")
        self._console.print(how, Text("·", style="dim"), Text(" · ".join(f for f in figures if f), style="dim"))

    def _head(self, started: TurnStarted) -> None:
        about = f" · {phrases.count(len(started.tools), 'tool')}"
        self._console.print(Text(started.model, style="bold") + Text(about, style="dim"))

    def _respond(self, response: ModelResponse) -> None:
        self._print(response.reasoning[self._thought :], style="dim italic")
        if response.tool_calls or self._shows_answer:
            self._print(response.text[self._said :])
        self._region.clear()
        self._thought = self._said = 0
        self._calls = {call.id: call for call in response.tool_calls}

    def _print(self, text: str, *, style: str = "") -> None:
        if text.strip():
            self.line(phrases.clean(text).strip(), style=style)

    def _print_so_far(self) -> None:
        """What led to a call stands above it, also when the call begins before the response is complete."""
        thinking, text = self._region.take()
        self._print(thinking, style="dim italic")
        self._print(text)
        self._thought += len(thinking)
        self._said += len(text)

    def _begin(self, call: ToolCall) -> None:
        self._print_so_far()
        self._region.begin(call)
        if not self._region.is_live:
            self.line(f"… {phrases.call(call)}", style="dim")

    def _result(self, result: ToolResult) -> None:
        """A result that no run was seen of: the call was refused, or the tool is not there."""
        if result.call_id in self._shown:
            self._shown.discard(result.call_id)
        else:
            self._show(result, self._calls.get(result.call_id), took="")

    def _show(self, result: ToolResult, call: ToolCall | None, *, took: str) -> None:
        mark, style = ("✗ ", "red") if result.is_error else ("✓ ", "green")
        name = phrases.call(call) if call else phrases.clean(result.name)
        self._console.print(Text(mark, style=style) + Text(name, style="cyan") + Text(f"  {took}", style="dim"))
        width = max(40, self._console.width - 4) if self._console.is_terminal else 200
        self.line(f"  {phrases.outcome(result, limit=width)}", style="red" if result.is_error else "dim")

    def _retry(self, event: Retrying) -> None:
        was_shown = self._region.void() or self._thought or self._said
        void = "; what was shown of the answer is void" if was_shown else ""
        self._thought = self._said = 0
        wait = f" in {phrases.duration(event.wait_seconds)}" if event.wait_seconds else ""
        self.line(f"↻ attempt {event.attempt}{wait}: {phrases.short(event.reason, limit=300)}{void}", style="yellow")

    def _note(self, event: Event) -> None:
        match event:
            case TurnStarted():
                self._region.void()
                self._thought = self._said = 0
                self._started = time.monotonic()
                self._head(event)
            case Notice():
                source = f"{event.source}: " if event.source else ""
                self.line(f"! {source}{phrases.short(event.text, limit=1000)}", style=_LEVELS[event.level])
            case ApprovalDecision():
                self.line(f"  {'approved' if event.is_approved else 'denied'}", style="yellow")
            case _:
                pass
