"""Cassettes: the raw wire of a run as lines of JSON, in the order in which its exchanges ended.

The first line is a header; every other one is an exchange: the request without secrets, and the response with the
pieces in which it came. ``docs/sessions.md`` describes the format.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self, TextIO

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject
from glm_agent.wire.jsontext import an_object

FORMAT: Final = "glm-agent-cassette"
VERSION: Final = 1

_REQUEST_ID: Final = re.compile(rb',"request_id":"[^"]*"\}$')


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What one read of the response brought."""

    at: float
    """Seconds since the request was sent."""
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why the exchange ended before its time: the exception of the HTTP client, by name."""

    type: str
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One request and what came back."""

    at: float
    """When the request was sent, in seconds since 1970."""
    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    status: int | None = None
    """None: there was no response."""
    response_headers: Sequence[tuple[str, str]] = ()
    pieces: Sequence[Piece] = ()
    failure: Failure | None = None

    @property
    def question(self) -> bytes:
        """The body without ``request_id``, which is another one in every attempt."""
        return without_request_id(self.body)

    @property
    def model(self) -> str:
        """The model that was asked; empty where the body does not say it."""
        return str((_object(self.body) or {}).get("model", ""))


def without_request_id(body: bytes) -> bytes:
    """A request's body without the field that differs with every attempt."""
    return _REQUEST_ID.sub(b"}", body)


class Cassette:
    """The exchanges of a run."""

    def __init__(self, path: Path, exchanges: Sequence[Exchange]) -> None:
        self.path, self.exchanges = path, tuple(exchanges)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a cassette. Raises ``ConfigurationError`` with the line that cannot be read."""
        path = Path(os.path.expanduser(path))
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigurationError(f"the cassette '{path}' cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"'{path}' is no cassette: it is not UTF-8") from error
        _check_header(lines[0] if lines else "", path)
        return cls(path, [_exchange(line, f"'{path}', line {number}") for number, line in enumerate(lines[1:], 2)])

    @cached_property
    def bodies(self) -> dict[str, bytes]:
        """The requests by their hash, as ``ModelResponse.sent`` has it."""
        return {hashlib.sha256(each.question).hexdigest(): each.body for each in self.exchanges}


class CassetteWriter:
    """Writes exchanges to a file as they end; the file is for its owner's eyes alone, and begins with the first one.

    Raises ``ConfigurationError`` where it cannot be written, or is there and no cassette.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.expanduser(path))
        self._file: TextIO | None = None
        try:
            if os.path.exists(self.path) and self.path.stat().st_size:
                with self.path.open(encoding="utf-8", errors="replace") as file:
                    _check_header(file.readline(), self.path)
        except OSError as error:
            raise ConfigurationError(f"'{self.path}' cannot be written: {error.strerror or error}") from error
        if not os.access(self.path.parent, os.W_OK):
            raise ConfigurationError(f"'{self.path}' cannot be written: there is no such folder, or none to write to")

    def add(self, exchange: Exchange) -> None:
        """One more line, on disk when this returns. Raises ``OSError``."""
        if self._file is None:
            self._file = self._begun()
        _write(self._file, _line(exchange))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _begun(self) -> TextIO:
        self.path.unlink(missing_ok=True)  # not written into: somebody may be reading it
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(descriptor, "w", encoding="utf-8")
        _write(file, {"format": FORMAT, "version": VERSION, **_origin()})
        return file


def _write(file: TextIO, values: JsonObject) -> None:
    file.write(json.dumps(values, ensure_ascii=False) + "\n")
    file.flush()


def _origin() -> JsonObject:
    return {"created": datetime.now(UTC).isoformat(timespec="seconds"), "glm_agent": version("glm-agent")}


def _check_header(line: str, path: Path) -> None:
    header = _object(line) or {}
    if header.get("format") != FORMAT:
        raise ConfigurationError(
            f'\'{path}\' is no cassette: its first line has no "format": "{FORMAT}"; name another file'
        )
    if header.get("version") != VERSION:
        raise ConfigurationError(
            f"the cassette '{path}' has version {header.get('version')!r}, and this version of glm-agent reads "
            f"{VERSION}: upgrade glm-agent, or record it anew"
        )


def _line(exchange: Exchange) -> JsonObject:
    response = None
    if exchange.status is not None:
        response = {
            "status": exchange.status,
            "headers": [list(each) for each in exchange.response_headers],
            "pieces": [{"at": round(piece.at, 6), **_data(piece.data)} for piece in exchange.pieces],
        }
    failure = exchange.failure and {"type": exchange.failure.type, "message": exchange.failure.message}
    request = {"url": exchange.url, "headers": dict(exchange.headers), **_data(exchange.body)}
    return {"at": round(exchange.at, 6), "request": request, "response": response, "failure": failure}


def _data(data: bytes) -> dict[str, str]:
    """Bytes as text where they are some; a piece may end within a character."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(values: Mapping[str, Any]) -> bytes:
    return base64.b64decode(values["base64"], validate=True) if "base64" in values else values["text"].encode()


def _exchange(line: str, where: str) -> Exchange:
    try:
        values: Any = json.loads(line)
        request, response, failure = values["request"], values["response"], values["failure"]
        return Exchange(
            at=float(values["at"]),
            url=str(request["url"]),
            body=_bytes(request),
            headers=dict(request["headers"]),
            status=int(response["status"]) if response else None,
            response_headers=tuple((str(name), str(value)) for name, value in response["headers"]) if response else (),
            pieces=tuple(_pieces(response["pieces"])) if response else (),
            failure=Failure(**failure) if failure else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"{where} is no exchange of a cassette ({error!r}): record it anew") from error


def _pieces(given: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
    for each in given:
        yield Piece(at=float(each["at"]), data=_bytes(each))


def _object(line: str | bytes) -> JsonObject | None:
    try:
        return an_object(json.loads(line))
    except ValueError:
        return None
