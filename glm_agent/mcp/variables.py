"""Variables in a configuration: ``${NAME}``, ``${NAME:-default}``, ``${env:NAME}`` and the editors' words.

A variable that is not set is an error and never an empty string: a server that starts without its key
fails later, elsewhere, and says something else. Pure, but for files that are named (``${file:path}``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glm_agent.mcp.config import PORT
from glm_agent.mcp.home import user_home

_BRACED = re.compile(r"\$\{([^${}]*)\}")
_PLAIN_TOO = re.compile(r"\$\{([^${}]*)\}|\{((?:env|file):[^${}]*)\}")
_BARE_TOO = re.compile(r"\$\{([^${}]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variables:
    """What the variables of one configuration stand for."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    """The workspace: what ``${workspaceFolder}`` stands for."""
    home: Path | None = field(default_factory=user_home)
    """What ``${userHome}`` stands for; None where the user has none."""
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Defaults of VS Code's ``${input:id}``, by id."""
    is_bare: bool = False
    """Whether ``$NAME`` without braces is a variable too, as Gemini's is."""
    is_plain: bool = False
    """Whether ``{env:NAME}`` and ``{file:path}`` without a dollar are variables too, as OpenCode's are."""

    def expand(self, text: str) -> str:
        """The text with its variables filled in. Raises ``Unset``; what comes from a variable is not read again."""
        pattern = _BARE_TOO if self.is_bare else _PLAIN_TOO if self.is_plain else _BRACED
        return pattern.sub(lambda match: self._value(match[match.lastindex or 1]), text)

    def _value(self, word: str) -> str:
        if word in _WORDS:
            return _WORDS[word](self)
        if word == "userHome":
            return str(self._home(word))
        if word.startswith("input:"):
            return self._input(word.removeprefix("input:"))
        if word.startswith("file:"):
            return self._file(word.removeprefix("file:"))
        name, is_default, default = word.removeprefix("env:").removeprefix("//").partition(":-")
        value = self.environ.get(name, "")
        if value or (name in self.environ and not is_default):
            return value
        if is_default:
            return default
        raise Unset(name=name, word=word)

    def _input(self, name: str) -> str:
        """The value of an input nobody is there to type: from the environment, else the default."""
        variable = re.sub(r"[^A-Za-z0-9]+", "_", name).upper()
        for candidate in (name, variable):
            if candidate in self.environ:
                return self.environ[candidate]
        if name in self.inputs:
            return self.inputs[name]
        raise Unset(name=variable, word=f"input:{name}")

    def _home(self, word: str) -> Path:
        if self.home is None:
            raise Unset(name="HOME", word=word)
        return self.home

    def _file(self, name: str) -> str:
        """What a file holds, without the line's end that editors add."""
        path = self.folder / (self._home(f"file:{name}") / name[2:] if name.startswith("~/") else name)
        try:
            return path.read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise Unreadable(name, getattr(error, "strerror", None) or "it is no text") from None


class Unreadable(Exception):
    """A file that a variable names cannot be read. Carries its name, never what is in it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"needs the file {name!r}, which cannot be read: {reason}")


class Unset(Exception):
    """A variable has no value. Carries names only, never values."""

    def __init__(self, *, name: str, word: str) -> None:
        super().__init__(name)
        self.name = name
        """The environment variable that would give the value."""
        self.word = word
        """What stands between the braces."""


_WORDS: Mapping[str, Callable[[Variables], str]] = {
    "workspaceFolder": lambda variables: str(variables.folder),
    "workspaceRoot": lambda variables: str(variables.folder),
    "workspaceFolderBasename": lambda variables: variables.folder.name,
    "cwd": lambda variables: str(variables.folder),
    "pathSeparator": lambda _: os.sep,
    "/": lambda _: os.sep,
    "port": lambda _: PORT,  # filled in when the server is started
}
