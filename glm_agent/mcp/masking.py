"""Which words hold a secret, and command lines and addresses without them. Pure; does not import ``mcp``.

A word is taken for a secret by the name before it (``--api-key K``, ``TOKEN=K``), by its look (``sk-…``, ``ghp_…``, a
JWT), or because it is what a variable of a telling name holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

HIDDEN = "•••"
"""Stands where a secret was."""

SHORTEST = 6
"""Characters. What is shorter stands in ordinary words."""

_TELLING = r"(?i:key|token|secret|passw|pwd|auth|credential|bearer|cookie)"
_NAMED = re.compile(rf"-{{0,2}}[\w.-]*{_TELLING}[\w.-]*\s*[=:]\s*(.+)", re.DOTALL)
_FLAG = re.compile(rf"-{{1,2}}[\w.-]*{_TELLING}[\w.-]*")
_VARIABLE = re.compile(r"(?i:key|token|secret|passw|pwd|credential)")

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?:(?=[\w-]*\d)[\w-]{6,}|[\w-]{24,})"
    r"|[srp]k_(?:live|test)_\w{6,}|rk_\w{16,}|whsec_\w{8,}"
    r"|gh[pousr]_\w{6,}|github_pat_\w{6,}|glpat-[\w-]{6,}"
    r"|xox[abeoprs]-[\w-]{4,}|xapp-[\w-]{6,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w-]{10,}"
    r"|npm_\w{16,}|pypi-[\w-]{16,}|hf_\w{16,}|tvly-[\w-]{6,}|ctx7sk-[\w-]{6,}|figd_[\w-]{6,}|lin_api_\w{6,}|ntn_\w{16,}"
    r"|dop_v1_\w{6,}|shp(?:at|ca|pa|ss)_\w{6,}|SG\.[\w-]{8,}\.[\w-]{8,}|glsa_\w{8,}|dapi[0-9a-f]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
    r"|[0-9a-f]{32}\.[A-Za-z0-9]{16}"
    r")(?![A-Za-z0-9])"
)
"""What providers begin their keys with, so that a key is known wherever it stands. Source: the list of secret scanning
patterns of GitHub, November 2026; the last one is GLM's own."""

_RANDOM = re.compile(r"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-", re.I)
"""A run of letters and digits that nobody chose, as services put their users' keys into addresses."""


def in_words(words: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """The secrets among the words of a command."""
    before = ""
    held = frozenset(value for name, value in environ.items() if _VARIABLE.search(name))
    for word in words:
        if (named := _NAMED.fullmatch(word)) is not None:
            yield from of_value(named[1])
        elif _FLAG.fullmatch(before) and not word.startswith("-"):
            yield from of_value(word)
        if "://" in word:
            yield from in_address(word)
        yield from (part for part in (word, word.partition("=")[2]) if part in held)
        yield from _KNOWN.findall(word)
        before = word


def kept(source: str, environ: Mapping[str, str]) -> str:
    """A command line or an address as it may be kept: a secret that a variable holds as ``${env:NAME}``, else dots."""
    by_value = {value: f"${{env:{name}}}" for name, value in environ.items() if _VARIABLE.search(name)}
    # What was kept before stays as it is.
    found = {value for value in _of_source(source, environ) if len(value) >= SHORTEST and "${" not in value}
    for secret in sorted(found, key=len, reverse=True):
        source = source.replace(secret, by_value.get(secret, HIDDEN))
    return source


def _of_source(source: str, environ: Mapping[str, str]) -> Iterator[str]:
    try:
        words = shlex.split(source)
    except ValueError:
        words = source.split()
    if len(words) > 1:
        yield from in_words(words, environ)
    elif "://" in source:
        yield from in_address(source)
        yield from (value for name, value in environ.items() if _VARIABLE.search(name) and value in source)


def in_address(url: str) -> Iterator[str]:
    """The password, the values of the query, and parts of the path that look like a key."""
    try:
        parts = urlsplit(url)
        yield parts.password or ""
    except ValueError:
        return
    yield parts.query
    yield from (value for _, value in parse_qsl(parts.query))
    yield from filter(is_random, parts.path.split("/"))


def of_value(value: str) -> Iterator[str]:
    """The value, and the part of it that comes after ``Bearer``."""
    yield value
    yield value.split(" ", 1)[-1]


def is_random(part: str) -> bool:
    """Whether a part of an address looks like a key."""
    return _RANDOM.search(part) is not None or _KNOWN.search(part) is not None


def without(secrets: Iterable[str], text: str) -> str:
    """The text with dots in the place of the secrets, and of whatever looks like a key."""
    for secret in sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _KNOWN.sub(HIDDEN, text)


def address(url: str) -> str:
    """The address without user, password, query and fragment, and without keys in its path: they are kept in all."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    scheme, separator, rest = bare.partition("://")
    if not separator:
        return bare
    host, *path = rest.split("/")
    return "/".join([f"{scheme}://{host.rpartition('@')[2]}", *(HIDDEN if is_random(part) else part for part in path)])
