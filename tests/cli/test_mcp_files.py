"""``mcp add``, ``mcp lock`` and ``mcp list``: the configuration file and the lock file beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SDK = str(Path(__file__).parents[1] / "servers" / "sdk.py")
NASTY = str(Path(__file__).parents[1] / "servers" / "nasty.py")
ADD = ("mcp", "add", "calc", "--", sys.executable, SDK, "stdio")


def test_a_server_is_added_locked_and_listed(cli: Any, tmp_path: Path):
    added = cli(*ADD)
    assert added.returncode == 0, added.stderr
    (file,) = tmp_path.rglob(".mcp.json")
    assert json.loads(file.read_text())["mcpServers"]["calc"]["args"] == [SDK, "stdio"]
    again = cli(*ADD)
    assert again.returncode == 2
    assert "'calc' already" in again.stderr

    assert "not started" in cli("mcp", "list").stdout
    locked = cli("mcp", "lock")
    assert locked.returncode == 0, locked.stderr
    assert "new      add" in locked.stdout
    assert cli("mcp", "lock", "--check").returncode == 0
    assert "locked" in cli("mcp", "list").stdout
    live = cli("mcp", "list", "--live").stdout
    assert "ready" in live
    assert "2026-07-28" in live
    assert "7 tools" in live


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_list_of_servers_shows_packages_and_no_secret(cli: Any, options: tuple[str, ...]):
    cli("mcp", "add", "shop", "--", "npx", "-y", "shop-mcp", "--key", "wonderland", "ghp_16C7e42F292c6912E7710c838")
    said = cli("mcp", "list", *options).stdout
    assert "npx shop-mcp" in said
    assert "wonderland" not in said
    assert "ghp_" not in said


def test_a_server_that_was_asked_once_is_remembered(cli: Any):
    server = f"{sys.executable} {NASTY} ok"
    assert "not started" in cli("mcp", "list", server).stdout
    assert "1 tool" in cli("mcp", "list", server, "--live").stdout
    assert "remembered" in cli("mcp", "list", server).stdout


def test_a_lock_names_every_server_that_does_not_start_and_accepts_the_others(cli: Any, tmp_path: Path):
    from glm_agent.mcp.definition import Definition
    from glm_agent.mcp.lock import read, write

    cli("mcp", "add", "one", "--", "no-such-program-1")
    cli("mcp", "add", "two", "--", "no-such-program-2")
    cli("mcp", "add", "good", "--", sys.executable, NASTY, "ok")
    (file,) = tmp_path.rglob(".mcp.json")
    lock = file.parent / "mcp.lock"
    write(lock, {"one": [Definition(name="old")]})
    done = cli("mcp", "lock")
    assert done.returncode == 1
    assert "error: MCP server 'one' (no-such-program-1): the program 'no-such-program-1' was not found" in done.stderr
    assert "error: MCP server 'two'" in done.stderr
    assert {name: list(locked.tools) for name, locked in read(lock).items()} == {"one": ["old"], "good": ["good"]}
    assert cli("mcp", "lock", "--check").returncode == 1


def test_a_lock_file_that_cannot_be_written_is_one_line(cli: Any, tmp_path: Path):
    cli("mcp", "add", "good", "--", sys.executable, NASTY, "ok")
    (file,) = tmp_path.rglob(".mcp.json")
    (file.parent / "mcp.lock").mkdir()
    done = cli("mcp", "lock")
    assert done.returncode == 2
    assert "mcp.lock' cannot be written: Is a directory" in done.stderr.splitlines()[-1]


def test_what_has_changed_since_is_shown_and_kept_back(cli: Any, tmp_path: Path):
    from glm_agent.mcp.definition import Definition
    from glm_agent.mcp.lock import write

    cli(*ADD)
    (file,) = tmp_path.rglob(".mcp.json")
    write(file.parent / "mcp.lock", {"calc": [Definition(name="add", description="Older words.")]})
    checked = cli("mcp", "lock", "--check")
    assert checked.returncode == 1
    assert '- "description": "Older words."' in checked.stdout
    lock = file.parent / "mcp.lock"
    lock.write_text(lock.read_text().replace("Older", "Edited"))
    assert "was edited" in cli("mcp", "call", "calc__add", "{}").stderr
    assert cli("mcp", "lock").returncode == 0
    lock.write_text("")
    write(lock, {"calc": [Definition(name="add", description="Older words.")]})
    called = cli("mcp", "call", "calc__add", '{"a": 1, "b": 2}')
    assert called.returncode == 1
    assert "not what was accepted" in called.stdout


def test_an_option_without_its_sign_is_named(cli: Any):
    done = cli("mcp", "add", "x", "--env", "NAME", "--", "program")
    assert done.returncode == 2
    assert "NAME=value" in done.stderr


def test_a_variable_may_be_set_later_and_elsewhere(cli: Any, tmp_path: Path):
    added = cli("mcp", "add", "web", "https://example.com/mcp", "--header", "Authorization: Bearer ${NO_SUCH}")
    assert added.returncode == 0, added.stderr
    assert "'NO_SUCH', which is not set" in added.stderr
    assert cli(*ADD).returncode == 0, "what other servers need is nothing to this one"
    (file,) = tmp_path.rglob(".mcp.json")
    assert json.loads(file.read_text())["mcpServers"]["web"]["headers"] == {"Authorization": "Bearer ${NO_SUCH}"}


def test_what_would_be_lost_is_not_written_over(cli: Any, tmp_path: Path):
    cli(*ADD)
    (file,) = tmp_path.rglob(".mcp.json")
    commented = f"// ours\n{file.read_text()}"
    file.write_text(commented)
    done = cli("mcp", "add", "other", "--", "program")
    assert done.returncode == 2
    assert "comments" in done.stderr
    assert file.read_text() == commented


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--file", "none/.mcp.json", "x", "program"), "'none/.mcp.json' cannot be written: No such file"),
        (("--file", ".", "x", "program"), "'.' cannot be read: Is a directory"),
        (("--file", "config.toml", "x", "program"), "is TOML"),
        (("x", "ftp://example.com/mcp"), "Write http:// or https://"),
        (("--env", "A=b", "x", "https://example.com/mcp"), "takes no --env"),
        (("x", "https://example.com/mcp", "more"), "nothing after it"),
        (("--header", "A: b", "x", "program"), "takes no --header"),
    ],
)
def test_what_cannot_be_added_is_said_and_nothing_is_written(cli: Any, arguments: tuple[str, ...], said: str):
    done = cli("mcp", "add", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*cli.folder.rglob(".mcp.json"), *cli.folder.rglob("config.toml")]


@pytest.mark.parametrize("text", [b"\xff\xfe", b'{"mcpServers": []}', b"[]", b'{"mcpServers": {"a": {}, "a": {}}}'])
def test_a_file_that_is_no_configuration_is_left_as_it_is(cli: Any, text: bytes):
    file = cli.folder / ".mcp.json"
    file.write_bytes(text)
    done = cli("mcp", "add", "x", "program")
    assert done.returncode == 2
    assert done.stderr.startswith("error: '")
    assert ".mcp.json'" in done.stderr
    assert file.read_bytes() == text


def test_nothing_is_served_unasked(cli: Any):
    done = cli("mcp", "serve")
    assert done.returncode == 2
    assert "say what to serve" in done.stderr
    assert "files" in done.stderr


def test_a_server_for_others_needs_a_token(cli: Any):
    done = cli("mcp", "serve", "text", "--http", "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "--token-env" in done.stderr
    unset = cli("mcp", "serve", "text", "--http", "--token-env", "NO_SUCH_VARIABLE")
    assert unset.returncode == 2
    assert "NO_SUCH_VARIABLE" in unset.stderr
