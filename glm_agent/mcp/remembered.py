"""What a server was like when it was last here, kept in the user's cache: its tools, and which protocol it speaks.

With it a run begins without waiting for its servers. A record is good as long as the server said that its list holds,
and is told apart by everything that the server is started or reached with, the program's files included: who edits
a server does not meet the tools of the old one. No setting of a server stands in the file. Does not import ``mcp``.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from platformdirs import user_cache_path

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Definition, Listed, from_json, to_json
from glm_agent.mcp.whole import replace_file

CACHE_DIR = "GLM_AGENT_CACHE_DIR"
"""The variable that names the folder; set to nothing, nothing is remembered."""

DEFAULT_TTL_SECONDS = 3600.0
"""Of a list of which the server does not say for how long it holds: servers before protocol 2026-07-28 cannot."""
MAX_TTL_SECONDS = 86_400.0
ERA_SECONDS = 7 * 86_400.0
"""After this a server is asked again whether it speaks the newer protocol."""

MAX_BYTES = 8 << 20
"""A record above this is not kept."""

MAX_RECORDS = 200
"""Beyond these the oldest are deleted."""

_SCRIPTS = frozenset({".py", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".sh", ".rb", ".php", ".jar"})

_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """One server as it was."""

    tools: tuple[Definition, ...] | None = None
    """Its tools; None where they no longer hold."""
    is_legacy: bool = False
    """Whether it speaks no protocol that is newer than 2025-11-25."""


class Memory:
    """Records of servers in a folder of the user; a folder that cannot be used remembers nothing."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def load(self, config: ServerConfig) -> Remembered:
        """What is known of the server."""
        try:
            data = json.loads(self._path(config).read_bytes())
            if data["version"] != _VERSION:
                return Remembered()
            now = self._clock()
            tools = tuple(map(from_json, data["tools"])) if now < data["toolsUntil"] else None
            return Remembered(tools=tools, is_legacy=bool(data["isLegacy"]) and now < data["eraUntil"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Remembered()

    def keep(
        self, config: ServerConfig, *, tools: Iterable[Listed], ttl_seconds: float | None, is_legacy: bool
    ) -> None:
        """Remember the server; ``ttl_seconds`` is what it said, None where it said nothing."""
        if config.transport == "memory":
            return
        ttl = DEFAULT_TTL_SECONDS if ttl_seconds is None else min(ttl_seconds, MAX_TTL_SECONDS)
        now = self._clock()
        record = {
            "version": _VERSION,
            "isLegacy": is_legacy,
            "eraUntil": now + ERA_SECONDS,
            "toolsUntil": now + ttl if ttl > 0 else 0,
            "tools": [to_json(tool) for tool in tools] if ttl > 0 else [],
        }
        data = json.dumps(record, ensure_ascii=True).encode()
        with suppress(OSError):
            if len(data) <= MAX_BYTES:
                self._write(self._path(config), data)

    def forget(self, config: ServerConfig) -> None:
        """Forget the server: it is not what it was."""
        with suppress(OSError):
            self._path(config).unlink(missing_ok=True)

    def _path(self, config: ServerConfig) -> Path:
        return self.folder / f"{key(config)}.json"

    def _write(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, data)
        for old in sorted(self.folder.glob("*.json"), key=lambda file: -file.stat().st_mtime)[MAX_RECORDS:]:
            old.unlink(missing_ok=True)


def of_user() -> Memory | None:
    """The user's memory, in the folder that ``GLM_AGENT_CACHE_DIR`` names, else in the user's cache.

    None where the variable is set to nothing, or the user has no home.
    """
    named = os.environ.get(CACHE_DIR)
    if named is not None:
        return Memory(Path(named) / "mcp") if named else None
    try:
        return Memory(user_cache_path("glm-agent", appauthor=False) / "mcp")
    except RuntimeError:  # platformdirs finds no home
        return None


def key(config: ServerConfig) -> str:
    """The same for the same server; a digest, so that nothing of its settings can be read from it."""
    parts: dict[str, Any] = {
        "transport": config.transport,
        "command": [config.command, *config.args],
        "env": sorted(config.env.items()),
        "cwd": config.cwd or (os.getcwd() if config.command else ""),
        "url": config.url,
        "headers": sorted(config.headers.items()),
        "oauth": repr(config.oauth) if config.oauth else "",
        "programs": [_stamp(Path(config.cwd or "."), word) for word in _programs(config)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _programs(config: ServerConfig) -> list[str]:
    scripts = [word for word in config.args if PurePath(word).suffix in _SCRIPTS]
    return [config.command, *scripts] if config.command else []


def _stamp(folder: Path, word: str) -> list[int] | None:
    """When a program that the command names was changed, and its size; None for a word that is none."""
    try:
        found = (folder / word).stat()
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_size] if stat.S_ISREG(found.st_mode) else None
