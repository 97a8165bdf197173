"""The keys of an entry that say how a server is called over HTTP: its address, headers and authorization. Pure.

Where each one comes from is in ``fields``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from glm_agent.mcp import values
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.oauth_fields import read_oauth


def url(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Where the server is."""
    return replace(config, url=values.text(value, context, key))


def headers(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Sent with every request: an object, or a list of lines."""
    if isinstance(value, list):
        lines = values.texts(cast("list[object]", value), context, key)
        pairs = (line.partition(":") for line in lines)
        return replace(config, headers={**config.headers, **{name.strip(): text.strip() for name, _, text in pairs}})
    return replace(config, headers={**config.headers, **values.mapping(value, context, key)})


def request_options(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Continue's table of what is sent, of which the headers are ours."""
    if not isinstance(value, dict):
        context.fail(key, says=f"is {values.kind(value)}. Write an object with 'headers'")
    return headers(config, key, cast("dict[str, Any]", value).get("headers", {}), context)


def env_headers(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """Headers whose values are in variables, by the names of these."""
    named = values.mapping(value, context, key)
    found = {header: values.variable(name, context, key, header) for header, name in named.items()}
    return replace(config, headers={**config.headers, **found})


def bearer(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """The variable that holds the server's token."""
    token = values.variable(value, context, key)
    return replace(config, headers={**config.headers, "Authorization": f"Bearer {token}"})


def token(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """The server's token itself."""
    return replace(config, headers={**config.headers, "Authorization": f"Bearer {values.text(value, context, key)}"})


def auth(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """``"oauth"``, a token, or Cursor's table of a registered client."""
    if isinstance(value, str):
        return replace(config, oauth=OAuth()) if value == "oauth" else token(config, key, value, context)
    return replace(config, oauth=read_oauth(value, context, key))


def oauth(config: ServerConfig, key: str, value: Any, context: values.Context) -> ServerConfig:
    """How a token is got."""
    return replace(config, oauth=read_oauth(value, context, key))
