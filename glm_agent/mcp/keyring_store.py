"""Tokens in the keyring of the system (extra ``keyring``): Keychain, Secret Service, Credential Locker.

Some keyrings take little more than two thousand bytes an entry, and a record with two tokens and the metadata of its
server has more: it is kept in parts, the number of them before the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "glm-agent MCP"
"""What the entries are called in the system's own view of its keyring."""

_PART = 1000
"""Characters of a part: Windows takes 2,560 bytes, two for each."""

_MAX_PARTS = 200
"""The count comes from the keyring, where others write too."""


class _Keyring(Protocol):
    def get_password(self, service_name: str, username: str) -> str | None: ...

    def set_password(self, service_name: str, username: str, password: str) -> None: ...

    def delete_password(self, service_name: str, username: str) -> None: ...


class KeyringTokens:
    """A ``TokenStore`` in the system's keyring. Raises ``ConfigurationError`` where there is none."""

    def __init__(self) -> None:
        self._keyring = _loaded()

    def load(self, key: str) -> JsonObject:
        from keyring.errors import KeyringError

        try:
            found = json.loads("".join(self._parts(key)) or "{}")
        except KeyringError as error:
            raise _unusable(error) from None
        except ValueError:
            return {}
        return cast(JsonObject, found) if isinstance(found, dict) else {}

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        from keyring.errors import KeyringError

        text = json.dumps(dict(record)) if record else ""
        parts = [text[at : at + _PART] for at in range(0, len(text), _PART)]
        try:
            known = len(list(self._parts(key)))
            # The last part first: where this is cut off, the number before the first one still fits the old parts.
            for number, part in reversed(list(enumerate(parts))):
                self._keyring.set_password(
                    SERVICE, _name(key, number), f"{len(parts)}\n{part}" if number == 0 else part
                )
            for number in range(len(parts), known):
                self._keyring.delete_password(SERVICE, _name(key, number))
        except KeyringError as error:
            raise _unusable(error) from None

    def _parts(self, key: str) -> Iterator[str]:
        first = self._keyring.get_password(SERVICE, _name(key, 0))
        if not first:
            return
        count, _, part = first.partition("\n")
        yield part
        for number in range(1, min(int(count) if count.isdigit() else 1, _MAX_PARTS)):
            yield self._keyring.get_password(SERVICE, _name(key, number)) or ""


def _name(key: str, number: int) -> str:
    return f"{key} #{number}" if number else key


def _loaded() -> _Keyring:
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        raise ConfigurationError(
            "tokens in a keyring need one more package: pip install 'glm-agent[keyring]'"
        ) from None
    if isinstance(keyring.get_keyring(), fail.Keyring):
        raise ConfigurationError("this system has no keyring that can be used: leave the tokens in their file")
    return keyring


def _unusable(error: Exception) -> ConfigurationError:
    said = str(error) or type(error).__name__
    return ConfigurationError(f"the keyring cannot be used ({said}): unlock it, or leave the tokens in their file")
