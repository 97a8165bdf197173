"""Configurations of MCP servers: every dialect, every short form, and messages that say where and what."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent.errors import ConfigurationError
from glm_agent.mcp import names
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.lines import json_positions, plain_json
from glm_agent.mcp.sources import read_servers
from glm_agent.mcp.token_store import FileTokens


def read(path: Path, text: str, **environ: str) -> tuple[tuple[ServerConfig, ...], tuple[str, ...]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read_servers([path], environ=environ)


def one(path: Path, entry: dict[str, Any], **environ: str) -> ServerConfig:
    ((config,), _) = read(path, json.dumps({"mcpServers": {"s": entry}}), **environ)
    return config


def complaint(path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(path, text, **environ)
    return str(caught.value)


# -- dialects -------------------------------------------------------------------------------------------


def test_a_claude_file_with_variables_and_comments_is_read(tmp_path: Path) -> None:
    text = """{
      // servers of this project
      "mcpServers": {
        "fs": {"command": "npx", "args": ["-y", "pkg", "${HOME}/work"], "env": {"K": "${K:-x}", "PORT": 80}},
        "docs": {"type": "http", "url": "https://x.example/mcp",
                 "headers": {"Authorization": "Bearer ${TOKEN}"}, "timeout": 600000},
        "old": {"type": "sse", "url": "https://y.example/sse"}, /* last */
      },
    }"""
    (fs, docs, old), warnings = read(tmp_path / ".mcp.json", text, HOME="/home/me", TOKEN="t")
    assert (fs.transport, fs.command, fs.args) == ("stdio", "npx", ("-y", "pkg", "/home/me/work"))
    assert fs.env == {"K": "x", "PORT": "80"}
    assert (docs.transport, docs.headers, docs.timeout_seconds) == ("http", {"Authorization": "Bearer t"}, 600.0)
    assert (old.transport, old.url) == ("sse", "https://y.example/sse")
    assert warnings == ()


def test_a_vscode_file_knows_its_workspace_and_inputs(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "inputs": [{"type": "promptString", "id": "api-key", "default": "d"}, {"id": "other-one"}],
            "servers": {
                "a": {"type": "stdio", "command": "x", "args": ["${workspaceFolder}", "${input:api-key}", "${env:E}"]},
                "b": {"url": "http://127.0.0.1:1/mcp", "headers": {"K": "${input:other-one}"}},
            },
        }
    )
    (a, b), _ = read(tmp_path / ".vscode" / "mcp.json", text, E="e", OTHER_ONE="typed")
    assert a.args == (str(tmp_path), "d", "e")
    assert a.cwd == str(tmp_path)
    assert (b.transport, b.headers) == ("http", {"K": "typed"})


def test_gemini_settings_have_bare_variables_trust_and_filters(tmp_path: Path) -> None:
    entry = {
        "httpUrl": "https://x.example/mcp",
        "headers": {"A": "$TOKEN-1"},
        "trust": True,
        "includeTools": ["get_*"],
        "excludeTools": ["get_all"],
        "timeout": 1500,
    }
    config = one(tmp_path / ".gemini" / "settings.json", entry, TOKEN="t")
    assert (config.transport, config.headers, config.is_trusted) == ("http", {"A": "t-1"}, True)
    assert (config.allow, config.deny, config.timeout_seconds) == (("get_*",), ("get_all",), 1.5)


def test_outside_gemini_a_bare_dollar_is_a_dollar(tmp_path: Path) -> None:
    assert one(tmp_path / ".mcp.json", {"command": "x", "args": ["$HOME"]}, HOME="/h").args == ("$HOME",)


def test_a_codex_file_counts_in_seconds_and_names_its_variables(tmp_path: Path) -> None:
    text = """
    [mcp_servers.local]
    command = "srv"
    env_vars = ["A", "NOT_SET"]
    startup_timeout_sec = 20
    tool_timeout_sec = 30
    enabled_tools = ["one"]
    required = false
    [mcp_servers.local.env]
    B = "2"

    [mcp_servers.remote]
    url = "https://x.example/mcp"
    bearer_token_env_var = "TOKEN"
    env_http_headers = { "X-Key" = "KEY" }
    timeout = 7
    """
    (local, remote), _ = read(tmp_path / ".codex" / "config.toml", text, A="1", TOKEN="t", KEY="k")
    assert local.env == {"A": "1", "B": "2"}
    assert (local.startup_timeout_seconds, local.timeout_seconds) == (20.0, 30.0)
    assert (local.allow, local.is_optional) == (("one",), True)
    assert remote.headers == {"Authorization": "Bearer t", "X-Key": "k"}
    assert remote.timeout_seconds == 7.0


def test_a_disabled_server_may_lack_its_variables(tmp_path: Path) -> None:
    for switch in ({"disabled": True}, {"enabled": False}):
        config = one(tmp_path / "m.json", {"command": "x", "args": ["${NOT_SET}"], **switch})
        assert config.is_disabled
    assert not one(tmp_path / "m.json", {"command": "x", "enabled": True, "disabled": False}).is_disabled


def test_relative_folders_and_programs_start_at_the_file(tmp_path: Path) -> None:
    config = one(tmp_path / "sub" / ".mcp.json", {"command": "./bin/srv", "cwd": "data"})
    assert (config.command, config.cwd) == (str(tmp_path / "sub" / "bin/srv"), str(tmp_path / "sub" / "data"))
    assert one(tmp_path / "sub" / ".mcp.json", {"command": "uvx"}).cwd == str(tmp_path / "sub")
    assert one(tmp_path / "sub" / ".mcp.json", {"command": "/opt/srv"}).command == "/opt/srv"


def test_an_environment_file_is_read_and_the_entry_wins(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text("# secret\nexport A='1'\nB=file\n\n", encoding="utf-8")
    config = one(tmp_path / ".mcp.json", {"env": {"B": "entry"}, "command": "x", "envFile": "my.env"})
    assert config.env == {"A": "1", "B": "entry"}


@pytest.mark.parametrize("word", ["http", "streamable-http", "streamable_http", "streamableHttp", "remote"])
def test_streamable_http_has_many_spellings(tmp_path: Path, word: str) -> None:
    assert one(tmp_path / "m.json", {"transport": word, "url": "http://h/mcp"}).transport == "http"


@pytest.mark.parametrize(
    ("key", "number", "seconds"),
    [("timeout", 60000, 60), ("timeout", 60, 60), ("timeout_seconds", 5000, 5000), ("toolTimeout", 1500, 1.5)],
)
def test_a_time_is_in_the_unit_that_was_meant(tmp_path: Path, key: str, number: int, seconds: float) -> None:
    assert one(tmp_path / "m.json", {"command": "x", key: number}).timeout_seconds == seconds


def test_a_map_of_entries_needs_no_outer_key(tmp_path: Path) -> None:
    ((config,), _) = read(tmp_path / "m.json", '{"fs": {"command": "x"}}')
    assert config.name == "fs"


# -- complaints -------------------------------------------------------------------------------------------


def test_an_unset_variable_is_named_with_its_place(tmp_path: Path) -> None:
    text = '{\n "mcpServers": {\n  "docs": {\n   "url": "http://h/mcp",\n   "headers": {\n    "A": "${TOKEN}"}}}}'
    said = complaint(tmp_path / ".mcp.json", text)
    assert ".mcp.json, line 6, server 'docs': 'headers.A' needs the variable 'TOKEN'" in said
    assert "${TOKEN:-…}" in said


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"command": "x", "args": "-y pkg"}, "'args' is a string. Write a list of strings"),
        ({"command": {"a": 1}}, "'command' is an object. Write a string"),
        ({"command": "x", "env": ["A=1"]}, "'env' is a list. Write an object of strings"),
        ({"command": "x", "env": {"A": {}}}, "'env.A' is an object. Write a string"),
        ({"command": "x", "timeout": "10"}, "'timeout' is a string. Write a number above 0"),
        ({"command": "x", "timeout": -1}, "'timeout' is -1. Write a number above 0"),
        ({"command": "x", "disabled": "yes"}, "'disabled' is a string. Write true or false"),
        ({"url": "http://h", "type": "websocket"}, "'type' is 'websocket'. Write one of stdio, http, sse"),
        ({"url": "ftp://h"}, "has the address 'ftp://h'. Write http:// or https:// and a host"),
        ({"args": ["x"]}, "has no 'command' and no 'url'"),
        ({"type": "http"}, "Write http:// or https:// and a host"),
    ],
)
def test_what_cannot_work_is_said_with_file_line_server_and_key(
    tmp_path: Path, entry: dict[str, Any], expected: str
) -> None:
    said = complaint(tmp_path / ".mcp.json", json.dumps({"mcpServers": {"fs": entry}}, indent=1))
    assert expected in said
    assert ".mcp.json, line " in said
    assert "'fs'" in said


def test_an_unknown_key_is_a_warning_with_its_line_and_the_closest_match(tmp_path: Path) -> None:
    text = '{"mcpServers": {"fs": {\n"command": "x",\n"arguments": [],\n"autoApprove": []}}}'
    (_, warnings) = read(tmp_path / ".mcp.json", text)
    assert "line 3, server 'fs': 'arguments' is not known and was ignored. Did you mean 'args'?" in warnings[0]
    assert "line 4, server 'fs': 'autoApprove' is not acted on" in warnings[1]


def test_broken_files_say_line_and_column(tmp_path: Path) -> None:
    assert "bad.json, line 2, column " in complaint(tmp_path / "bad.json", '{"mcpServers": {\n "a": }}')
    assert "bad.toml, line 2, column " in complaint(tmp_path / "bad.toml", "[mcp_servers.a]\ncommand = \n")
    assert "holds a list" in complaint(tmp_path / "list.json", "[]")
    assert "names no MCP servers" in complaint(tmp_path / "empty.json", "")
    assert "'mcpServers' is a list" in complaint(tmp_path / "l.json", '{"mcpServers": []}')
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_servers([tmp_path / "none.json"])


TWICE = [
    (
        ".mcp.json",
        '{"mcpServers": {\n"time": {"command": "a"},\n"fs": {"command": "b"},\n"time": {"command": "c"}}}',
        "line 4: the server 'time' is there twice, first on line 2. Remove one of the two, or give it another name",
    ),
    (
        ".vscode/mcp.json",
        '{"servers": {"s": {"command": "a",\n"env": {"KEY": "1",\n// the second one\n"K\\u0045Y": "2"}}}}',
        "line 4, server 's': 'env.KEY' is there twice, first on line 2",
    ),
    (
        "claude.json",
        '{"mcpServers": {"a": {"command": "a"}},\n"mcpServers": {"b": {"command": "b"}}}',
        "line 2: 'mcpServers' is there twice, first on line 1. Make one of the two",
    ),
    ("bare.json", '{"a": {"command": "a"},\n"a": {"command": "b"}}', "line 2: the server 'a' is there twice"),
    (
        "config.toml",
        '[mcp_servers.a]\ncommand = "a"\n[other]\nx = 1\n[mcp_servers.a]\ncommand = "b"\n',
        "line 5: the server 'a' is there twice, first on line 1",
    ),
    (
        "keys.toml",
        '[mcp_servers.a]\ncommand = "a"\nargs = []\ncommand = "b"\n',
        "line 4, server 'a': 'command' is there twice, first on line 2",
    ),
]


@pytest.mark.parametrize(("name", "text", "said"), TWICE, ids=[name for name, *_ in TWICE])
def test_what_stands_twice_is_named_with_both_lines(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert said in complaint(tmp_path / name, text)


CONTINUE = """name: Assistant
mcpServers:
  - name: SQLite
    command: npx
    args: ["-y", mcp-sqlite, "${DB}"]
  - name: docs
    type: streamable-http
    url: https://x.example/mcp
    requestOptions: {headers: {Authorization: "Bearer ${TOKEN}"}}
"""


def test_continue_keeps_its_servers_in_a_list_and_in_yaml(tmp_path: Path) -> None:
    (sqlite, docs), warnings = read(tmp_path / ".continue" / "config.yaml", CONTINUE, DB="x.db", TOKEN="t")
    assert (sqlite.name, sqlite.args, sqlite.cwd) == ("SQLite", ("-y", "mcp-sqlite", "x.db"), str(tmp_path))
    assert (docs.transport, docs.headers) == ("http", {"Authorization": "Bearer t"})
    assert warnings == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mcpServers:\n- command: x\n", "line 1: a server of the list has no 'name'"),
        ("mcpServers:\n- name: a\n  command: x\n- name: a\n  command: y\n", "the list has two servers named 'a'"),
        (
            "mcpServers:\n  a:\n    command: x\n    command: y\n",
            "line 4, server 'a': 'command' is there twice, first on line 3",
        ),
        ("mcpServers: [\n", "line 2, column 1: this is not YAML"),
        ("- a\n", "holds a list, not an object"),
        ("a: &a [x]\nmcpServers: {s: {command: x, timeout: *a}}\n", "line 2, server 's': 'timeout' is"),
    ],
)
def test_what_is_wrong_in_yaml_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path / "mcp.yaml", text)


def test_the_same_key_in_two_objects_or_elsewhere_in_a_file_is_no_repeat(tmp_path: Path) -> None:
    text = """{"editor.size": 1, "editor.size": 2, "inputs": [{"id": "a"}, {"id": "b"}],
      "servers": {"a": {"command": "x", "args": ["mcpServers", "mcpServers"]}, "b": {"command": "y", "args": []}}}"""
    configs, _ = read(tmp_path / "settings.json", text)
    assert [config.name for config in configs] == ["a", "b"]


def test_servers_at_a_second_place_of_a_file_are_not_lost_without_a_word(tmp_path: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "x"}},\n"servers": {"b": {"command": "y"}}}'
    (config,), (warning,) = read(tmp_path / "both.json", text)
    assert config.name == "a"
    assert "line 2: 'servers' is not read, since the servers of 'mcpServers' are" in warning


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe{\x00}\x00", "is not UTF-8. Save it as UTF-8"),
        (b'{"mcpServers": ' + b'{"a": ' * 100_000, "is nested too deeply"),
    ],
)
def test_a_file_that_no_editor_wrote_is_one_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / ".mcp.json"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=said):
        read_servers([path], environ={})


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("Authorization", "Bearer schlüssel", "character 12 of its value, one that is not ASCII"),
        ("X-Key", "wonder\nland", "character 7 of its value, a line break"),
        ("X-Key", "wonderland\x7f", "character 11 of its value, a control character"),
        ("X Key", "wonderland", "'X Key' cannot be the name of a header"),
    ],
)
def test_a_header_that_http_cannot_carry_is_named_and_its_value_is_not(
    tmp_path: Path, header: str, value: str, said: str
) -> None:
    text = json.dumps({"mcpServers": {"shop": {"url": "https://x.example/mcp", "headers": {header: value}}}})
    found = complaint(tmp_path / ".mcp.json", text)
    assert said in found
    assert f"server 'shop': {'the header ' * (' ' not in header)}{header!r}" in found
    assert value not in found
    assert "schl" not in found


def test_a_user_without_a_home_has_servers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a container under a number that nobody has given a name
    entry = {"command": "~/srv", "cwd": "~/w", "args": ["x"]}
    config = one(tmp_path / ".mcp.json", entry)
    assert (config.command, config.cwd) == ("~/srv", str(tmp_path / "~/w"))
    said = complaint(tmp_path / "b.json", '{"mcpServers": {"s": {"command": "x", "args": ["${userHome}/y"]}}}')
    assert "'args.0' needs the variable 'HOME', which is not set" in said
    store = FileTokens()
    assert store.load("k") == {}
    with pytest.raises(ConfigurationError, match=r"this user has no home directory\. Set HOME or XDG_DATA_HOME"):
        store.save("k", {"token": "t"})


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    config = one(
        tmp_path / ".mcp.json",
        {"url": "https://me:pass@h.example/mcp?key=hidden#hidden", "headers": {"A": "Bearer hidden"}},
    )
    assert "hidden" not in repr(config)
    assert config.target == "https://h.example/mcp"
    said = complaint(tmp_path / "m.json", '{"mcpServers": {"a": {"url": "ftp://me:hidden@h/?k=hidden"}}}')
    assert "hidden" not in said


# -- short forms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("uvx mcp-server-time --local-timezone UTC", "time"),
        ("uvx --from mcp-server-git mcp-server-git", "git"),
        ("npx -y @modelcontextprotocol/server-filesystem /data", "filesystem"),
        ("npx -y @playwright/mcp@latest --headless", "playwright"),
        ("npx @upstash/context7-mcp", "context7"),
        ("chrome-devtools-mcp", "chrome-devtools"),
        ("python3 tools/srv.py", "srv"),
        ("/usr/bin/python3.11 -m mcp_server_time", "time"),
        ("uv run --directory /x server.py", "server"),
        ("docker run -i --rm -e KEY mcp/fetch:1.2", "fetch"),
        ("node build/index.js", "index"),
        ("KEY=1 uvx mcp-server-time", "time"),
        ("mcp-server", "mcp-server"),
        ("'/opt/my server/run it.sh'", "run_it"),
    ],
)
def test_a_command_line_names_its_server(command: str, name: str) -> None:
    ((config,), _) = read_servers([command])
    assert config.name == name
    assert config.transport == "stdio"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.z.ai/api/mcp/web_search_prime/mcp", "web_search_prime"),
        ("https://mcp.context7.com/mcp", "context7"),
        ("http://localhost:8000/mcp", "localhost"),
        ("http://127.0.0.1:8000/mcp", "127_0_0_1"),
        ("http://[::1]:8000/mcp", "_1"),
        ("https://example.com/github/mcp?key=1", "github"),
    ],
)
def test_an_address_names_its_server(url: str, name: str) -> None:
    ((config,), _) = read_servers([url])
    assert (config.name, config.transport, config.url) == (name, "http", url)


def test_command_arguments_and_variables_are_split_as_a_shell_would() -> None:
    ((config,), _) = read_servers(["A=1 srv --x 'two words'"])
    assert (config.command, config.args, config.env) == ("srv", ("--x", "two words"), {"A": "1"})
    with pytest.raises(ConfigurationError, match="Close the quotes"):
        read_servers(["srv 'open"])


def test_a_dict_is_an_entry_or_a_whole_file() -> None:
    ((entry,), _) = read_servers([{"command": "uvx", "args": ["mcp-server-time"], "timeout_seconds": 5}])
    ((named,), _) = read_servers([{"name": "mine", "url": "http://h/mcp"}])
    ((inner,), _) = read_servers([{"mcpServers": {"a": {"command": "x"}}}])
    assert (entry.name, entry.timeout_seconds, entry.cwd) == ("time", 5.0, None)
    assert (named.name, inner.name) == ("mine", "a")


def test_a_single_source_needs_no_list(tmp_path: Path) -> None:
    assert read_servers("uvx mcp-server-time")[0][0].name == "time"
    assert read_servers({"command": "x"})[0][0].name == "x"


def test_names_are_unique_and_the_same_server_twice_is_one() -> None:
    (configs, _) = read_servers(["uvx mcp-server-time", "uvx mcp-server-time", "uvx mcp-server-time --x"])
    assert [config.name for config in configs] == ["time", "time_2"]


def test_what_is_no_server_is_refused() -> None:
    for source in (3, "", None, SimpleNamespace(name="x")):
        with pytest.raises(ConfigurationError, match="Pass a file"):
            read_servers([source])


def test_a_configured_name_must_fit_a_tool_name(tmp_path: Path) -> None:
    ((config,), _) = read(tmp_path / "m.json", '{"mcpServers": {"my server!": {"command": "x"}}}')
    assert config.name == "my_server_"
    with pytest.raises(ConfigurationError, match="letters, digits"):
        read_servers([ServerConfig(name="a b", command="x")])


# -- names and lines ----------------------------------------------------------------------------------------


@given(st.text(max_size=80), st.text(max_size=100))
def test_every_offered_name_fits_the_wire(server: str, tool: str) -> None:
    name = names.offered(names.clean(server), tool)
    assert 0 < len(name) <= names.LONGEST
    assert names.clean(name) == name


def test_long_names_stay_apart() -> None:
    first, second = names.offered("s", "x" * 70 + "a"), names.offered("s", "x" * 70 + "b")
    assert first != second
    assert len(first) == len(second) == 64


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_plain_json_is_left_alone(value: object) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    assert json.loads(plain_json(text)) == value
    json_positions(text)


@given(st.text())
def test_positions_of_any_text_do_not_fail(text: str) -> None:
    assert len(plain_json(text)) == len(text)
    json_positions(text)


def test_reading_configurations_does_not_import_the_sdk() -> None:
    code = (
        "import sys; from glm_agent.mcp.sources import read_servers; read_servers(['uvx a', 'http://h/mcp']);"
        "assert not [name for name in sys.modules if name == 'mcp' or name.startswith(('mcp.', 'mcp_types'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
