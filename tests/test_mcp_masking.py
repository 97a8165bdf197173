"""Secrets in commands and addresses of MCP servers: in no name, no message, no list and no session."""

from __future__ import annotations

import sys

import anyio
import pytest

from glm_agent.errors import AgentError, ConfigurationError
from glm_agent.mcp import masking
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.hidden import Hidden
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.sources import read_servers

KEYS = [
    "sk-abc123def456",
    "sk-ant-api03-" + "x" * 40,
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0_abcdefghij",
    "glpat-abcdefghij1234567890",
    "xoxb-1234-5678-abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "tvly-dev-abcdef123",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp",
]


def one(source: object, **environ: str) -> ServerConfig:
    ((config,), _) = read_servers([source], environ=environ)
    return config


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_known_by_its_look_wherever_it_stands(key: str) -> None:
    config = ServerConfig(name="s", command="prog", args=("serve", key))
    assert key not in Hidden(config).without(f"prog: serve {key}: bad key")
    assert key not in Hidden(ServerConfig(name="s", command="prog")).without(f"I was given '{key}'.")
    assert key not in one(f"npx {key}").target
    assert key not in one(f"npx {key}").name


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        (("--api-key", "wonderland"), "wonderland"),
        (("--token=wonderland",), "wonderland"),
        (("-e", "DB_PASSWORD=wonderland", "image"), "wonderland"),
        (("--header", "Authorization: Bearer wonderland"), "wonderland"),
        (("postgres://me:wonderland@host/db",), "wonderland"),
        (("https://host/mcp/0a1b2c3d4e5f60718293/x",), "0a1b2c3d4e5f60718293"),
    ],
)
def test_a_secret_is_known_by_the_name_before_it(words: tuple[str, ...], secret: str) -> None:
    config = ServerConfig(name="s", command="prog", args=words)
    assert secret not in Hidden(config).without(f"cannot run {' '.join(words)}")


def test_a_secret_is_known_because_a_variable_of_a_telling_name_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "wonderland")
    monkeypatch.setenv("SHOP_TOWN", "wonderful")
    config = ServerConfig(name="s", command="prog", args=("wonderland", "--shop=wonderful"))
    assert Hidden(config).without("wonderland is wonderful") == f"{masking.HIDDEN} is wonderful"


@pytest.mark.parametrize(
    "word",
    ["sk-learn-mcp", "@modelcontextprotocol/server-filesystem", "ghp", "mcp-server-2025-11-25", "npm_config", "task-1"],
)
def test_ordinary_words_stay(word: str) -> None:
    assert masking.without(masking.in_words(["npx", word], {}), word) == word
    assert masking.address(f"https://host/{word}/mcp") == f"https://host/{word}/mcp"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("npx -y @modelcontextprotocol/server-filesystem /work", "npx @modelcontextprotocol/server-filesystem"),
        ("npx -y -p @scope/pkg@1.2 some-bin", "npx @scope/pkg@1.2"),
        ("npx --package=@scope/pkg@1.2 some-bin", "npx @scope/pkg@1.2"),
        ("uvx mcp-server-time --local-timezone UTC", "uvx mcp-server-time"),
        ("uvx --from excel-mcp-server excel", "uvx excel-mcp-server"),
        ("uvx --from git+https://me:wonderland@host.example/pkg tool", "uvx git+https://me:•••@host.example/pkg"),
        ("docker run -i --rm -e TOKEN=wonderland mcp/github", "docker mcp/github"),
        ("python3 -m my_server --key wonderland", "python3 my_server"),
        ("./srv --key wonderland", "./srv"),
        ("bash -c 'run wonderland'", "bash"),
    ],
)
def test_a_command_is_shown_with_its_package_and_without_its_arguments(command: str, shown: str) -> None:
    assert one(command).target == shown


def test_a_key_in_the_path_of_an_address_names_no_server() -> None:
    config = one("https://mcp.zapier.com/api/mcp/s/NDk0YTg5ZjctMzE2ZS00/mcp")
    assert (config.name, config.target) == ("zapier", "https://mcp.zapier.com/api/mcp/s/•••/mcp")


def test_a_command_that_cannot_be_read_is_shown_without_its_secret() -> None:
    with pytest.raises(ConfigurationError, match="Close the quotes") as caught:
        one("prog --api-key wonderland 'x")
    assert "wonderland" not in str(caught.value)


@pytest.mark.anyio
async def test_no_error_of_a_server_shows_a_secret_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "looking-glass")
    code = "import sys; print('usage:', *sys.argv[1:], file=sys.stderr); sys.exit(3)"
    words = ("-c", code, "looking-glass", "--token=wonderland", KEYS[0], KEYS[2])
    with anyio.fail_after(60), pytest.raises(AgentError) as caught:
        await ServerConnection(ServerConfig(name="s", command=sys.executable, args=words)).tools()
    said = str(caught.value)
    assert "usage: ••• --token=••• ••• •••" in said


def test_a_session_keeps_a_command_without_its_secret_and_finds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from glm_agent.cli.options import as_typed, stored

    monkeypatch.setenv("SHOP_TOKEN", "wonderland")
    options = as_typed(mcp_config=["uvx shop --token wonderland", f"uvx other --key {KEYS[0]}", "uvx mcp-server-time"])
    held, dotted, plain = stored(options)["mcp_servers"]
    assert (held, dotted, plain) == ("uvx shop --token ${env:SHOP_TOKEN}", "uvx other --key •••", "uvx mcp-server-time")
    assert stored(as_typed(mcp_config=[held, dotted, plain]))["mcp_servers"] == (held, dotted, plain)
    assert one(held, SHOP_TOKEN="wonderland").args == ("shop", "--token", "wonderland")
    with pytest.raises(ConfigurationError, match="needs the variable 'SHOP_TOKEN', which is not set"):
        one(held)
    with pytest.raises(ConfigurationError, match=r"was kept without its secret\. Give the server once more"):
        one(dotted)
