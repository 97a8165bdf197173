"""What of a server's configuration no message shows, whoever says it. Pure; does not import ``mcp``.

Servers print what they were started with when they fail: a bridge its headers, a database client its address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, urlsplit

from glm_agent.mcp.config import ServerConfig

_SHORTEST = 6
"""Characters. What is shorter stands in ordinary words."""

_TELLING = r"(?i:key|token|secret|passw|pwd|auth|credential|bearer|cookie)"
_NAMED = re.compile(rf"-{{0,2}}[\w.-]*{_TELLING}[\w.-]*\s*[=:]\s*(.+)", re.DOTALL)
_FLAG = re.compile(rf"-{{1,2}}[\w.-]*{_TELLING}[\w.-]*")


def without_secrets(config: ServerConfig, text: str) -> str:
    """The text with dots in the place of what the configuration keeps secret."""
    for secret in sorted({value for value in _secrets(config) if len(value) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, "•••")
    return text


def _secrets(config: ServerConfig) -> Iterator[str]:
    yield from config.env.values()
    for value in config.headers.values():
        yield from _words(value)
    yield from _of_arguments(config.args)
    yield from _of_address(config.url)
    if config.oauth is not None:
        yield config.oauth.client_secret
        yield config.oauth.assertion


def _of_arguments(args: Iterable[str]) -> Iterator[str]:
    """The values that a name says to be secret: ``--api-key K``, ``TOKEN=K``, ``Authorization: Bearer K``."""
    before = ""
    for arg in args:
        if (named := _NAMED.fullmatch(arg)) is not None:
            yield from _words(named[1])
        elif _FLAG.fullmatch(before) and not arg.startswith("-"):
            yield from _words(arg)
        if "://" in arg:
            yield from _of_address(arg)
        before = arg


def _of_address(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        yield parts.password or ""
    except ValueError:
        return
    yield parts.query
    yield from (value for _, value in parse_qsl(parts.query))


def _words(value: str) -> Iterator[str]:
    """The value, and the part of it that comes after ``Bearer``."""
    yield value
    yield value.split(" ", 1)[-1]
