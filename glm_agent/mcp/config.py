"""What is known about a server before it is started, as data. Does not import ``mcp``.

Where the data comes from is in ``sources``, ``files`` and ``entry``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from glm_agent.errors import ConfigurationError
from glm_agent.mcp import masking, names
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.framing import MAX_MESSAGE

PORT = "${port}"
"""Stands for a free port in an entry that has both ``command`` and ``url``."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_HEADER = re.compile(r"[^\t\x20-\x7e]")

Transport = Literal["stdio", "http", "sse", "memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One MCP server: how to reach it, and what is allowed to come from it."""

    name: str
    """Stands before the names of its tools; ``^[a-zA-Z0-9_-]+$``."""
    transport: Transport = "stdio"
    """``http`` is streamable HTTP, with a fallback to ``sse`` where a server knows only that."""
    command: str = ""
    """The program, for ``stdio``: a path, or a name that ``PATH`` or this interpreter's folder knows."""
    args: tuple[str, ...] = field(default=(), repr=False)
    """Arguments of the program; they may hold secrets, so no message shows them all."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables on top of the harmless ones that every server gets."""
    cwd: str | None = None
    """The folder the program starts in; None is this process's."""
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    instance: Any = field(default=None, repr=False)
    """A server object of the MCP SDK, for ``memory``."""
    allow: tuple[str, ...] = ()
    """Globs on the server's own tool names: only these are offered; empty means all."""
    deny: tuple[str, ...] = ()
    """Globs on the server's own tool names: these are never offered."""
    prefix: str | None = None
    """What stands before ``__`` in tool names; None is the server's name, empty is nothing."""
    timeout_seconds: float = 120.0
    """How long one call may take."""
    task_timeout_seconds: float = 24 * 3600.0
    """How long a call may take that the server goes on with as a task, and is asked after."""
    startup_timeout_seconds: float = 60.0
    """How long the server may take to answer at all; ``npx`` and ``uvx`` may download first."""
    max_message_bytes: int = MAX_MESSAGE
    """How large one message of the server may be; a call whose answer is larger fails, and says so."""
    is_legacy: bool = False
    """Whether only a protocol before 2026-07-28 is spoken with it, whatever it knows."""
    is_disabled: bool = False
    is_trusted: bool = False
    """Whether the server's hints about its tools are believed and its results count as our own."""
    is_optional: bool = False
    """Whether a run goes on without the server when it cannot start."""
    oauth: OAuth | None = None
    """How to get a token; None takes one that a person has logged in for, if the server asks."""
    offers_resources: bool = False
    """Whether the model gets tools that list and read the server's resources and prompts."""
    offers_skills: bool = False
    """Whether the model gets tools that list and load the server's skills."""
    roots: tuple[str, ...] = ()
    """Folders that the server is told it may work in."""
    sampling_tokens: int = 0
    """How many tokens of the agent's model the server may use; 0 offers it no model."""
    lock: str = ""
    """Path of the lock file that says what the server's tools are; it need not exist."""
    origin: str = ""
    """Where this was read, for messages: ``.mcp.json, line 3``."""

    @property
    def target(self) -> str:
        """What is started or called, fit to be shown: of a command the program and its package, and no secrets."""
        if self.transport == "stdio":
            words = (self.command, *self.args)
            shown = f"{self.command} {names.package(words)}".strip()
            return masking.without((*masking.in_words(words, os.environ), *self.env.values()), shown)
        return masking.address(self.url) if self.url else "this process"

    @property
    def tool_prefix(self) -> str:
        return self.name if self.prefix is None else self.prefix


def check(config: ServerConfig) -> ServerConfig:
    """The configuration, if it can be used at all. Raises ``ConfigurationError``."""
    where = f"{config.origin}: " if config.origin else ""
    who = config.origin if f"server {config.name!r}" in config.origin else f"{where}server {config.name!r}"
    if names.clean(config.name) != config.name:
        raise ConfigurationError(
            f"{where}the server name {config.name!r} cannot stand before a tool's name. "
            "Use letters, digits, '_' and '-' only"
        )
    if config.transport == "stdio" and not config.command:
        raise ConfigurationError(f"{who} has no 'command' and no 'url'. Give it one of them")
    if config.transport in ("http", "sse") and not _is_http(config.url):
        raise ConfigurationError(
            f"{who} has the address {masking.address(config.url)!r}. Write http:// or https:// and a host"
        )
    if config.transport == "memory" and config.instance is None:
        raise ConfigurationError(f"{who} has no server object to run in this process")
    for name, value in config.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"{who}: {name!r} cannot be the name of a header")
        if (odd := _NO_HEADER.search(value)) is not None:
            raise ConfigurationError(
                f"{who}: the header {name!r} has, as character {odd.start() + 1} of its value, "
                f"{_kind(odd[0])}, which HTTP cannot carry. Write plain ASCII"
            )
    for key in ("timeout_seconds", "startup_timeout_seconds", "task_timeout_seconds"):
        if not getattr(config, key) > 0:
            raise ConfigurationError(f"{who}: {key!r} must be more than 0")
    return config


def _kind(character: str) -> str:
    """What a character is; never itself, since it is part of a secret."""
    if character in "\r\n":
        return "a line break"
    return "a control character" if character.isascii() else "one that is not ASCII"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url.replace(PORT, "1"))
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
