"""Forms of servers in the terminal, and without one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SERVER = str(Path(__file__).parent.parent / "servers" / "asking.py")


@pytest.fixture
def servers(tmp_path: Path) -> str:
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": {"asking": {"command": sys.executable, "args": [SERVER]}}}))
    return str(path)


def test_a_form_is_filled_in_on_the_terminal(cli: Any, terminals: list[Any], servers: str):
    terminal = cli.on_terminal("run", "call asking__order {}", "--model", "simulate:directive", "--mcp-config", servers)
    terminals.append(terminal)
    terminal.wait_for("the MCP server 'asking' asks: What may it be?")
    terminal.wait_for("Full name>")
    terminal.type("Ada\n")
    terminal.wait_for("size [large]>")
    terminal.type("1\n")
    terminal.wait_for("hot [yes]>")
    terminal.type("\n")
    terminal.wait_for("send it")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert '{"name": "Ada", "size": "small", "hot": true}' in terminal.shown


def test_without_a_terminal_a_form_is_declined_and_standard_error_says_so(cli: Any, servers: str):
    done = cli("run", "call asking__order {}", "--model", "simulate:directive", "--mcp-config", servers)
    assert '"action": "decline"' in done.stdout
    assert "Nobody is here to answer: declined" in done.stderr


def test_a_tool_that_is_called_by_hand_asks_too(cli: Any, terminals: list[Any], servers: str):
    terminal = cli.on_terminal("mcp", "call", "asking__enter", "{}", "--mcp-config", servers)
    terminals.append(terminal)
    terminal.wait_for("https://login.example/x")
    terminal.type("y\n")
    assert terminal.end() == 0
    assert '{"action": "accept"}' in terminal.shown
    unattended = cli("mcp", "call", "asking__enter", "{}", "--mcp-config", servers)
    assert '{"action": "decline"}' in unattended.stdout
