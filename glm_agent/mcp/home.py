"""The user's folder, which need not be: containers run under numbers that nobody has given a home."""

from __future__ import annotations

import os
from pathlib import Path


def user_home() -> Path | None:
    """The user's folder; None where there is none."""
    home = expanded("~")
    return home if home.is_absolute() else None


def expanded(name: str) -> Path:
    """The path with ``~`` filled in; as it stands where the user has no home."""
    return Path(os.path.expanduser(name))
