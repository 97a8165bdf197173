"""How a process ends: exit codes by stop_reason, one line for an error, and never held up by a hung tool."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from glm_agent.errors import AgentError, ConfigurationError
from glm_agent.messages import StopReason

EXIT_CODES: Final[dict[StopReason, int]] = {
    "end_turn": 0,
    "error": 1,
    "max_steps": 3,
    "max_tokens": 3,
    "budget": 3,
    "loop": 3,
    "context_overflow": 3,
    "refusal": 4,
    "empty": 4,
    "invalid_output": 4,
    "needs_approval": 5,
    "needs_decision": 5,
    "cancelled": 130,
}
USAGE: Final = 2
GRACE_SECONDS: Final = 2.0


def error_code(error: BaseException) -> int:
    """2 for what the user can correct, 1 for everything else."""
    return USAGE if isinstance(error, ConfigurationError) else 1


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def fail(error: AgentError | str) -> NoReturn:
    """Say what is wrong and leave with its code; a bare text is an error of usage."""
    say(f"error: {error}")
    sys.exit(USAGE if isinstance(error, str) else error_code(error))


@contextmanager
def reporting() -> Generator[None]:
    """An error of ours becomes one line and an exit code."""
    try:
        yield
    except AgentError as error:
        fail(error)


def leave(code: int, *, running: Callable[[], Sequence[str]] = tuple) -> NoReturn:
    """Leave with a code. A thread that does not end holds the exit for the grace, not longer."""
    watchdog = threading.Timer(GRACE_SECONDS, leave_now, (code,), {"running": running})
    watchdog.daemon = True
    watchdog.start()
    sys.exit(code)


def leave_now(code: int, *, running: Callable[[], Sequence[str]] = tuple) -> NoReturn:
    """Leave without waiting for any thread, and say what was left running."""
    names = ", ".join(running()) or "something in the background"
    with suppress(OSError, ValueError):
        say(f"still running: {names}; leaving without it")
        sys.stdout.flush()
    os._exit(code)
