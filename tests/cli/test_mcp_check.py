"""``mcp check`` and ``mcp list --json``: what GLM sees of a server, what it costs, and what was mended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NASTY = str(Path(__file__).parents[1] / "servers" / "nasty.py")


def test_what_was_mended_about_a_tool_stands_below_it(cli: Any):
    done = cli("mcp", "check", f"{sys.executable} {NASTY} no_schema")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("nasty: ")
    (bad,) = (at for at, line in enumerate(lines) if line.startswith("nasty__bad "))
    assert lines[bad + 1] == "mended: its inputSchema is missing"


def test_what_is_checked_is_json_for_a_program(cli: Any):
    done = cli("mcp", "check", f"{sys.executable} {NASTY} hidden_text", "no-such-program-x", "--json")
    assert done.returncode == 1
    nasty, gone = json.loads(done.stdout)["servers"]
    assert (nasty["server"], nasty["state"], nasty["error"]) == ("nasty", "ready", None)
    bad = next(tool for tool in nasty["tools"] if tool["name"] == "nasty__b_ad")
    assert bad["description"] == "See red it."
    assert bad["parameters"]["type"] == "object"
    assert any("characters that nobody sees were removed" in said for said in bad["mended"])
    assert nasty["tokens"] == sum(tool["tokens"] for tool in nasty["tools"])
    assert (gone["state"], gone["tools"]) == ("failed", None)
    assert "was not found" in gone["error"]


def test_a_list_as_json_starts_nothing_and_hides_secrets(cli: Any):
    servers = {"s": {"command": "no-such-program-x", "args": ["--key", "shh"], "env": {"K": "shh"}}}
    servers["off"] = {"url": "https://u:shh@x.example/mcp?key=shh", "disabled": True}  # type: ignore[dict-item]
    (cli.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    done = cli("mcp", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert "shh" not in done.stdout
    assert [(row["server"], row["state"]) for row in json.loads(done.stdout)["servers"]] == [
        ("s", "not started"),
        ("off", "disabled"),
    ]
