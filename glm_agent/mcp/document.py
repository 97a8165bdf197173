"""A configuration file as it stands: JSON, TOML or YAML -> data, with the line of each key. Does not import ``mcp``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.home import user_home
from glm_agent.mcp.lines import (
    Positions,
    Repeat,
    json_positions,
    json_repeats,
    plain_json,
    toml_positions,
    toml_repeat,
)
from glm_agent.mcp.values import kind

_EDITORS = frozenset(
    {".vscode", ".cursor", ".gemini", ".codex", ".claude", ".roo", ".windsurf", ".kiro", ".amazonq"}
) | {
    *(".qwen", ".zed", ".opencode", ".factory", ".trae", ".continue"),
}
_BARE = frozenset({".gemini", ".qwen"})
"""Folders of programs for which ``$NAME`` without braces is a variable too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One parsed configuration."""

    label: str
    """The file's name; empty for a dict."""
    data: Mapping[str, Any]
    folder: Path
    """What its relative names refer to."""
    environ: Mapping[str, str] = field(repr=False)
    positions: Positions = field(default_factory=dict[tuple[str, ...], int])
    repeats: Sequence[Repeat] = ()
    """Keys that stand twice in one object, anywhere in the file."""
    is_toml: bool = False
    is_bare: bool = False
    cwd: str | None = None

    def where(self, key: str) -> str:
        """``.mcp.json, line 3``, with what is known of it."""
        line = self.positions.get((key,), 0)
        return f"{self.label or 'the dict'}{f', line {line}' if line else ''}"

    def check_repeats(self, place: tuple[str, ...]) -> None:
        """Raise ``ConfigurationError`` for a key that is there twice, in what is read of the file.

        Elsewhere in an editor's settings that is the editor's business.
        """
        for repeat in self.repeats:
            depth = min(len(repeat.path), len(place))
            if repeat.path[:depth] == place[:depth]:
                raise ConfigurationError(_twice(self.label, repeat, place))


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """The file. Raises ``ConfigurationError`` naming file, line and column of what is no JSON and no TOML."""
    text = _text(path)
    if path.suffix in (".yaml", ".yml"):
        return _yaml(path, text, environ)
    is_toml = path.suffix == ".toml"
    folder = _workspace(path.resolve())
    return Document(
        label=_label(path),
        data=_toml(path, text) if is_toml else _json(path, text),
        folder=folder,
        environ=environ,
        positions=toml_positions(text) if is_toml else json_positions(text),
        repeats=() if is_toml else json_repeats(text),
        is_toml=is_toml,
        is_bare=path.resolve().parent.name in _BARE,
        cwd=None if folder == user_home() else str(folder),
    )


def _yaml(path: Path, text: str, environ: Mapping[str, str]) -> Document:
    # Only whoever has such a file needs the library.
    from glm_agent.mcp.yaml_lines import read_yaml

    label, folder = _label(path), _workspace(path.resolve())
    data, positions, repeats = read_yaml(text, label=label)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{label} holds {kind(data)}, not an object with 'mcpServers'")
    return Document(
        label=label,
        data=cast("dict[str, Any]", data),
        folder=folder,
        environ=environ,
        positions=positions,
        repeats=repeats,
        cwd=str(folder),
    )


def _twice(label: str, repeat: Repeat, place: tuple[str, ...]) -> str:
    name, *keys = (*repeat.path[len(place) :], "")
    where = f"{label}, line {repeat.line}"
    if not name:
        return f"{where}: {repeat.path[-1]!r} is there twice, first on line {repeat.first_line}. Make one of the two"
    if not keys[:-1]:
        said = f"the server {name!r} is there twice, first on line {repeat.first_line}"
        return f"{where}: {said}. Remove one of the two, or give it another name"
    key = ".".join(keys[:-1])
    return f"{where}, server {name!r}: {key!r} is there twice, first on line {repeat.first_line}. Remove one of the two"


def _workspace(path: Path) -> Path:
    """The folder that relative names of a file refer to: an editor keeps its file one folder deeper."""
    found = next((folder for folder in path.parents[:2] if folder.name in _EDITORS), None)
    return path.parent if found is None else found.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"the MCP configuration {str(path)!r} does not exist. Check the path") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the MCP configuration {str(path)!r} is not UTF-8. Save it as UTF-8") from None
    except OSError as error:
        said = error.strerror or error
        raise ConfigurationError(f"the MCP configuration {str(path)!r} cannot be read: {said}") from None


def _json(path: Path, text: str) -> Mapping[str, Any]:
    try:
        data: object = json.loads(plain_json(text)) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{_label(path)}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}"
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{_label(path)} is nested too deeply to be a configuration") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{_label(path)} holds {kind(data)}, not an object with 'mcpServers'")
    return cast("dict[str, Any]", data)


def _toml(path: Path, text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = re.sub(r" \(at (?:line \d+, column \d+|end of document)\)$", "", str(error))
        at = re.search(r"\(at (line (\d+), column \d+)\)$", str(error))
        repeat = toml_repeat(text, line=int(at[2])) if at and re.search("twice|overwrite|Duplicate", said) else None
        if repeat is not None:
            place = repeat.path[:1] if len(repeat.path) > 1 else ()
            raise ConfigurationError(_twice(_label(path), repeat, place)) from None
        raise ConfigurationError(f"{_label(path)}, {at[1] if at else 'at its end'}: this is not TOML: {said}") from None


def _label(path: Path) -> str:
    """The file's name as the reader would write it: from here where it is below, else in full."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
