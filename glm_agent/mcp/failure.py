"""What goes wrong with a server, and the sentence that says so. Pure; does not import ``mcp``.

A sentence names the server, what happened, the exit code and the last words of its process, and what to do.
Words of a server are cleaned before they are shown, and values of the configuration are taken out of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import cast

from glm_agent.errors import MCPServerError
from glm_agent.mcp import sanitize
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.hidden import Hidden

_SHOWN_LINES = 8

_PROGRAMS = {
    "npx": "It comes with Node.js: https://nodejs.org",
    "npm": "It comes with Node.js: https://nodejs.org",
    "node": "Install Node.js: https://nodejs.org",
    "uvx": "It comes with uv: pip install uv, or https://docs.astral.sh/uv",
    "uv": "Install uv: pip install uv, or https://docs.astral.sh/uv",
    "bunx": "It comes with Bun: https://bun.sh",
    "bun": "Install Bun: https://bun.sh",
    "pipx": "Install pipx: pip install pipx",
    "deno": "Install Deno: https://deno.com",
    "docker": "Install Docker: https://docs.docker.com/get-docker",
    "podman": "Install Podman: https://podman.io",
    "cmd": "It belongs to Windows: write what comes after '/c' as 'command' and 'args'",
    "python": "Write python3, or the full path of an interpreter",
}


_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        (
            r"No module named 'mcp\.|(?i:ImportError:[^\n]*mcp)",
            "It may be older than its libraries: pin its version, or add the option --with 'mcp<2' to uvx.",
        ),
        (
            r"No module named '?([\w.]+)",
            "The Python module {0!r} is missing where the server runs: install it there.",
        ),
        (
            r"(?i:EADDRINUSE|address already in use)",
            "Another program has its port: stop that one, or change the port.",
        ),
        (
            r"EAI_AGAIN|ENOTFOUND|Temporary failure in name resolution|dns error",
            "It could not reach the network, for instance to download its package: install it beforehand.",
        ),
        (
            r"npm (?:ERR!|error) code E404|No matching distribution found|not found in the package registry",
            "There is no package of this name: correct it.",
        ),
        (
            r"EBADENGINE|Unsupported engine|requires Node|Unsupported Node",
            "It needs another version of Node.js: install that one, or pin an older version of the server.",
        ),
        (
            r"(?m)^(?=.*(?i:missing|required|undefined|must (?:be )?set|please set|not (?:set|defined|provided|found)))"
            r".*?\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b",
            "It sees only those variables that its entry gives it: add {0!r} to 'env'.",
        ),
    )
)
"""What servers say when they cannot start, and what to do then."""


UNREADABLE = -32055
"""Code of our own for an answer that cannot be taken; those of what happens over HTTP are in ``http``."""


class Lost(Exception):
    """The connection broke before the answer came."""

    def __init__(self, reason: str, *, may_have_run: bool) -> None:
        super().__init__(reason)
        self.may_have_run = may_have_run
        """Whether the server may have begun the call."""


class SessionLost(Exception):
    """The server no longer knows our session; the request was not looked at."""


class Refused(Exception):
    """The server answered with an error of the protocol, not of the tool."""


class Unauthorized(Refused):
    """The server wants a login, and nobody has logged in."""


class Unreadable(Refused):
    """The server ran the request, and its answer cannot be taken: it is too large, or broken."""


class UnknownTask(Refused):
    """The server does not know the task that is asked after."""


class LeftAlone(MCPServerError):
    """The server failed a moment ago, and is not started again yet."""


class ServerDied(MCPServerError):
    """A call was under way when the server, or the way to it, was lost."""

    def __init__(self, message: str, *, server: str, may_have_run: bool) -> None:
        super().__init__(message, server=server)
        self.may_have_run = may_have_run
        """Whether the call may have taken effect."""


def first(error: BaseException) -> BaseException:
    """The exception itself, or the first one of a group, at any depth."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def missing_program(config: ServerConfig, error: OSError) -> str:
    """Why the program could not be started, and how to get it."""
    command = config.command
    if config.cwd and error.filename == config.cwd:
        return f"its folder {config.cwd!r} does not exist. Correct 'cwd'"
    if isinstance(error, FileNotFoundError):
        program = PurePath(command).stem.lower()
        advice = _PROGRAMS.get(program, "Install it, or give its full path")
        return f"the program {command!r} was not found. {advice}"
    if isinstance(error, PermissionError):
        return f"the program {command!r} may not be executed. Make it executable: chmod +x"
    return f"the program {command!r} cannot be started: {error.strerror or error}"


def sentence(
    config: ServerConfig, what: str, *, returncode: int | None = None, words: Sequence[str] = (), advice: str = ""
) -> str:
    """``MCP server 'x' (uvx): it exited with code 3. Its last words: …``."""
    said = f"MCP server {config.name!r} ({config.target}): {what}"
    if returncode is not None:
        said += f"; it {ending(returncode)}"
    # What ends in a text of its own, as in a difference, is no sentence.
    said = said if said.endswith((".", "!", "?")) or "\n" in what else f"{said}."
    last = [line for line in (shown(config, word) for word in words) if line][-_SHOWN_LINES:]
    if last:
        said += " Its last words:\n  " + "\n  ".join(last)
    advice = advice or hint(words)
    return f"{said}\n{advice}" if advice and last else f"{said} {advice}".strip()


def ending(returncode: int) -> str:
    """How a process ended, in words."""
    return f"exited with code {returncode}" if returncode >= 0 else f"was ended by signal {-returncode}"


def hint(words: Iterable[str]) -> str:
    """What to do about the last words of a server, where they are known ones."""
    text = "\n".join(words)
    for pattern, advice in _ADVICE:
        if found := pattern.search(text):
            return advice.format(*found.groups())
    return ""


def shown(config: ServerConfig, text: str, *, limit: int = 500) -> str:
    """A server's words without control characters and without what the configuration keeps secret."""
    return cleaned(Hidden(config), text, limit=limit)


def cleaned(hidden: Hidden, text: str, *, limit: int) -> str:
    """``shown`` for whoever has many words of one server to clean."""
    # What is hidden is looked for before anything is cut: half a secret is not recognized.
    whole = sanitize.description(text, limit=max(limit, len(text)))
    return sanitize.description(hidden.without(whole), limit=limit)
