"""Variables in a configuration: ``${NAME}``, ``${NAME:-default}``, ``${env:NAME}`` and the editors' words. Pure.

A variable that is not set is an error and never an empty string: a server that starts without its key
fails later, elsewhere, and says something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glm_agent.mcp.config import PORT

_BRACED = re.compile(r"\$\{([^${}]*)\}")
_BARE_TOO = re.compile(r"\$\{([^${}]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variables:
    """What the variables of one configuration stand for."""

    environ: Mapping[str, str] = field(repr=False)
    folder: Path
    """The workspace: what ``${workspaceFolder}`` stands for."""
    home: Path = field(default_factory=Path.home)
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    """Defaults of VS Code's ``${input:id}``, by id."""
    is_bare: bool = False
    """Whether ``$NAME`` without braces is a variable too, as Gemini's is."""

    def expand(self, text: str) -> str:
        """The text with its variables filled in. Raises ``Unset``; what comes from a variable is not read again."""
        pattern = _BARE_TOO if self.is_bare else _BRACED
        return pattern.sub(lambda match: self._value(match[match.lastindex or 1]), text)

    def _value(self, word: str) -> str:
        if word in _WORDS:
            return _WORDS[word](self)
        if word.startswith("input:"):
            return self._input(word.removeprefix("input:"))
        name, is_default, default = word.removeprefix("env:").partition(":-")
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
    "userHome": lambda variables: str(variables.home),
    "pathSeparator": lambda _: os.sep,
    "/": lambda _: os.sep,
    "port": lambda _: PORT,  # filled in when the server is started
}
