"""Where tokens are kept between runs: one file a user, readable by that user alone, or the system's keyring.

Does not import ``mcp``.

What is kept is what a later process needs to refresh a token without a browser: the token with the time it ends,
the client's registration, and the metadata of the authorization server that gave it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from filelock import FileLock
from platformdirs import user_data_path

from glm_agent.errors import ConfigurationError

Record = dict[str, Any]
"""``token``, ``expires_at`` (seconds since 1970), ``client``, ``server``, ``resource``: JSON values."""

STORE_VARIABLE = "GLM_AGENT_MCP_TOKENS"

_PRIVATE = 0o600


class TokenStore(Protocol):
    """Keeps one record a key."""

    def load(self, key: str) -> Record: ...

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep the record; an empty one is forgotten."""
        ...


class MemoryTokens:
    """Tokens that end with the process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def load(self, key: str) -> Record:
        return dict(self._records.get(key, {}))

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        self._records[key] = dict(record)


class FileTokens:
    """Tokens in one file of the user, mode 0600, safe for several processes."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_data_path("glm-agent", appauthor=False) / "mcp-tokens.json"

    def load(self, key: str) -> Record:
        record = self._read().get(key)
        return cast(Record, record) if isinstance(record, dict) else {}

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{self.path}.lock", timeout=10):
            records = self._read()
            records[key] = dict(record)
            self._write({key: value for key, value in records.items() if value})

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}

    def _write(self, records: Mapping[str, Any]) -> None:
        # A file that is replaced is whole at every moment; mkstemp makes it private before the first byte.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".tokens-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(records, file, indent=1)
            os.chmod(name, _PRIVATE)
            os.replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def chosen(environ: Mapping[str, str]) -> TokenStore:
    """The store that ``GLM_AGENT_MCP_TOKENS`` names: ``file``, which is the default, or ``keyring``.

    Raises ``ConfigurationError`` for another word, and where a keyring cannot be used.
    """
    word = environ.get(STORE_VARIABLE, "").strip().lower() or "file"
    if word == "file":
        return FileTokens()
    if word != "keyring":
        raise ConfigurationError(f"{STORE_VARIABLE} is {word!r}: write file or keyring")
    from glm_agent.mcp.keyring_store import KeyringTokens

    return KeyringTokens()


def key(server_url: str, client_id: str = "") -> str:
    """Under which a server's record stands: its address without secrets, and who we are there."""
    bare = server_url.split("#", 1)[0]
    digest = hashlib.sha256(f"{bare}\n{client_id}".encode()).hexdigest()[:16]
    host = bare.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return f"{host} {digest}"
