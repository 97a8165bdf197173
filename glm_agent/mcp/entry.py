"""One server's entry in a configuration file -> ``ServerConfig``. Pure.

Editors agree on ``command``, ``args``, ``env``, ``url`` and ``headers`` and differ in the rest (``fields``). A key
that is known and not acted on, and a key that nobody knows, are warnings: the file may be meant for several
programs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from glm_agent.mcp import names
from glm_agent.mcp.config import ServerConfig, check
from glm_agent.mcp.fields import FIELDS, FOR_PEOPLE, NOT_ACTED_ON, SAYS_TRANSPORT
from glm_agent.mcp.home import expanded
from glm_agent.mcp.values import Context, flag

_SWITCHES = ("disabled", "enabled", "active", "isActive")


def looks_like_one(data: object) -> bool:
    """Whether a value is a server's entry rather than a map of them."""
    if not isinstance(data, Mapping):
        return False
    entry = cast("Mapping[str, object]", data)
    return any(isinstance(entry.get(key), (str, list)) for key in ("command", "url", "httpUrl", "serverUrl")) or (
        isinstance(entry.get("command"), Mapping) and "path" in cast("Mapping[str, object]", entry["command"])
    )


def read_entry(name: str, data: Mapping[str, Any], context: Context, warnings: list[str]) -> ServerConfig:
    """The server that the entry describes. Raises ``ConfigurationError``; what is merely odd is a warning."""
    config = ServerConfig(name=names.clean(name), origin=context.where(), cwd=context.cwd)
    if _is_foreign(data):
        warnings.append(
            f"{context.where()} is part of an extension of an editor, which has its command: it is left out"
        )
        return replace(config, name=config.name or "server", is_disabled=True)
    if _is_disabled(data, context):
        # Not looked at further: a server that is switched off may well lack its variables.
        return replace(config, name=config.name or "server", is_disabled=True)
    for key, value in data.items():
        if key in FIELDS:
            config = FIELDS[key](config, key, value, context)
        elif key not in FOR_PEOPLE and key not in _SWITCHES:
            warnings.append(_unknown(key, context))
    config = _settled(config, data, context)
    return check(config if config.name else replace(config, name=_derived(config)))


def _derived(config: ServerConfig) -> str:
    return names.from_url(config.url) if config.url else names.from_command([config.command, *config.args])


def _settled(config: ServerConfig, data: Mapping[str, Any], context: Context) -> ServerConfig:
    """The transport that follows from the keys, and paths that begin at the right folder."""
    said = any(key in data for key in SAYS_TRANSPORT)
    if config.url and (not said or config.transport == "stdio"):
        config = replace(config, transport="http")
    if not config.command:
        return replace(config, cwd=None)
    folder = context.variables.folder
    cwd = str(folder / expanded(config.cwd)) if config.cwd else config.cwd
    command = config.command
    if command.startswith("~"):
        command = str(expanded(command))
    elif "/" in command and not Path(command).is_absolute() and context.label:
        command = str(folder / command)
    return replace(config, command=command, cwd=cwd)


def _is_disabled(data: Mapping[str, Any], context: Context) -> bool:
    switches = {key: flag(data[key], context, key) for key in _SWITCHES if key in data}
    return any(is_on == (key == "disabled") for key, is_on in switches.items())


def _is_foreign(data: Mapping[str, Any]) -> bool:
    """Whether the entry only sets up a server that an editor's extension brings (Zed)."""
    has_target = any(key in data for key in ("command", "url"))
    return not has_target and (data.get("source") == "extension" or "settings" in data)


def _unknown(key: str, context: Context) -> str:
    if key in NOT_ACTED_ON:
        return f"{context.where(key)}: {key!r} is not acted on: {NOT_ACTED_ON[key]}"
    close = difflib.get_close_matches(key, [*FIELDS, *NOT_ACTED_ON], n=1)
    return f"{context.where(key)}: {key!r} is not known and was ignored." + (
        f" Did you mean {close[0]!r}?" if close else ""
    )
