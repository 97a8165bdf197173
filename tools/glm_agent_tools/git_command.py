"""Runs git for reading, in a folder whose repository nobody vouches for.

A repository can name programs in its configuration that git then runs (a file system monitor,
hooks, a signature checker, a transport). All of those are switched off here, and git gets no
shell, no terminal and no variables that point it at another repository.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

_SAFE: Final = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "log.showSignature=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "core.quotePath=false"),
    *("--no-pager", "--literal-pathspecs", "--no-optional-locks"),
)

_TIMEOUT_SECONDS: Final = 45.0


class GitFailed(Exception):
    """Git is missing, refused, or took too long; the message says which."""


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises ``GitFailed``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *_SAFE, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise GitFailed("the program 'git' is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitFailed(f"git took longer than {_TIMEOUT_SECONDS:g} seconds") from None
    if done.returncode:
        raise GitFailed(_last_line(done.stderr))
    return done.stdout.decode(errors="replace")


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return ((fatal or lines)[0] if lines else "git failed without a word").removeprefix("fatal: ")[:500]
