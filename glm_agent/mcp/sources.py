"""The many ways to name a server -> configurations. Does not import ``mcp``.

A source is: a configuration file of any MCP client (``.mcp.json``, VS Code, Cursor, Gemini, Codex), a
command line (``"uvx mcp-server-time"``), an address (``"https://…/mcp"``), a dict as it stands in such a
file, a ``ServerConfig``, or a server object of the MCP SDK, which then runs inside this process.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from glm_agent.errors import ConfigurationError
from glm_agent.mcp import masking, names
from glm_agent.mcp.config import ServerConfig, check
from glm_agent.mcp.files import read_file, read_mapping
from glm_agent.mcp.home import expanded
from glm_agent.mcp.hosted import hosted_server
from glm_agent.mcp.lock import FILE

_FORMS = (
    "a file (.mcp.json), a command line ('uvx mcp-server-time'), an address ('https://…/mcp'), "
    "a dict with 'command' or 'url', a ServerConfig, or an mcp.server.MCPServer"
)


def read_servers(
    sources: Iterable[object],
    *,
    environ: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
) -> tuple[tuple[ServerConfig, ...], tuple[str, ...]]:
    """The servers that the sources name, and warnings for a person.

    ``folder`` is what relative file names refer to. Names are unique in the answer: a server that was given
    twice with the same settings is one server, the second of two different ones gets a number. Raises
    ``ConfigurationError``.
    """
    if isinstance(sources, (str, bytes, Mapping)):
        sources = (cast(object, sources),)
    environ = os.environ if environ is None else environ
    base = Path.cwd() if folder is None else Path(folder)
    found: list[ServerConfig] = []
    warnings: list[str] = []
    for source in sources:
        for config in _read(source, environ, base, warnings):
            _add(found, config if config.lock else replace(config, lock=str(base / FILE)), warnings)
    return tuple(found), tuple(warnings)


def _read(source: object, environ: Mapping[str, str], base: Path, warnings: list[str]) -> tuple[ServerConfig, ...]:
    if isinstance(source, ServerConfig):
        return (check(source),)
    if isinstance(source, os.PathLike):
        return read_file(base / Path(cast("os.PathLike[str]", source)), environ, warnings)
    if isinstance(source, str):
        return _from_text(source.strip(), environ, base, warnings)
    if isinstance(source, Mapping):
        return read_mapping(cast("Mapping[str, Any]", source), environ, base, warnings)
    if _is_server_object(source):
        return (_from_object(source),)
    raise ConfigurationError(f"{type(source).__name__!r} is no MCP server. Pass {_FORMS}")


def _from_text(text: str, environ: Mapping[str, str], base: Path, warnings: list[str]) -> tuple[ServerConfig, ...]:
    if not text:
        raise ConfigurationError(f"an empty text names no MCP server. Pass {_FORMS}")
    if (hosted := hosted_server(text, environ)) is not None:
        return (hosted,)
    if text.startswith(("http://", "https://")):
        url = _filled(text, text, environ)
        return (check(ServerConfig(name=names.from_url(url), transport="http", url=url)),)
    path = base / expanded(text)
    if text.endswith((".json", ".jsonc", ".json5", ".toml", ".yaml", ".yml")) and (
        os.path.exists(path) or " " not in text
    ):
        return read_file(path, environ, warnings)
    return (_from_command(text, environ),)


def _from_command(text: str, environ: Mapping[str, str]) -> ServerConfig:
    try:
        argv = [_filled(word, text, environ) for word in shlex.split(text)]
    except ValueError as error:
        shown = masking.kept(text, environ)
        raise ConfigurationError(f"the command {shown!r} cannot be read: {error}. Close the quotes") from None
    assignments = 0
    while assignments < len(argv) - 1 and _is_assignment(argv[assignments]):
        assignments += 1
    env = dict(word.split("=", 1) for word in argv[:assignments])
    command, *args = argv[assignments:]
    return ServerConfig(name=names.from_command([command, *args]), command=command, args=tuple(args), env=env)


def _filled(word: str, source: str, environ: Mapping[str, str]) -> str:
    """A word with the variables that stand in the place of its secrets, as a session keeps a command."""
    if masking.HIDDEN in word:
        raise ConfigurationError(f"{source!r} was kept without its secret. Give the server once more: --mcp-config")
    for name in re.findall(r"\$\{env:(\w+)\}", word):
        if not environ.get(name):
            raise ConfigurationError(f"{source!r} needs the variable {name!r}, which is not set. Set it")
        word = word.replace(f"${{env:{name}}}", environ[name])
    return word


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _is_server_object(source: object) -> bool:
    """Whether it is a server of the SDK; whoever has one has imported the SDK, so nothing is imported here."""
    module = sys.modules.get("mcp.server")
    kinds = tuple(getattr(module, name) for name in ("Server", "MCPServer") if hasattr(module, name))
    return isinstance(source, kinds)


def _from_object(source: object) -> ServerConfig:
    name = names.clean(str(getattr(source, "name", "") or "")) or "server"
    return ServerConfig(name=name, transport="memory", instance=source)


def _add(found: list[ServerConfig], config: ServerConfig, warnings: list[str]) -> None:
    if any(replace(config, origin="", lock="") == replace(known, origin="", lock="") for known in found):
        return
    name = names.unique(config.name, {known.name for known in found})
    if name != config.name and config.origin:
        warnings.append(f"{config.origin}: a server named {config.name!r} exists already; this one is called {name!r}")
    found.append(replace(config, name=name))
