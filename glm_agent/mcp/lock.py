"""The lock file: what every tool of every server was when a person last looked at it. Does not import ``mcp``.

``mcp.lock`` lies beside the configuration file. Its definitions are offered to the model before the servers run,
and a tool that its server now defines differently is kept back until the file says so too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.definition import Definition, Listed, difference, digest, from_json, to_json
from glm_agent.mcp.whole import replace_file
from glm_agent.messages import JsonObject

FILE = "mcp.lock"
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """One server's tools as they were accepted."""

    tools: Mapping[str, Definition] = field(default_factory=dict[str, Definition])


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A tool that is not as it was accepted."""

    name: str
    kind: str
    """``changed``, ``new`` or ``gone``."""
    diff: str = ""


def read(path: Path) -> dict[str, Locked]:
    """The servers of a lock file; none where there is no file.

    Raises ``ConfigurationError`` for a file that cannot be read, or whose hashes do not fit its definitions.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the lock file {str(path)!r} cannot be read: {error}") from None
    try:
        data = json.loads(text)
        if data["version"] != VERSION:
            raise ConfigurationError(f"the lock file {str(path)!r} is of another version. Run: glm-agent mcp lock")
        return {name: _locked(path, name, server) for name, server in data["servers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"the lock file {str(path)!r} is damaged. Run: glm-agent mcp lock") from None


def accepted(path: Path) -> dict[str, Locked]:
    """The servers of a lock file; none where it cannot be trusted, since it is about to be written anew."""
    try:
        return read(path)
    except ConfigurationError:
        return {}


def write(path: Path, servers: Mapping[str, Iterable[Listed]]) -> None:
    """Accept these tools of these servers; other servers in the file stay as they are. Raises ``OSError``."""
    known = {name: locked.tools.values() for name, locked in accepted(path).items()}
    merged: dict[str, Iterable[Listed]] = {**known, **servers}
    data = {"version": VERSION, "servers": {name: _entry(merged[name]) for name in sorted(merged)}}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    replace_file(path, text.encode(), is_private=False)


def changes(locked: Locked, tools: Iterable[Listed]) -> tuple[Change, ...]:
    """What differs between what was accepted and what a server offers now."""
    offered = {tool.name: tool for tool in tools}
    found: list[Change] = []
    for name, old in locked.tools.items():
        new = offered.get(name)
        if new is None:
            found.append(Change(name=name, kind="gone"))
        elif digest(old) != digest(new):
            found.append(Change(name=name, kind="changed", diff=difference(old, new)))
    return (*found, *(Change(name=name, kind="new") for name in offered if name not in locked.tools))


def _locked(path: Path, name: str, server: JsonObject) -> Locked:
    tools: dict[str, Definition] = {}
    for item in cast("list[JsonObject]", server["tools"]):
        tool = from_json(item)
        if digest(tool) != item["hash"]:
            raise ConfigurationError(
                f"the lock file {str(path)!r} was edited: the hash of tool {tool.name!r} of server {name!r} does not "
                "fit its definition. Run: glm-agent mcp lock"
            )
        tools[tool.name] = tool
    return Locked(tools=tools)


def _entry(tools: Iterable[Listed]) -> dict[str, Any]:
    return {"tools": [{**to_json(tool), "hash": digest(tool)} for tool in tools]}
