"""Which files there are: what git knows of, else what a walk finds and no ``.gitignore`` excludes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

from glm_agent import ToolError
from glm_agent_tools.git_command import GitFailed, git
from glm_agent_tools.workspace import Workspace

MAX_FILES: Final = 200_000

_NEVER: Final = frozenset(
    {".git", ".hg", ".svn", ".glm-agent", "__pycache__", "node_modules", ".venv", ".tox", ".mypy_cache", ".ruff_cache"}
)
"""Folders that are nobody's work; git leaves out most of them by itself."""


def files_under(workspace: Workspace, folder: str, *, pattern: str = "", tracked_only: bool = False) -> list[str]:
    """The regular files under ``folder`` whose path below it matches, sorted; relative to the workspace's root.

    ``pattern`` is that of a ``.gitignore`` line, with ``{a,b}`` for alternatives.
    """
    top = workspace.folder(folder)
    prefix = "" if top == workspace.root else f"{top.relative_to(workspace.root).as_posix()}/"
    wanted = _matcher(pattern)
    names = (name for name in _names(top, tracked_only=tracked_only) if wanted is None or wanted.match_file(name))
    found = (prefix + name for name in names if _is_plain(top, name))
    return sorted(islice(found, MAX_FILES))


def _names(top: Path, *, tracked_only: bool) -> Iterator[str]:
    others = () if tracked_only else ("--others", "--exclude-standard")
    try:
        listed = git(top, "ls-files", "-z", "--cached", *others).split("\0")
    except GitFailed:
        return _walk(top)
    return iter(sorted({name for name in listed if name and not _is_private(name)}))


def _is_private(name: str) -> bool:
    return name.startswith(".glm-agent/") or "/.glm-agent/" in name


def _is_plain(top: Path, name: str) -> bool:
    """Links are left out: they lead to files that are listed themselves, or outside. So are submodules."""
    path = top / name
    return path.is_file() and not path.is_symlink()


def _walk(top: Path) -> Iterator[str]:
    rules: dict[str, GitIgnoreSpec] = {}
    for here, folders, names in os.walk(top):
        inside = Path(here).relative_to(top).as_posix()
        at = "" if inside == "." else f"{inside}/"
        if ".gitignore" in names:
            rules[at] = _read_rules(Path(here) / ".gitignore")
        folders[:] = sorted(name for name in folders if name not in _NEVER and not _is_ignored(f"{at}{name}/", rules))
        yield from (at + name for name in sorted(names) if not _is_ignored(at + name, rules))


def _read_rules(file: Path) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(file.read_text(errors="replace").splitlines())
    except (OSError, ValueError):
        return GitIgnoreSpec.from_lines([])


def _is_ignored(name: str, rules: dict[str, GitIgnoreSpec]) -> bool:
    """The word of the deepest ``.gitignore`` that says something."""
    for at in sorted((at for at in rules if name.startswith(at)), key=len, reverse=True):
        said = rules[at].check_file(name[len(at) :]).include
        if said is not None:
            return said
    return False


def _matcher(pattern: str) -> GitIgnoreSpec | None:
    if pattern in ("", "*", "**", "**/*"):
        return None
    try:
        return GitIgnoreSpec.from_lines(_alternatives(pattern.removeprefix("./")))
    except ValueError as error:
        raise ToolError(f"'{pattern}' is no pattern ({error}): write one such as '*.py' or 'src/**/*.py'") from None


def _alternatives(pattern: str) -> list[str]:
    """``*.{ts,tsx}`` as ``*.ts`` and ``*.tsx``; the first braces only, which is what people write."""
    before, brace, rest = pattern.partition("{")
    inside, close, after = rest.partition("}")
    if not brace or not close or len(inside) > 200:
        return [pattern]
    return [f"{before}{each.strip()}{after}" for each in inside.split(",")]
