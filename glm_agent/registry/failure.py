"""What went wrong in a tool, in words for the model: no traceback, no secrets, no more than 2,000 characters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import cast

MAX_CHARACTERS = 2_000
_READ_CHARACTERS = 20_000
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_SECRET_PLACES = re.compile(
    r"""(?<=://)(?P<user>[^\s/:@'"]*:)[^\s/@'"]+(?=@)"""  # of an address: scheme://user:password@host
    r"""|\b(?P<scheme>(?:bearer|basic)\s+)(?=[^\s'"]*[\d=_.-])[^\s'",;]{8,}"""
    r"""|\b(?P<name>(?:\w*password|passwd|pwd|\w*secret|api_?key|\w*_token)=)[^\s'"&,;]+""",
    re.IGNORECASE,
)
"""Where libraries put secrets into what they say: database clients their address, HTTP clients their request."""
_MIN_SECRET = 8
_HIDDEN = "[hidden]"


def describe_failure(error: BaseException, *, secrets: Iterable[str] = (), is_exposed: bool = True) -> str:
    """Type and message of an exception; of a group, those of its members. Hidden: only that it failed."""
    if not is_exposed:
        return "the tool failed; why is not shown"
    return redact("; ".join(_sentences(error))[:_READ_CHARACTERS], secrets=secrets)[:MAX_CHARACTERS]


def _sentences(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        members = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return [sentence for member in members for sentence in _sentences(member)]
    try:
        message = str(error)[:_READ_CHARACTERS].encode(errors="replace").decode()
    except Exception:
        message = "(its message cannot be shown)"
    return [f"{type(error).__name__}: {message}" if message else type(error).__name__]


def redact(text: str, *, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, those of the environment (``…KEY…``, ``…TOKEN…`` and the like), and
    passwords where they are written as such: ``scheme://user:password@host``, ``password=…``, ``Bearer …``."""
    known = {value for value in (*secrets, *_environment_secrets()) if len(value) >= _MIN_SECRET}
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _SECRET_PLACES.sub(_kept_around, text)


def _kept_around(found: re.Match[str]) -> str:
    return (found["user"] or found["scheme"] or found["name"] or "") + _HIDDEN


def _environment_secrets() -> list[str]:
    return [value for name, value in os.environ.items() if any(word in name.upper() for word in _SECRET_WORDS)]
