"""Configurations as people write them for other programs, each read whole: what it starts, calls and leaves out.

The snippets are written after the documentation of each program, November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from glm_agent import ConfigurationError
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.sources import read_servers

ENV = {"TOKEN": "t0k", "HOME": "/home/me", "API_KEY": "key", "WORK": "/w"}


@dataclass(frozen=True, kw_only=True)
class Case:
    path: str
    text: str
    wanted: dict[str, dict[str, Any]]
    """Of each server that is on, attributes of its configuration."""
    warnings: list[str] = field(default_factory=list[str])
    """What must be said, in part."""


CASES = {
    "claude desktop": Case(
        path="claude_desktop_config.json",
        text="""{"globalShortcut": "", "mcpServers": {"filesystem": {"command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/me/Desktop"]}}}""",
        wanted={"filesystem": {"command": "npx", "transport": "stdio"}},
    ),
    "claude code project": Case(
        path=".mcp.json",
        text="""{"mcpServers": {"api": {"type": "http", "url": "${BASE:-https://api.example.com}/mcp",
            "headers": {"Authorization": "Bearer ${TOKEN}"}}, "db": {"type": "stdio", "command": "/opt/db",
            "args": ["--config", "${HOME}/c.json"], "env": {"CACHE": "/tmp"}}}}""",
        wanted={
            "api": {"url": "https://api.example.com/mcp", "headers": {"Authorization": "Bearer t0k"}},
            "db": {"args": ("--config", "/home/me/c.json"), "env": {"CACHE": "/tmp"}},
        },
    ),
    "claude code oauth": Case(
        path=".mcp.json",
        text="""{"mcpServers": {"s": {"type": "streamable-http", "url": "https://x.example/mcp", "alwaysLoad": true,
            "oauth": {"clientId": "me", "callbackPort": 8080, "scopes": "a b",
                      "authServerMetadataUrl": "https://as.example/.well-known/x"},
            "headersHelper": "/bin/h"}}}""",
        wanted={"s": {"transport": "http", "oauth": OAuth(client_id="me", callback_port=8080, scope="a b")}},
        warnings=["'headersHelper' is not acted on", "'alwaysLoad' is not acted on"],
    ),
    "vs code with comments": Case(
        path=".vscode/mcp.json",
        text="""// servers
            {"inputs": [{"type": "promptString", "id": "api-key", "description": "Key", "password": true}],
             "servers": {
               /* local */
               "perplexity": {"type": "stdio", "command": "npx", "args": ["-y", "server-perplexity"],
                              "env": {"KEY": "${input:api-key}"}, "envFile": "${workspaceFolder}/.env"},
               "fetch": {"type": "http", "url": "https://x.example/mcp", "headers": {"V": "1.2"},},
             },}""",
        wanted={
            "perplexity": {"env": {"FROM_FILE": "yes", "KEY": "key"}},
            "fetch": {"headers": {"V": "1.2"}},
        },
    ),
    "vs code development and sandbox": Case(
        path=".vscode/mcp.json",
        text="""{"servers": {"g": {"type": "stdio", "command": "node", "cwd": "${workspaceFolder}/srv",
            "args": ["g.js"],
            "dev": {"watch": "build/**/*.js", "debug": {"type": "node"}}, "sandboxEnabled": true,
            "sandbox": {"network": {"allowedDomains": ["x.example"]}}}}}""",
        wanted={"g": {"cwd": "{folder}/srv", "command": "node"}},
        warnings=["'dev' is not acted on", "'sandbox' is not acted on", "'sandboxEnabled' is not acted on"],
    ),
    "vs code user settings": Case(
        path="settings.json",
        text="""{"editor.fontSize": 12, "mcp": {"inputs": [], "servers": {"t": {"command": "uvx", "args": ["t"]}}}}""",
        wanted={"t": {"command": "uvx"}},
    ),
    "visual studio": Case(
        path=".mcp.json",
        text="""{"inputs": [], "servers": {"github": {"url": "https://api.githubcopilot.com/mcp/"}}}""",
        wanted={"github": {"transport": "http"}},
    ),
    "copilot command line": Case(
        path="mcp-config.json",
        text="""{"mcpServers": {"p": {"type": "local", "command": "npx", "args": ["@playwright/mcp@latest"],
            "tools": ["*"], "env": {}}, "c": {"type": "http", "url": "https://x.example/mcp", "tools": ["a", "b"]}}}""",
        wanted={"p": {"transport": "stdio", "allow": ("*",)}, "c": {"allow": ("a", "b")}},
    ),
    "cursor": Case(
        path=".cursor/mcp.json",
        text="""{"mcpServers": {"s": {"type": "stdio", "command": "python", "args": ["${workspaceFolder}/m.py"],
            "env": {"K": "${env:API_KEY}"}, "envFile": ".env"}, "r": {"url": "https://x.example/mcp",
            "headers": {"Authorization": "Bearer ${env:TOKEN}"}}}}""",
        wanted={
            "s": {"args": ("{folder}/m.py",), "env": {"FROM_FILE": "yes", "K": "key"}},
            "r": {"headers": {"Authorization": "Bearer t0k"}},
        },
    ),
    "cursor with a registered client": Case(
        path=".cursor/mcp.json",
        text="""{"mcpServers": {"s": {"url": "https://x.example/mcp",
            "auth": {"CLIENT_ID": "${env:API_KEY}", "CLIENT_SECRET": "shh", "scopes": ["read", "write"]}}}}""",
        wanted={"s": {"oauth": OAuth(client_id="key", client_secret="shh", scope="read write")}},
    ),
    "windsurf": Case(
        path="mcp_config.json",
        text="""{"mcpServers": {"figma": {"serverUrl": "https://x.example/mcp", "headers": {"K": "${env:API_KEY}",
            "F": "${file:secret.txt}"}, "disabledTools": ["write_*"]}}}""",
        wanted={"figma": {"url": "https://x.example/mcp", "headers": {"K": "key", "F": "in a file"},
                          "deny": ("write_*",)}},
    ),
    "gemini": Case(
        path=".gemini/settings.json",
        text="""{"mcp": {"allowed": ["py", "web"], "excluded": ["web"]}, "mcpServers": {
            "py": {"command": "python", "args": ["-m", "srv"], "cwd": "./tools", "env": {"A": "$API_KEY",
                   "B": "${TOKEN}"}, "timeout": 15000, "trust": true, "includeTools": ["safe"]},
            "web": {"httpUrl": "https://x.example/mcp"}, "other": {"url": "https://y.example/sse"}}}""",
        wanted={"py": {"env": {"A": "key", "B": "t0k"}, "cwd": "{folder}/tools", "timeout_seconds": 15.0,
                       "is_trusted": True, "allow": ("safe",)}},
    ),
    "gemini oauth": Case(
        path=".gemini/settings.json",
        text="""{"mcpServers": {"d": {"url": "https://x.example/sse", "authProviderType": "google_credentials",
            "oauth": {"enabled": true, "clientId": "me", "authorizationUrl": "https://as.example/a",
                      "tokenUrl": "https://as.example/t", "redirectUri": "http://localhost:7777/oauth/callback",
                      "tokenParamName": "t", "audiences": ["x"], "scopes": ["s"]}}}}""",
        wanted={"d": {"oauth": OAuth(client_id="me", scope="s")}},
        warnings=["'authProviderType' is not acted on"],
    ),
    "qwen": Case(
        path=".qwen/settings.json",
        text="""{"mcpServers": {"s": {"httpUrl": "https://x.example/mcp", "headers": {"K": "$API_KEY"}}}}""",
        wanted={"s": {"headers": {"K": "key"}}},
    ),
    "codex": Case(
        path=".codex/config.toml",
        text="""
            model = "gpt"
            [mcp_servers.context7]
            command = "npx"
            args = ["-y", "@upstash/context7-mcp"]
            env_vars = ["API_KEY", { name = "TOKEN", source = "local" }, "NOT_SET"]
            startup_timeout_sec = 20
            default_tools_approval_mode = "approve"
            [mcp_servers.context7.env]
            MY_VAR = "v"
            [mcp_servers.context7.tools.search]
            approval_mode = "approve"

            [mcp_servers.figma]
            url = "https://x.example/mcp"
            bearer_token_env_var = "TOKEN"
            http_headers = { "X-Region" = "eu" }
            env_http_headers = { "X-Key" = "API_KEY" }
            tool_timeout_sec = 45.5
            enabled_tools = ["open"]
            disabled_tools = ["shot"]
            scopes = ["a"]
            """,
        wanted={
            "context7": {"env": {"API_KEY": "key", "TOKEN": "t0k", "MY_VAR": "v"}, "startup_timeout_seconds": 20.0,
                         "allow": ()},
            "figma": {"headers": {"Authorization": "Bearer t0k", "X-Region": "eu", "X-Key": "key"},
                      "timeout_seconds": 45.5, "allow": ("open",), "deny": ("shot",)},
        },
        warnings=["'default_tools_approval_mode' is not acted on", "'scopes' is not acted on"],
    ),
    "zed": Case(
        path=".zed/settings.json",
        text="""{"theme": "One Dark", // a comment
            "context_servers": {"local": {"source": "custom", "enabled": true, "command": "some-command",
              "args": ["arg-1"], "env": {}}, "remote": {"url": "https://x.example/mcp",
              "headers": {"Authorization": "Bearer abc"}},
              "old": {"command": {"path": "uvx", "args": ["mcp-server-time"], "env": {"A": "1"}}, "settings": {}},
              "postgres-context-server": {"settings": {"database_url": "postgres://"}}}}""",
        wanted={"local": {"command": "some-command", "args": ("arg-1",)}, "remote": {"transport": "http"},
                "old": {"command": "uvx", "args": ("mcp-server-time",), "env": {"A": "1"}}},
        warnings=["'postgres-context-server' is part of an extension of an editor"],
    ),
    "opencode": Case(
        path="opencode.jsonc",
        text="""{"$schema": "https://opencode.ai/config.json", "mcp": {
            "fs": {"type": "local", "command": ["npx", "-y", "srv", "/tmp"], "environment": {"K": "{env:API_KEY}"},
                   "enabled": true, "timeout": 10000},
            "jira": {"type": "remote", "url": "https://x.example/mcp", "enabled": false},
            "api": {"type": "remote", "url": "https://y.example/mcp", "oauth": {"clientId": "{env:API_KEY}",
                    "clientSecret": "s", "scope": "r", "redirectUri": "http://127.0.0.1:1/cb"}},
            "key": {"type": "remote", "url": "https://z.example/mcp", "oauth": false,
                    "headers": {"Authorization": "Bearer {file:secret.txt}"}}}}""",
        wanted={
            "fs": {"command": "npx", "args": ("-y", "srv", "/tmp"), "env": {"K": "key"}, "timeout_seconds": 10.0},
            "api": {"oauth": OAuth(client_id="key", client_secret="s", scope="r")},
            "key": {"headers": {"Authorization": "Bearer in a file"}, "oauth": None},
        },
    ),
    "opencode, second version": Case(
        path=".opencode/opencode.json",
        text="""{"mcp": {"servers": {"e": {"type": "local", "command": ["npx", "e"], "cwd": ".", "disabled": false,
            "timeout": {"startup": 90000, "request": 5000}}}}}""",
        wanted={"e": {"startup_timeout_seconds": 90.0, "timeout_seconds": 5.0, "cwd": "{folder}"}},
    ),
    "crush": Case(
        path="crush.json",
        text="""{"mcp": {"f": {"type": "stdio", "command": "node", "args": ["f.js"], "timeout": 120, "disabled": false,
            "disabled_tools": ["rm"], "env": {"NODE_ENV": "production"}}}}""",
        wanted={"f": {"timeout_seconds": 120.0, "deny": ("rm",)}},
    ),
    "cline": Case(
        path="cline_mcp_settings.json",
        text="""{"mcpServers": {"l": {"command": "python", "args": ["/p.py"], "env": {"K": "v"}, "timeout": 60,
            "alwaysAllow": ["t1"], "disabled": false}, "r": {"url": "https://x.example/mcp", "type": "streamableHttp",
            "autoApprove": []}}}""",
        wanted={"l": {"timeout_seconds": 60.0}, "r": {"transport": "http"}},
        warnings=["'alwaysAllow' is not acted on", "'autoApprove' is not acted on"],
    ),
    "roo": Case(
        path=".roo/mcp.json",
        text="""{"mcpServers": {"s": {"type": "streamable-http", "url": "https://x.example/mcp", "alwaysAllow": [],
            "disabledTools": ["a"], "watchPaths": ["/b.js"]}, "old": {"type": "sse", "url": "https://y.example/sse"}}}""",
        wanted={"s": {"deny": ("a",)}, "old": {"transport": "sse"}},
        warnings=["'watchPaths' is not acted on"],
    ),
    "kiro": Case(
        path=".kiro/settings/mcp.json",
        text="""{"mcpServers": {"w": {"command": "uvx", "args": ["w@latest"], "env": {"LEVEL": "ERROR",
            "K": "${API_KEY}"}, "disabled": false, "autoApprove": ["r"], "disabledTools": ["d"]}}}""",
        wanted={"w": {"env": {"LEVEL": "ERROR", "K": "key"}, "deny": ("d",), "cwd": "{folder}"}},
    ),
    "amp": Case(
        path="settings.json",
        text="""{"amp.mcpServers": {"p": {"command": "npx", "args": ["-y", "@playwright/mcp"]},
            "s": {"url": "https://x.example/mcp", "headers": {"A": "${TOKEN}"}, "includeTools": ["x*"]}}}""",
        wanted={"p": {"command": "npx"}, "s": {"headers": {"A": "t0k"}, "allow": ("x*",)}},
    ),
    "warp": Case(
        path="warp.json",
        text="""{"github": {"command": "docker", "args": ["run", "-i"], "env": {"T": "x"}, "working_directory": "/w",
            "start_on_launch": true}, "sentry": {"url": "https://x.example/mcp"}}""",
        wanted={"github": {"cwd": "/w"}, "sentry": {"transport": "http"}},
    ),
    "fastmcp": Case(
        path="fastmcp.json",
        text="""{"mcpServers": {"w": {"url": "https://x.example/mcp", "transport": "streamable-http", "auth": "oauth"},
            "k": {"url": "https://y.example/mcp", "auth": "${TOKEN}"},
            "l": {"command": "uvx", "args": ["l"], "transport": "stdio", "keep_alive": false,
            "include_tags": ["a"]}}}""",
        wanted={"w": {"oauth": OAuth()}, "k": {"headers": {"Authorization": "Bearer t0k"}}, "l": {"command": "uvx"}},
    ),
    "cherry studio": Case(
        path="cherry.json",
        text="""{"mcpServers": {"x1": {"name": "Fetch", "description": "d", "isActive": true, "type": "streamableHttp",
            "baseUrl": "https://x.example/mcp", "tags": [], "provider": "p", "logoUrl": ""},
            "x2": {"isActive": false, "command": ""}}}""",
        wanted={"x1": {"url": "https://x.example/mcp"}},
    ),
    "headers as lines": Case(
        path="mcphost.json",
        text="""{"mcpServers": {"g": {"type": "remote", "url": "https://x.example/mcp",
            "headers": ["Authorization: Bearer ${env://TOKEN}", "X: ${env://NOPE:-d}"], "allowedTools": ["a"]}}}""",
        wanted={"g": {"headers": {"Authorization": "Bearer t0k", "X": "d"}, "allow": ("a",)}},
    ),
    "lm studio": Case(
        path="mcp.json",
        text="""{"mcpServers": {"hf": {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer tok"}}}}""",
        wanted={"hf": {"transport": "http"}},
    ),
    "a byte order mark and windows line ends": Case(
        path="bom.json",
        text=b'\\ufeff{\\r\\n"mcpServers": {\\r\\n"s": {"command": "x"}\\r\\n}\\r\\n}'.decode("unicode_escape"),
        wanted={"s": {"command": "x"}},
    ),
    "the glm vision server": Case(
        path=".mcp.json",
        text="""{"mcpServers": {"zai-mcp-server": {"type": "stdio", "command": "npx",
            "args": ["-y", "@z_ai/mcp-server"], "env": {"Z_AI_API_KEY": "${API_KEY}", "Z_AI_MODE": "ZAI"}},
            "web-search-prime": {"type": "http",
            "url": "https://api.z.ai/api/mcp/web_search_prime/mcp",
            "headers": {"Authorization": "Bearer ${TOKEN}"}}}}""",
        wanted={"zai-mcp-server": {"env": {"Z_AI_API_KEY": "key", "Z_AI_MODE": "ZAI"}},
                "web-search-prime": {"headers": {"Authorization": "Bearer t0k"}}},
    ),
}  # fmt: skip


def written(folder: Path, path: str, text: str) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    (folder / ".env").write_text("# a comment\nexport FROM_FILE='yes'\n")
    (folder / "secret.txt").write_text("in a file\n")
    file.write_bytes(text.encode())
    return file


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_for_another_program_means_the_same_here(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    configs, warnings = read_servers([written(tmp_path, case.path, case.text)], environ=ENV)
    running = {config.name: config for config in configs if not config.is_disabled}
    assert list(running) == list(case.wanted)
    for server, wanted in case.wanted.items():
        found = {attribute: getattr(running[server], attribute) for attribute in wanted}
        assert found == {attribute: placed(value, tmp_path) for attribute, value in wanted.items()}
    unexpected = [said for said in warnings if "is not known" in said]
    assert unexpected == []
    for said in case.warnings:
        assert any(said in warning for warning in warnings), warnings


def placed(value: Any, folder: Path) -> Any:
    """The value with the folder of the test in it."""
    if isinstance(value, tuple):
        return tuple(placed(item, folder) for item in value)
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("a.json", '{\n"mcpservers": {"s": {"command": "x"}}}', "line 2, 'mcpservers' is not known. Did you mean"),
        (
            "a.json",
            '{"mcpServers": {\n"s": {\n"command": "x", "env": {"K": "${NOPE}"}}}}',
            "line 3, server 's': 'env.K'",
        ),
        ("a.json", '{"mcpServers": {"s": {"url": "unix:///run/s.sock"}}}', "Write http:// or https:// and a host"),
        ("a.json", '{"mcpServers": {"s": {"command": "x",\n"env": {"K": "${file:gone}"}}}}', "the file 'gone', which"),
        ("a.json", '{"mcpServers": {"s": {"type": "inmemory", "command": "x"}}}', "'type' is 'inmemory'"),
        (
            "a.json",
            '{"mcpServers": {"s": {"url": "https://x",\n"auth": {"CLIENT": "x"}}}}',
            "line 2, server 's': 'auth",
        ),
        ("a.toml", '[mcp_servers.s]\ncommand = "x"\nenv_vars = "A"\n', "line 3, server 's': 'env_vars' is a string"),
        ("a.json", '{"mcpServers": {"s": {"command": {"args": []}}}}', "'command' is an object. Write a string"),
        ("a.json", '{"mcp": {"a": 1}}', "names no MCP servers"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_place(tmp_path: Path, path: str, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_servers([written(tmp_path, path, text)], environ=ENV)
    assert said in str(caught.value)


@pytest.mark.parametrize(("version", "is_legacy"), [("2025-11-25", True), ("2024-11-05", True), ("2026-07-28", False)])
def test_a_protocol_before_the_newest_is_spoken_where_an_entry_says_so(version: str, is_legacy: bool) -> None:
    ((config,), _) = read_servers([{"s": {"command": "x", "protocol": version}}], environ={})
    assert config.is_legacy is is_legacy
    with pytest.raises(ConfigurationError, match=r"'protocol' is 'old'\. Write a version, which is a date"):
        read_servers([{"s": {"command": "x", "protocol": "old"}}], environ={})


def test_a_secret_from_a_file_is_in_no_message(tmp_path: Path) -> None:
    text = '{"mcpServers": {"s": {"url": "https://x.example/mcp", "headers": {"K": "${file:secret.txt}"}}}}'
    (config,), _ = read_servers([written(tmp_path, "a.json", text)], environ=ENV)
    assert "in a file" not in repr(config)
