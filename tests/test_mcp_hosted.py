"""The provider's own MCP servers by name."""

import pytest

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.sources import read_servers

KEYS = {"ZAI_API_KEY": "z.key", "ZHIPUAI_API_KEY": "c.key"}


@pytest.mark.parametrize(
    ("text", "url", "key"),
    [
        ("zai:web_search_prime", "https://api.z.ai/api/mcp/web_search_prime/mcp", "z.key"),
        ("zai:zread", "https://api.z.ai/api/mcp/zread/mcp", "z.key"),
        ("bigmodel:web_reader", "https://open.bigmodel.cn/api/mcp/web_reader/mcp", "c.key"),
    ],
)
def test_a_hosted_server_is_known_by_name_and_gets_the_sites_key(text: str, url: str, key: str) -> None:
    ((server,), warnings) = read_servers([text], environ=KEYS)
    assert (server.name, server.transport, server.url) == (text.partition(":")[2], "http", url)
    assert server.headers == {"Authorization": f"Bearer {key}"}
    assert key not in repr(server)
    assert warnings == ()


def test_a_name_that_is_none_of_theirs_gets_a_hint() -> None:
    with pytest.raises(
        ConfigurationError, match="hosts no MCP server 'web_serch_prime': did you mean 'web_search_prime'"
    ):
        read_servers(["zai:web_serch_prime"], environ=KEYS)


def test_a_hosted_server_needs_a_key() -> None:
    with pytest.raises(ConfigurationError, match="set ZAI_API_KEY or"):
        read_servers(["zai:zread"], environ={})


def test_other_words_with_a_colon_are_commands() -> None:
    ((server,), _) = read_servers(["docker run x:latest"], environ=KEYS)
    assert server.command == "docker"
