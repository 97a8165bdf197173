"""One line of results, and the file they are appended to: whole lines only, whatever is killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Final, Literal

from glm_agent.errors import ConfigurationError, JournalError
from glm_agent.messages import StopReason

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION: Final[Literal[1]] = 1

OPEN_REASONS: Final = frozenset[StopReason]({"error", "cancelled", "needs_approval", "needs_decision"})
"""Ends that are none for good: a batch that is run again takes such a task up again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFailure:
    """What was raised."""

    type: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTokens:
    """Tokens of all requests of the task."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchResult:
    """How one task ended."""

    key: str
    line: int
    """Number of the task's line in the batch's file, from 1: sorted by it, results stand in the order of the tasks."""
    digest: str
    """A hash of what was asked."""
    output: Any
    """The answer; null where the run raised."""
    stop_reason: StopReason
    detail: str = ""
    session: str = ""
    """What ``sessions show`` and ``run --resume`` take."""
    model: str = ""
    steps: int = 0
    usage: TaskTokens = TaskTokens()
    cost_usd: float | None = None
    """By the catalog's prices; null where they are not known."""
    duration_seconds: float = 0.0
    """Of the last attempt."""
    attempts: int = 1
    """How often it was begun or taken up in this run of the batch; 0: its answer was in the journal."""
    error: TaskFailure | None = None
    version: Literal[1] = VERSION
    kind: Literal["batch_result"] = "batch_result"

    @property
    def is_answered(self) -> bool:
        return self.stop_reason == "end_turn"

    @property
    def is_final(self) -> bool:
        """Whether running it again, as it is, would end the same way."""
        return self.stop_reason not in OPEN_REASONS

    def to_line(self) -> bytes:
        """A line of JSON with its end."""
        text = json.dumps({"kind": self.kind, **asdict(self)}, ensure_ascii=False, default=str)
        return text.encode(errors="replace") + b"\n"


def result_schema() -> dict[str, Any]:
    """The JSON Schema of a line of results."""
    schema = _results().json_schema(mode="serialization")
    title = "glm-agent batch, a result, version 1"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


class ResultsFile:
    """Results by line, appended. Each is one write, and what was torn is cut off when the file is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: dict[int, bytes] = {}
        """Lines between the results that are none, by their numbers, as they were read."""
        self._descriptor: int | None = None

    @property
    def damaged_path(self) -> Path:
        """Where such lines are kept when they are taken out."""
        return self.path.with_name(f"{self.path.name}.damaged")

    def read(self) -> Iterator[BatchResult]:
        """The results that are there; a last line that was torn is none, nor is a damaged one between others.

        Raises ``ConfigurationError`` where the file holds something else.
        """
        self.damaged = {}
        is_ours = False
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise ConfigurationError(
                f"the results '{self.path}' are no file that can be read again: name one, or leave out --out for stdout"
            )
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip() and (line.endswith(b"\n") or _is_json(line)):
                        if (result := _result(line)) is not None:
                            is_ours = True
                            yield result
                        else:
                            self.damaged[number] = line
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(f"the results '{self.path}' cannot be read: {error.strerror or error}") from error
        if self.damaged and not is_ours:
            number = next(iter(self.damaged))
            raise ConfigurationError(f"{self.path}:{number}: no result of a batch: name another file for the results")

    def open(self, *, dropped: frozenset[str] = frozenset()) -> None:
        """Make it ready for more: cut a torn line off, leave out the results of the keys that run again.

        Damaged lines that ``read`` has met go into a file of their own.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._keep_damaged()
            if dropped or self.damaged:
                self._rewrite(dropped)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _mend(self._descriptor)
        except OSError as error:
            raise ConfigurationError(
                f"the results cannot be written to '{self.path}': {error.strerror or error}"
            ) from error

    def append(self, result: BatchResult) -> None:
        """One more line. Raises ``JournalError`` where the disk does not take it; then nothing of it is there."""
        assert self._descriptor is not None
        line = result.to_line()
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            if os.write(self._descriptor, line) == len(line):
                return
            reason = "no space left"
        except OSError as error:
            reason = error.strerror or str(error)
        with suppress(OSError):
            os.ftruncate(self._descriptor, end)
        raise JournalError(f"the result of '{result.key}' cannot be written to '{self.path}': {reason}")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _keep_damaged(self) -> None:
        if self.damaged:
            with self.damaged_path.open("ab") as file:
                file.writelines(self.damaged.values())
                file.flush()
                os.fsync(file.fileno())

    def _rewrite(self, dropped: frozenset[str]) -> None:
        """A whole new file in the place of the old one, so that a kill leaves one or the other."""
        with NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as new:
            try:
                os.fchmod(new.fileno(), self.path.stat().st_mode & 0o777)
                new.writelines(kept.to_line() for kept in self.read() if kept.key not in dropped)
                new.flush()
                os.fsync(new.fileno())
                os.replace(new.name, self.path)
            except BaseException:
                os.unlink(new.name)
                raise


def _result(line: bytes) -> BatchResult | None:
    try:
        return _results().validate_json(line)
    except ValueError:
        return None


def _mend(descriptor: int) -> None:
    """End the last line, or cut it off where it is not whole."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start, tail = size, b""
    while start and b"\n" not in tail:
        step = min(start, 65_536)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    last = tail[tail.rfind(b"\n") + 1 :]
    if not last:
        return
    if _is_json(last):
        os.write(descriptor, b"\n")
    else:
        os.ftruncate(descriptor, size - len(last))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@cache
def _results() -> TypeAdapter[BatchResult]:
    from pydantic import TypeAdapter

    return TypeAdapter(BatchResult)
