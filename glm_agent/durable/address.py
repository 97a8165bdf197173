"""The address of a database, as people write it: what it names, and how it is shown without its password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from glm_agent.errors import ConfigurationError
from glm_agent.wire.jsontext import scrub

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_POSTGRES: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def is_address(text: object) -> bool:
    """Whether this names a database, and not a file of the journal."""
    return isinstance(text, str) and _SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class Address:
    """One database."""

    url: str
    """As SQLAlchemy takes it; may hold a password."""
    path: Path | None
    """The file of an SQLite database."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """``sqlite:///file``, ``sqlite:////absolute/file`` or ``postgresql://user@host/database``.

        Raises ``ConfigurationError`` for anything else.
        """
        if not text.isascii() and scrub(text) != text:
            raise ConfigurationError(f"the address {text!a} is no Unicode: give the file another name")
        found = _SCHEME.match(text)
        scheme = found[1].lower() if found else ""
        if scheme in _POSTGRES:
            return cls(f"postgresql+psycopg://{text[len(scheme) + 3 :]}", None)
        if scheme != "sqlite":
            raise ConfigurationError(
                f"'{hidden(text)}' is no database that is known here: "
                "write sqlite:///runs.db or postgresql://user@host/database"
            )
        name = unquote(text[len("sqlite://") :].removeprefix("/"))
        if not name or name == ":memory:" or not text.startswith("sqlite:///"):
            raise ConfigurationError(f"'{text}' names no file: write sqlite:///runs.db or sqlite:////srv/agent/runs.db")
        path = Path(os.path.expanduser(name)).absolute()
        return cls(f"sqlite:///{path}", path)

    @property
    def shown(self) -> str:
        """For people and logs: no password in it."""
        return self.url if self.path else hidden(self.url).replace("postgresql+psycopg", "postgresql")

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def hidden(url: str) -> str:
    """The address without its password, also where that stands in the query."""
    parts = urlsplit(url)
    place, query = parts.netloc, re.sub(r"(?i)(password=)[^&]*", r"\1***", parts.query)
    who, at, host = place.rpartition("@")
    who = f"{who.partition(':')[0]}:***" if ":" in who and who.partition(":")[2] else who
    scheme, rest = parts.scheme, urlunsplit(parts._replace(scheme="", netloc="", query=query))
    return f"{scheme}://{who}{at}{host}{rest}"
