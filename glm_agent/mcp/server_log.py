"""What a server writes to its log, in ours; what is a warning or worse is a notice too, a few of them at a time."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from glm_agent.mcp.callbacks import Note
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.failure import cleaned
from glm_agent.mcp.hidden import Hidden
from glm_agent.mcp.sanitize import MAX_DESCRIPTION

_LEVELS = {"debug": 10, "info": 20, "notice": 20, "warning": 30, "error": 40} | dict.fromkeys(
    ("critical", "alert", "emergency"), 50
)

MAX_NOTICES = 5
"""Notices of one server within ``WITHIN_SECONDS``; a server that writes more floods the log only."""

WITHIN_SECONDS = 10.0

_QUIET = logging.NullHandler()


class ServerLog:
    """The log of one connection; call it with the parameters of each message."""

    def __init__(self, config: ServerConfig, note: Note, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hidden = Hidden(config)
        self._logger = logging.getLogger(f"glm_agent.mcp.{config.name}")
        # Where nobody set up logging, Python would write every warning to the terminal, beside the notices.
        self._logger.addHandler(_QUIET)
        self._note, self._clock = note, clock
        self._noted = deque[float](maxlen=MAX_NOTICES)
        self._left_out = 0

    def __call__(self, params: Mapping[str, Any]) -> None:
        level = _LEVELS.get(str(params.get("level")), logging.INFO)
        is_noted = level >= logging.WARNING and self._may_note()
        is_logged = self._logger.isEnabledFor(level) and _is_read(self._logger)
        if not is_logged and not is_noted:
            return
        text = cleaned(self._hidden, _text(params), limit=MAX_DESCRIPTION)
        if is_logged:
            self._logger.log(level, "%s", text)
        if is_noted and text:
            more = f" ({self._left_out} more were left out)" if self._left_out else ""
            self._left_out = 0
            self._note(f"it logs: {text}{more}")

    def _may_note(self) -> bool:
        now = self._clock()
        if len(self._noted) == MAX_NOTICES and now - self._noted[0] < WITHIN_SECONDS:
            self._left_out += 1
            return False
        self._noted.append(now)
        return True


def _is_read(logger: logging.Logger) -> bool:
    """Whether anybody takes what is logged: cleaning the words of a talkative server costs more than reading them."""
    found: logging.Logger | None = logger
    while found is not None:
        if any(handler is not _QUIET for handler in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False


def _text(params: Mapping[str, Any]) -> str:
    """What is said, with the part of the server that says it; an object with a message is that message."""
    data: Any = params.get("data", "")
    if isinstance(data, dict):
        known = cast("dict[str, Any]", data)
        data = known.get("message") or known.get("msg") or json.dumps(known, ensure_ascii=False, default=str)
    logger = params.get("logger")
    return f"{logger}: {data}" if isinstance(logger, str) and logger else str(data)
