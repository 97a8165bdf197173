"""Configuration files of MCP clients, as they are found in the wild. Does not import ``mcp``.

A file is JSON (comments and trailing commas allowed), TOML or YAML. The servers stand under ``mcpServers``
(Claude, Cursor, Windsurf, Gemini, Copilot, Cline, Continue), ``servers`` (VS Code), ``mcp.servers`` (VS Code's
settings), ``mcp_servers`` (Codex), ``context_servers`` (Zed) or ``mcp`` (OpenCode). What one
server's entry may say is in ``entry``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from glm_agent.errors import ConfigurationError
from glm_agent.mcp import entry
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.document import Document, read_document
from glm_agent.mcp.lock import FILE
from glm_agent.mcp.values import Context, kind
from glm_agent.mcp.variables import Variables

_PLACES = (
    ("mcpServers",),
    ("mcp_servers",),
    ("context_servers",),
    ("amp.mcpServers",),
    ("servers",),
    ("mcp", "servers"),
    ("mcp", "mcpServers"),
    ("mcp",),
)


def read_file(path: Path, environ: Mapping[str, str], warnings: list[str]) -> tuple[ServerConfig, ...]:
    """The servers of a file. Raises ``ConfigurationError`` naming file, line and key."""
    document = read_document(path, environ)
    lock = str(path.parent / FILE)
    return tuple(replace(config, lock=lock) for config in _servers(document, warnings))


def read_mapping(
    data: Mapping[str, Any], environ: Mapping[str, str], folder: Path, warnings: list[str]
) -> tuple[ServerConfig, ...]:
    """The servers of a dict: one entry, a map of entries, or what a whole file would hold."""
    document = Document(label="", data=data, folder=folder, environ=environ)
    if "name" in data or entry.looks_like_one(data):
        name = data.get("name")
        rest = {key: value for key, value in data.items() if key != "name"}
        return (entry.read_entry(str(name) if name else "", rest, _context(document, (), ""), warnings),)
    return _servers(document, warnings)


def _servers(document: Document, warnings: list[str]) -> tuple[ServerConfig, ...]:
    place, entries = _entries(document)
    document.check_repeats(place)
    warnings += _unread(document, place)
    inputs = _inputs(document.data)
    found: list[ServerConfig] = []
    for name, data in entries.items():
        context = _context(document, (*place, name), name, inputs)
        if not isinstance(data, Mapping):
            raise ConfigurationError(f"{context.where()} is {kind(data)}, not an object with 'command' or 'url'")
        config = entry.read_entry(name, cast("Mapping[str, Any]", data), context, warnings)
        found.append(config if _is_let_in(name, document.data) else replace(config, is_disabled=True))
    return tuple(found)


def _is_let_in(name: str, data: Mapping[str, Any]) -> bool:
    """Whether the program's own list of servers (Gemini) has it."""
    lists = data.get("mcp")
    if not isinstance(lists, Mapping):
        return True
    allowed, excluded = (cast("Mapping[str, object]", lists).get(key) for key in ("allowed", "excluded"))
    is_named = not isinstance(allowed, list) or name in allowed
    return is_named and not (isinstance(excluded, list) and name in excluded)


def _entries(document: Document) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Where the servers stand, and the servers."""
    for place in _PLACES:
        value: Any = document.data
        for key in place:
            value = cast("Mapping[str, Any]", value).get(key) if isinstance(value, Mapping) else None
        if value and isinstance(value, list) and place == ("mcpServers",):
            return place, _by_name(cast(object, value), document)
        if isinstance(value, Mapping) and (place != ("mcp",) or _are_entries(cast("Mapping[str, Any]", value))):
            return place, cast("Mapping[str, Any]", value)
        if value is not None and len(place) == 1 and place != ("mcp",):
            found = kind(cast(object, value))
            raise ConfigurationError(f"{document.label or 'the dict'}: {place[0]!r} is {found}, not an object")
    if _are_entries(document.data):
        return (), document.data
    raise ConfigurationError(
        f"{document.label or 'the dict'} names no MCP servers{_meant(document)}. "
        'Write {"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}'
    )


def _by_name(listed: object, document: Document) -> Mapping[str, Any]:
    """Servers that stand in a list, each with its name (Continue)."""
    found: dict[str, Any] = {}
    for item in cast("list[object]", listed):
        name = cast("Mapping[str, Any]", item).get("name") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{document.where('mcpServers')}: a server of the list has no 'name'. Give it one")
        if name in found:
            raise ConfigurationError(f"{document.where('mcpServers')}: the list has two servers named {name!r}")
        found[name] = item
    return found


def _unread(document: Document, place: tuple[str, ...]) -> list[str]:
    """A warning for servers that stand at a second place of the same file."""
    others = [key for (key, *rest) in _PLACES if not rest and key not in ("mcp", *place[:1])]
    return [
        f"{document.where(key)}: {key!r} is not read, since the servers of {'.'.join(place)!r} are. Put them together"
        for key in others
        if place
        and isinstance(value := document.data.get(key), Mapping)
        and _are_entries(cast("Mapping[str, Any]", value))
    ]


def _are_entries(data: Mapping[str, Any]) -> bool:
    return bool(data) and all(entry.looks_like_one(value) for value in data.values())


def _meant(document: Document) -> str:
    """The key that may have been meant to hold them, with its line."""
    for key in document.data:
        if close := difflib.get_close_matches(key.lower(), ("mcpservers", "mcp_servers"), n=1, cutoff=0.8):
            line = document.positions.get((key,), 0)
            wanted = {"mcpservers": "mcpServers"}.get(close[0], close[0])
            return f": {f'line {line}, ' if line else ''}{key!r} is not known. Did you mean {wanted!r}?"
    return ""


def _context(document: Document, path: tuple[str, ...], name: str, inputs: Mapping[str, str] | None = None) -> Context:
    variables = Variables(
        environ=document.environ,
        folder=document.folder,
        inputs=inputs or {},
        is_bare=document.is_bare,
        is_plain=path[:1] == ("mcp",),
    )
    return Context(
        label=document.label,
        server=name,
        path=path,
        positions=document.positions,
        variables=variables,
        cwd=document.cwd,
        seconds_per_unit=1.0 if document.is_toml else 0.001,
    )


def _inputs(data: Mapping[str, Any]) -> Mapping[str, str]:
    """Defaults of VS Code's inputs, by id."""
    listed = data.get("inputs")
    items = cast("list[object]", listed) if isinstance(listed, list) else []
    inputs = [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]
    return {str(item["id"]): str(item["default"]) for item in inputs if "id" in item and "default" in item}
