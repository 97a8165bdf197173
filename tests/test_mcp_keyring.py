"""Tokens in the system's keyring: in parts, forgotten whole, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import KeyringLocked, PasswordDeleteError

from glm_agent import ConfigurationError
from glm_agent.mcp.keyring_store import SERVICE, KeyringTokens
from glm_agent.mcp.token_store import FileTokens, chosen


class Drawer(KeyringBackend):
    """A keyring in memory that takes short entries only, as the one of Windows does."""

    priority: float = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        assert len(password.encode("utf-16-le")) <= 2560
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError(username)
        del self.entries[service, username]


@pytest.fixture
def drawer() -> Iterator[Drawer]:
    before = keyring.get_keyring()
    made = Drawer()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def test_a_record_comes_back_whatever_its_length_and_leaves_nothing_behind(drawer: Drawer) -> None:
    store = KeyringTokens()
    assert store.load("h 1") == {}
    for length in (10, 5000, 999, 1000, 1001):
        record: dict[str, Any] = {"token": {"access_token": "é" * length}, "expires_at": 5.5}
        store.save("h 1", record)
        store.save("h 2", {"token": 2})
        assert KeyringTokens().load("h 1") == record
    store.save("h 1", {})
    assert store.load("h 1") == {}
    assert store.load("h 2") == {"token": 2}
    assert list(drawer.entries) == [(SERVICE, "h 2")]


@pytest.mark.parametrize("torn", ["", "x", "3\n{", "99999999\n{}", "1\n[]", "-1\n{}", "²\n{}"])
def test_an_entry_that_somebody_else_wrote_is_no_record(drawer: Drawer, torn: str) -> None:
    drawer.entries[SERVICE, "h 1"] = torn
    assert KeyringTokens().load("h 1") == {}


def test_a_keyring_that_is_locked_or_missing_says_what_to_do(drawer: Drawer) -> None:
    store = KeyringTokens()
    drawer.is_locked = True
    with pytest.raises(ConfigurationError, match="unlock it, or leave the tokens in their file"):
        store.load("h 1")
    keyring.set_keyring(fail.Keyring())
    with pytest.raises(ConfigurationError, match="no keyring that can be used"):
        KeyringTokens()


def test_where_tokens_are_kept_is_one_word_in_the_environment(
    drawer: Drawer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert isinstance(chosen({}), FileTokens)
    assert isinstance(chosen({"GLM_AGENT_MCP_TOKENS": "file"}), FileTokens)
    assert isinstance(chosen({"GLM_AGENT_MCP_TOKENS": " Keyring "}), KeyringTokens)
    with pytest.raises(ConfigurationError, match="GLM_AGENT_MCP_TOKENS is 'vault': write file or keyring"):
        chosen({"GLM_AGENT_MCP_TOKENS": "vault"})
    assert drawer.entries == {}
