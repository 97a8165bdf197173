"""The part of the terminal that still changes: thinking, the coming answer, running calls.

On anything but a terminal it only keeps track and shows nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from glm_agent.cli import phrases
from glm_agent.messages import ToolCall, ToolProgress

_THINKING_LINES = 6
_TEXT_LINES = 12


@dataclass(slots=True)
class _Running:
    call: ToolCall
    since: float = field(default_factory=time.monotonic)
    progress: str = ""
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))


class Region:
    """What changes, and its place on the screen."""

    def __init__(self, console: Console, *, is_live: bool) -> None:
        self._thinking: list[str] = []
        self._text: list[str] = []
        self.coming: dict[int, str] = {}
        """Names of the calls that are being written, by their place."""
        self._running: dict[str, _Running] = {}
        self._console = console
        self.is_live = is_live and console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None

    @property
    def calls(self) -> list[ToolCall]:
        """The calls that have begun and not ended."""
        return [running.call for running in self._running.values()]

    def begin(self, call: ToolCall) -> None:
        self._running[call.id] = _Running(call)

    def end(self, call_id: str) -> ToolCall | None:
        running = self._running.pop(call_id, None)
        return running.call if running else None

    def progress(self, event: ToolProgress) -> None:
        if running := self._running.get(event.call_id):
            share = f"{event.done / event.total:.0%} " if event.done is not None and event.total else ""
            running.progress = share + phrases.short(event.text, limit=60)

    def think(self, text: str) -> None:
        self._thinking.append(text)

    def say(self, text: str) -> None:
        self._text.append(text)

    def take(self) -> tuple[str, str]:
        """The thinking and the text so far, which leave the region."""
        taken = "".join(self._thinking), "".join(self._text)
        self._thinking, self._text = [], []
        return taken

    def clear(self) -> None:
        """Forget what came of an answer; running calls stay."""
        self._thinking, self._text = [], []
        self.coming.clear()

    def void(self) -> bool:
        """Forget it all, calls that began early included; whether there was anything to forget."""
        was_shown = bool(self._thinking or self._text or self.coming or self._running)
        self.clear()
        self._running.clear()
        return was_shown

    def refresh(self) -> None:
        """Show the region if there is anything in it; it is drawn a few times a second."""
        if not self.is_live or self._live is not None:
            return
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            transient=True,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def hide(self) -> None:
        """Take it off the screen until the next event."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _render(self) -> Group:
        width = max(20, self._console.width - 1)
        lines = _tail(self._console, self._thinking, "dim italic", _THINKING_LINES)
        lines += _tail(self._console, self._text, "", _TEXT_LINES)
        lines += [Text(f"… {phrases.clean(name)}", style="dim cyan") for name in list(self.coming.values())]
        return Group(*lines, *(self._running_line(running, width) for running in list(self._running.values())))

    def _running_line(self, running: _Running, width: int) -> Spinner:
        since = phrases.duration(time.monotonic() - running.since)
        call = phrases.call(running.call, limit=max(20, width - 30 - len(running.call.name)))
        running.spinner.update(text=Text(f"{call}  {since} {running.progress}", no_wrap=True, overflow="ellipsis"))
        return running.spinner


def _tail(console: Console, pieces: list[str], style: str, limit: int) -> list[Text]:
    """The last lines of a text, as they are wrapped on the screen."""
    width = max(20, console.width - 1)
    # A piece is rarely shorter than one character, so this many hold the lines, however long the text is.
    end = "".join(pieces[-limit * width :])[-limit * width :]
    return list(Text(phrases.clean(end).strip(), style=style).wrap(console, width))[-limit:]
