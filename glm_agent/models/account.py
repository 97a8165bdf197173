"""What is limited together: requests for one model under one key at one host. Names it without keeping the key."""

from __future__ import annotations

import hashlib


def account_name(*, key: str, model: str, base_url: str) -> str:
    """A name that says nothing about the key."""
    return hashlib.sha256("\0".join((key, model, base_url)).encode()).hexdigest()
