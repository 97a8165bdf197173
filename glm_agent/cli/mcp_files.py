"""``glm-agent mcp add``: a server is put into the configuration file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from glm_agent.cli.exits import fail, reporting, say


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its tools are called after.")],
    target: Annotated[
        list[str], typer.Argument(metavar="COMMAND|URL", help="A command with its arguments, or an address.")
    ],
    *,
    file: Annotated[Path, typer.Option("--file", help="The configuration file; made if it is not there.")] = Path(
        ".mcp.json"
    ),
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="NAME=value for a command; repeatable.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", help="'Name: value' for an address; repeatable.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Believe what it says about its tools.")] = False,
) -> None:
    """Put a server into the configuration file. What stands there already stays as it is.

    Example: glm-agent mcp add time -- uvx mcp-server-time
    """
    with reporting():
        data = _configuration(file)
        place = next((key for key in ("mcpServers", "servers") if key in data), "mcpServers")
        servers = data.setdefault(place, {})
        if not isinstance(servers, dict):
            fail(f"{place!r} in {str(file)!r} is no JSON object")
        if name in servers:
            fail(f"{str(file)!r} has a server {name!r} already: remove it there, or use another name")
        servers[name] = entry = _entry(target, env or [], header or [], is_trusted=trust)
        unset = _check({name: entry}, folder=file.resolve().parent)
        _write(file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    for variable in unset:
        say(f"warning: {name} needs the variable {variable!r}, which is not set")
    say(f"{name} stands in {file}. To see whether it starts: glm-agent mcp check {file}")


def _configuration(file: Path) -> dict[str, Any]:
    from glm_agent.mcp.lines import json_repeats, plain_json

    if file.suffix == ".toml":
        fail(f"{str(file)!r} is TOML, and only JSON can be written: put the server in by hand")
    if not os.path.exists(file):
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{str(file)!r} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}")
    try:
        data = json.loads(plain_json(text) or "{}")
    except (ValueError, RecursionError) as error:
        fail(f"{str(file)!r} is not JSON: {error}")
    for repeat in json_repeats(text):
        where = f"{str(file)!r}, line {repeat.line}"
        fail(f"{where}: {repeat.path[-1]!r} is there twice, first on line {repeat.first_line}: remove one of the two")
    if plain_json(text) != text:
        fail(f"{str(file)!r} has comments or trailing commas, which would be lost: put the server in by hand")
    if not isinstance(data, dict):
        fail(f"{str(file)!r} is no JSON object")
    return data  # pyright: ignore[reportUnknownVariableType]


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{str(file)!r} cannot be written: {error.strerror or error}")


def _check(servers: dict[str, Any], *, folder: Path) -> list[str]:
    """Raise ``ConfigurationError`` for what cannot be; the variables that are not set here: they may be elsewhere."""
    from glm_agent.mcp.sources import read_servers

    named = dict.fromkeys(re.findall(r"\$\{(?:env:)?(\w+)\}", json.dumps(servers)))
    unset = [name for name in named if name not in os.environ]
    read_servers([{"mcpServers": servers}], environ={**dict.fromkeys(unset, "x"), **os.environ}, folder=folder)
    return unset


def _entry(target: Sequence[str], env: Sequence[str], headers: Sequence[str], *, is_trusted: bool) -> dict[str, Any]:
    more: dict[str, Any] = {"trust": True} if is_trusted else {}
    if "://" in target[0]:
        if env or len(target) > 1:
            fail("an address takes no --env and nothing after it: write its keys as --header 'Name: value'")
        pairs = dict(_pair(item, ":", "--header") for item in headers)
        return {"type": "http", "url": target[0], **({"headers": pairs} if pairs else {}), **more}
    if headers:
        fail("a command takes no --header: write its keys as --env NAME=value")
    pairs = dict(_pair(item, "=", "--env") for item in env)
    return {"command": target[0], "args": list(target[1:]), **({"env": pairs} if pairs else {}), **more}


def _pair(item: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = item.partition(separator)
    if not found or not name.strip():
        fail(f"{option} {item.split(separator, maxsplit=1)[0]!r} has no {separator!r}: write NAME{separator}value")
    return name.strip(), value.strip()
