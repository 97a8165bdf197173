"""Names: of a server that was given without one, and of a tool as the model may call it. Pure.

The wire allows ``^[a-zA-Z0-9_-]{1,64}$`` for a tool (GLM, and every other provider), MCP allows
anything. So a name is cleaned, cut with a hash where it is too long, and made unique; what the
server calls its tool is kept beside it, untouched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from glm_agent.mcp import masking

LONGEST = 64
"""Characters of a tool's name. Source: Zhipu OpenAPI of 2026-07-11, FunctionObject.name."""

_LAUNCHERS = frozenset(
    {"uvx", "npx", "bunx", "pipx", "uv", "bun", "pnpm", "yarn", "deno", "node", "docker", "podman", "env", "tsx", "cmd"}
)
_PYTHON = re.compile(r"python[\d.]*(w)?$")
_VERBS = frozenset({"run", "dlx", "exec", "tool", "x", "-m", "/c", "/C"})
_NAMES_PACKAGE = frozenset({"--from", "--package", "--spec"})
_TAKES_VALUE = frozenset(
    {"--from", "--with", "--python", "-p", "--package", "--directory", "-e", "--env", "-v", "--volume", "--network"}
)
_EXTENSION = re.compile(r"\.(py|pyz|js|mjs|cjs|ts|mts|sh|exe|cmd|bat)$", re.IGNORECASE)
_VERSION = re.compile(r"(?<=.)(@|==|>=|<=|~=|!=|>|<|\[|:).*$")
_FILLER = frozenset({"mcp", "server"})


def from_command(argv: Sequence[str]) -> str:
    """A server's name from its command line: the program's, without path, version, ``mcp`` and ``server``.

    ``uvx mcp-server-time`` is ``time``, ``npx -y @playwright/mcp@latest`` is ``playwright``,
    ``python3 tools/srv.py`` is ``srv``.
    """
    program = masking.without((), _program(argv))
    scope, _, package = program.partition("/") if program.startswith("@") else ("", "", program)
    base = _EXTENSION.sub("", _VERSION.sub("", re.split(r"[/\\]", package)[-1]))
    return clean(_without_filler(base) or _without_filler(scope.lstrip("@")) or base or scope) or "server"


def from_url(url: str) -> str:
    """A server's name from its address: the last telling part of the path, else of the host."""
    parts = urlsplit(url)
    path = [part for part in parts.path.split("/") if not re.fullmatch(r"|.|mcp|sse|api|v\d+", part)]
    path = [part for part in path if not masking.is_random(part)]
    if path:
        return clean(_without_filler(path[-1]) or path[-1]) or "server"
    host = parts.hostname or "server"
    labels = [label for label in host.split(".") if label not in ("www", "mcp", "api")]
    is_address = ":" in host or all(label.isdigit() for label in labels)
    return clean(host if is_address or len(labels) < 2 else labels[-2]) or "server"


def package(argv: Sequence[str]) -> str:
    """What a launcher such as npx, uvx or python3 fetches or starts; empty for a program that is started itself."""
    if not argv or not _is_launcher(argv[0]):
        return ""
    flags = _NAMES_PACKAGE | ({"-p"} if "npx" in argv[0] else set[str]())
    for word, following in zip(argv, (*argv[1:], ""), strict=True):
        flag, equals, value = word.partition("=")
        if flag in flags:
            return value if equals else following
    found = _program(argv)
    return "" if found == argv[0] or found.startswith("-") else found


def offered(server: str, tool: str) -> str:
    """The tool's name as the model calls it: ``server__tool``, or the tool's alone without a server."""
    raw = f"{server}__{tool}" if server else tool
    name = clean(raw)
    return name if 0 < len(name) <= LONGEST else hashed(raw)


def hashed(raw: str) -> str:
    """The name cut and marked with a hash of all of it: for what is too long, and for what would collide."""
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean(raw)[: LONGEST - 9]}_{digest}"


def clean(name: str) -> str:
    """The name in the alphabet of the wire; empty when nothing of it is left."""
    cleaned = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)
    return cleaned if re.search(r"[a-zA-Z0-9]", cleaned) else ""


def unique(name: str, taken: Collection[str]) -> str:
    """The name, or the name with the first number from 2 that nobody has."""
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _program(argv: Sequence[str]) -> str:
    """The word that names the program: past launchers, their verbs, options and the options' values."""
    words = [word for word in argv if word]
    at = 0
    while at < len(words) - 1:
        word = words[at]
        if word in ("-c", "-e", "--eval") and at == 1:
            return words[0]
        if word in _TAKES_VALUE:
            at += 2
        elif word in _VERBS or word.startswith("-") or _is_launcher(word) or re.match(r"[A-Z_]+=", word):
            at += 1
        else:
            break
    return words[at] if at < len(words) else ""


def _is_launcher(word: str) -> bool:
    base = _EXTENSION.sub("", re.split(r"[/\\]", word)[-1].lower())
    return base in _LAUNCHERS or _PYTHON.fullmatch(base) is not None


def _without_filler(name: str) -> str:
    words = re.split(r"[-_.]", name)
    while words and words[0].lower() in _FILLER:
        words.pop(0)
    while words and words[-1].lower() in _FILLER:
        words.pop()
    kept = "-".join(words)
    return name if len(kept) == len(name) else kept
