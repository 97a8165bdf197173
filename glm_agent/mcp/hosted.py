"""The provider's own MCP servers, by name: ``zai:web_search_prime``. Pure.

Source: docs.z.ai and docs.bigmodel.cn, Coding Plan, MCP servers, October 2026.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.config import ServerConfig, check

SERVERS = ("web_search_prime", "web_reader", "zread")
_HOSTS = {
    "zai": ("https://api.z.ai/api/mcp", ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY")),
    "bigmodel": ("https://open.bigmodel.cn/api/mcp", ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_API_KEY")),
}


def hosted_server(text: str, environ: Mapping[str, str]) -> ServerConfig | None:
    """The server that ``provider:name`` names; None for a text of another kind.

    Raises ``ConfigurationError`` on a name that is none of theirs, and without a key.
    """
    provider, colon, name = text.partition(":")
    if not colon or provider not in _HOSTS:
        return None
    address, key_names = _HOSTS[provider]
    if name not in SERVERS:
        close = difflib.get_close_matches(name, SERVERS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(SERVERS)}"
        raise ConfigurationError(f"the provider {provider!r} hosts no MCP server {name!r}: {hint}")
    key = next(filter(None, (environ.get(one, "").strip() for one in key_names)), "")
    if not key:
        raise ConfigurationError(f"no API key for the MCP server {text!r}: set {' or '.join(key_names)}")
    headers = {"Authorization": f"Bearer {key}"}
    return check(ServerConfig(name=name, transport="http", url=f"{address}/{name}/mcp", headers=headers))
