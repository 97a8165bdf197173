"""What of a server's configuration no message shows, whoever says it. Does not import ``mcp``.

Servers print what they were started with when they fail: a bridge its headers, a database client its address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from glm_agent.mcp import masking
from glm_agent.mcp.config import ServerConfig


class Hidden:
    """What one configuration keeps secret, looked up once for many texts."""

    def __init__(self, config: ServerConfig) -> None:
        self._secrets = frozenset(_secrets(config))

    def without(self, text: str) -> str:
        """The text with dots in the place of what is secret."""
        return masking.without(self._secrets, text)


def _secrets(config: ServerConfig) -> Iterator[str]:
    yield from config.env.values()
    for value in config.headers.values():
        yield from masking.of_value(value)
    yield from masking.in_words(config.args, os.environ)
    yield from masking.in_address(config.url)
    if config.oauth is not None:
        yield config.oauth.client_secret
        yield config.oauth.assertion
