"""Commands that are printed for a person to go on with: to be pasted as they are, but for a password."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from glm_agent.durable.address import hidden, is_address

_DATABASE = "--database"


def command(*words: str) -> str:
    """A command of ours for a shell, on the database that this command was given."""
    return shlex.join(["glm-agent", *words, *_given_database(sys.argv[1:])])


def same_command(*more: str) -> str:
    """The command that runs now, with ``more`` behind it."""
    return shlex.join(["glm-agent", *map(_shown, sys.argv[1:]), *more])


def _given_database(words: Sequence[str]) -> Sequence[str]:
    for at, word in enumerate(words):
        if word == _DATABASE:
            return [_DATABASE, *map(_shown, words[at + 1 : at + 2])]
        if word.startswith(f"{_DATABASE}="):
            return [_shown(word)]
    return []


def _shown(word: str) -> str:
    """The word without the password of a database's address: what is printed is often kept in a log."""
    option, is_joined, value = word.partition("=") if word.startswith(f"{_DATABASE}=") else ("", "", word)
    return f"{option}{is_joined}{hidden(value) if is_address(value) else value}"
