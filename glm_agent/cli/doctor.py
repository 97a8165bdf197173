"""``glm-agent doctor``: what is installed here, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import typer

_PACKAGES = ("glm-agent", "mcp", "pydantic", "anyio", "httpx2")
_KEYS = ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY")
_BASES = ("ZAI_BASE_URL", "ZHIPUAI_BASE_URL", "GLM_BASE_URL")
_PROGRAMS = {
    "node": "for MCP servers in JavaScript: https://nodejs.org",
    "npx": "for `npx …` servers: it comes with Node.js",
    "uvx": "for `uvx …` servers: pip install uv",
    "git": "for tools that read repositories",
}


def doctor() -> None:
    """Check this installation; it never shows a key and asks no network.

    Example: glm-agent doctor
    """
    for is_good, what, detail in _findings():
        typer.echo(f"{'ok     ' if is_good else 'missing'}  {what:<14} {detail}")


def _findings() -> Iterator[tuple[bool, str, str]]:
    yield sys.version_info >= (3, 11), "python", f"{platform.python_version()} ({sys.executable})"
    for package in _PACKAGES:
        found = _version(package)
        yield bool(found), package, found or "pip install glm-agent"
    keys = [name for name in _KEYS if os.environ.get(name)]
    yield bool(keys), "key", f"{', '.join(keys)} set" if keys else f"set one of {', '.join(_KEYS)}, or use simulate:…"
    for name in _BASES:
        if address := os.environ.get(name):
            yield True, name, address
    for program, hint in _PROGRAMS.items():
        path = shutil.which(program)
        yield path is not None, program, f"{_answer(path)} ({path})" if path else hint
    yield _journal()
    yield from _plugins()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _answer(path: str) -> str:
    """What a program says to ``--version``, on one line."""
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not answer: {type(error).__name__}"
    return (asked.stdout or asked.stderr).strip().splitlines()[0] if asked.stdout or asked.stderr else ""


def _journal() -> tuple[bool, str, str]:
    from glm_agent.journal import Journal

    path = Journal().path
    folder = next(parent for parent in path.parents if os.path.exists(parent))
    return os.access(folder, os.W_OK), "journal", f"{path}{'' if os.path.exists(path) else ' (made at first use)'}"


def _plugins() -> Iterator[tuple[bool, str, str]]:
    from importlib.metadata import entry_points

    names = sorted(point.name for point in entry_points(group="glm_agent.tools"))
    yield bool(names), "tools", ", ".join(names) or "none installed"
