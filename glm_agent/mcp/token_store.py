"""Where tokens are kept between runs: one file a user, readable by that user alone, or the system's keyring.

Does not import ``mcp``.

What is kept is what a later process needs to refresh a token without a browser: the token with the time it ends,
the client's registration, and the metadata of the authorization server that gave it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from filelock import FileLock
from platformdirs import user_data_path

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.whole import replace_file

Record = dict[str, Any]
"""``token``, ``expires_at`` (seconds since 1970), ``client``, ``server``, ``resource``: JSON values."""

STORE_VARIABLE = "GLM_AGENT_MCP_TOKENS"


_ELSEWHERE = f"Set HOME or XDG_DATA_HOME to a folder that can be written, or {STORE_VARIABLE}=keyring"
_LOCK_SECONDS = 10


class TokenStore(Protocol):
    """Keeps one record a key."""

    def load(self, key: str) -> Record: ...

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep the record; an empty one is forgotten. Raises ``ConfigurationError`` where that cannot be."""
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
        self.path = path or _users_file()
        """None where the user has no home: then nothing is found, and nothing can be kept."""

    def load(self, key: str) -> Record:
        record = self._read().get(key)
        return cast(Record, record) if isinstance(record, dict) else {}

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        if self.path is None:
            raise ConfigurationError(f"tokens cannot be kept, since this user has no home directory. {_ELSEWHERE}")
        try:
            self._change(self.path, key, record)
        except OSError as error:  # filelock's Timeout is one
            said = error.strerror or "another process holds its lock"
            raise ConfigurationError(f"tokens cannot be kept in {str(self.path)!r}: {said}. {_ELSEWHERE}") from None

    def _change(self, path: Path, key: str, record: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{path}.lock", timeout=_LOCK_SECONDS):
            records = {**self._read(), key: dict(record)}
            kept = {name: value for name, value in records.items() if value}
            replace_file(path, json.dumps(kept, indent=1).encode())

    def _read(self) -> dict[str, Any]:
        try:
            data: object = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
        except (OSError, ValueError):
            return {}
        return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _users_file() -> Path | None:
    try:
        return user_data_path("glm-agent", appauthor=False) / "mcp-tokens.json"
    except RuntimeError:  # platformdirs finds no home
        return None


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
