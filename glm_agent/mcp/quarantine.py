"""Tools that are not what they were when they were accepted: kept back, and said so once. Does not import ``mcp``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glm_agent.mcp.definition import Listed
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.lock import Locked, changes

_SAID = {
    "changed": "its tool {name!r} is not what was accepted: it is kept back.",
    "new": "its tool {name!r} is not in the lock file: it is not offered.",
    "gone": "its tool {name!r}, which was accepted, is gone.",
}
_ACCEPT = "To look at it and accept it: glm-agent mcp lock"


@dataclass(slots=True)
class Quarantine:
    """What of a server's tools is kept back."""

    locked: Locked
    """The tools as they were accepted."""
    warn: Callable[[str], None]
    """Takes what changed, for a person."""
    held: dict[str, str] = field(default_factory=dict[str, str])
    """Why a tool is kept back, by its name."""
    _judged: tuple[Listed, ...] | None = None

    def judge(self, tools: tuple[Listed, ...]) -> None:
        """Compare what is offered with what was accepted; the same list costs nothing."""
        if tools is self._judged:
            return
        self._judged = tools
        before, self.held = self.held, {}
        for change in changes(self.locked, tools):
            said = _SAID[change.kind].format(name=change.name)
            self.held[change.name] = said
            if before.get(change.name) != said or change.kind == "changed":
                self.warn(f"{said} {_ACCEPT}\n{change.diff}".strip())

    def check(self, name: str, tools: tuple[Listed, ...]) -> None:
        """Raises ``Refused`` for a tool that is kept back, or was never accepted."""
        self.judge(tools)
        if name in self.held or name not in self.locked.tools:
            raise Refused(f"{self.held.get(name) or _SAID['new'].format(name=name)} {_ACCEPT}")
