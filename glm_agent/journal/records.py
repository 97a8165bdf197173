"""Records as JSON text, in the database and in the lines of an export.

``messages`` knows how a fact is written; this adds intents, nested calls, text that is no Unicode, and clear words
for what this version cannot read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeGuard, cast, get_args

from glm_agent.driver import Intent, NestedCall, Record
from glm_agent.errors import JournalError
from glm_agent.messages import Fact, ModelResponse, ToolCall, ToolResult, fact_from_json, fact_to_json

FORMAT: Final = "glm-agent-session"
FORMAT_VERSION: Final = 1

_YEAR_10_000: Final = 253_402_300_800

KINDS: Final = frozenset(fact.__dataclass_fields__["kind"].default for fact in get_args(Fact)) | {
    "intent",
    "nested_call",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecord:
    """One line of the log."""

    at: float
    """When it was kept, in seconds since 1970."""
    record: Record


def encode(record: Record) -> tuple[Record, str]:
    """The record and its JSON text, which gives back an equal record.

    A lone surrogate (half an emoji out of a cut stream, a file name that is no UTF-8) cannot be
    written as UTF-8. Then the record returned is a mended one: halves that belong together are
    joined, what is left is U+FFFD.
    """
    try:
        return record, fact_to_json(record).decode() if is_fact(record) else json.dumps(asdict(record))
    except ValueError:
        text = json.dumps(asdict(record), ensure_ascii=False)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return from_text(text, kind=record.kind, where="this session"), text


def from_text(text: str, *, kind: str, where: str) -> Record:
    """The record in ``text``; raises ``JournalError`` that names ``where`` it stands."""
    if kind not in KINDS:
        raise JournalError(
            f"{where} holds a record of kind '{kind}', which this version of glm-agent does not know: "
            "a newer one wrote it, so upgrade glm-agent to read it"
        )
    try:
        match kind:
            case "intent":
                return Intent(**json.loads(text))
            case "nested_call":
                return _nested_call(json.loads(text))
            case _:
                return fact_from_json(text)
    except (ValueError, TypeError) as error:
        raise JournalError(
            f"{where} holds a damaged record of kind '{kind}': {_first_line(error)}; "
            "restore a copy, or delete the session"
        ) from error


def is_fact(record: Record) -> TypeGuard[Fact]:
    """Whether it belongs to the conversation, and is not a record beside it."""
    return not isinstance(record, Intent | NestedCall)


def _nested_call(data: dict[str, Any]) -> NestedCall:
    call, result = ToolCall(**data.pop("call")), fact_from_json(json.dumps(data.pop("result")))
    if not isinstance(result, ToolResult):
        raise TypeError("its result is none")
    return NestedCall(**data, call=call, result=result)


def facts_of(stored: Iterable[StoredRecord]) -> tuple[Fact, ...]:
    """The facts among the records, in order."""
    return tuple(line.record for line in stored if is_fact(line.record))


def begun_calls(stored: Iterable[StoredRecord]) -> frozenset[str]:
    """Ids of the calls of the last response that may have been begun: their intents are on record."""
    begun = set[str]()
    for line in stored:
        match line.record:
            case ModelResponse():
                begun.clear()
            case Intent():
                begun.add(line.record.call_id)
            case _:
                pass
    return frozenset(begun)


def to_lines(header: dict[str, Any], stored: Iterable[StoredRecord]) -> Iterator[str]:
    """An export: a header with format and version, then one line per record with the time it was kept."""
    yield json.dumps({"format": FORMAT, "version": FORMAT_VERSION, **header}, ensure_ascii=False)
    for line in stored:
        yield f'{{"at":{line.at!r},{encode(line.record)[1][1:]}'


def from_lines(lines: Iterable[str]) -> tuple[dict[str, Any], list[StoredRecord]]:
    """The header and the records of an export; ``JournalError`` names the line that cannot be read."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise JournalError("there is nothing to import: the export is empty")
    header = _object(first[1], where=f"line {first[0]}")
    if header.get("format") != FORMAT:
        raise JournalError(f"line {first[0]} is no header of an exported session: 'format' must be '{FORMAT}'")
    if header.get("version") != FORMAT_VERSION:
        raise JournalError(
            f"the export has format version {header.get('version')!r}, and this version of glm-agent reads "
            f"{FORMAT_VERSION}: upgrade glm-agent"
        )
    return header, [_stored(line, where=f"line {number}") for number, line in numbered]


def _stored(line: str, *, where: str) -> StoredRecord:
    data = _object(line, where=where)
    at = data.pop("at", None)
    if not is_time(at):
        raise JournalError(f"{where} has no 'at', the time of the record in seconds since 1970")
    record = from_text(json.dumps(data), kind=str(data.get("kind", "")), where=where)
    return StoredRecord(at=at, record=record)


def is_time(value: object) -> TypeGuard[float]:
    """Whether it can be a time in seconds since 1970: from then to the year 9999."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _YEAR_10_000


def _object(line: str, *, where: str) -> dict[str, Any]:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise JournalError(f"{where} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise JournalError(f"{where} is no JSON object")
    return cast("dict[str, Any]", data)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
