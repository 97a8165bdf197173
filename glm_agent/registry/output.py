"""What a tool returned -> the text and the pictures that the model reads. Never raises, whatever came back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, cast

from pydantic_core import to_json

from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, ToolCall, ToolResult, VideoPart

NOTHING = "done: the tool returned nothing"
"""What the model reads for ``None``: a bare ``null`` looks like a failure."""

_PARTS = (ImagePart, VideoPart, FilePart, AudioPart)
_MAY_HOLD_PARTS = (*_PARTS, tuple, list)
_BYTES_PER_TOKEN = 4
_NOTE_BYTES = 100
_MIN_BYTES = 200


def to_result(value: Any, call: ToolCall, *, max_tokens: int) -> ToolResult:
    """The value as the call's result, with the middle of long text left out.

    Text is taken as it is, parts (also in a tuple or list with text) become attachments, everything else is
    shown as JSON, and what has no JSON form by its ``repr``.
    """
    if isinstance(value, ToolResult):
        return value
    texts, parts = _split(value)
    if parts:
        text: str | bytes = "\n".join(_text(item) for item in texts) or f"{len(parts)} attached"
    else:
        text = raw_text(value)
    return ToolResult(
        call_id=call.id, name=call.name, content=shorten(text, max_tokens=max_tokens), attachments=tuple(parts)
    )


def _split(value: Any) -> tuple[list[Any], list[Part]]:
    """What is text or data, and what is a part, one level of nesting down: ``(text, [picture, picture])``."""
    if not isinstance(value, _MAY_HOLD_PARTS):
        return [value], []
    items = _flat(value)
    if any(_are_parts(item) for item in items):
        items = [entry for item in items for entry in (_flat(item) if _are_parts(item) else [item])]
    parts = [item for item in items if isinstance(item, _PARTS)]
    return [item for item in items if not isinstance(item, _PARTS)], parts


def _flat(value: Any) -> list[Any]:
    return list(value) if type(value) in (tuple, list) else [value]


def _are_parts(value: Any) -> bool:
    return type(value) in (tuple, list) and bool(value) and all(isinstance(item, _PARTS) for item in value)


def _text(value: object) -> str:
    raw = raw_text(value)
    return raw if isinstance(raw, str) else raw.decode(errors="replace")


def raw_text(value: object) -> str | bytes:
    """The value as text, or as UTF-8 bytes where that is what there is: a large value is not copied again."""
    if isinstance(value, str):
        return value
    if value is None:
        return NOTHING
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(cast("bytes", value)))
    writers: tuple[Callable[[object], str | bytes], ...] = (_json, _plain_json, repr)
    for write in writers:
        try:
            return write(value)
        except Exception:
            # Circular, or its own serializer raises, or its __repr__ does.
            continue
    return f"<{type(value).__name__} that cannot be shown>"


def _json(value: object) -> bytes:
    try:
        return to_json(value, inf_nan_mode="strings", serialize_unknown=True)
    except ValueError:
        return to_json(value, inf_nan_mode="strings", serialize_unknown=True, bytes_mode="base64")


def _plain_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)


def _bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b"base64:" + base64.b64encode(value)


def shorten(text: str | bytes, *, max_tokens: int) -> str:
    """The text, or its head and tail around a note of what is left out. Lone surrogates become question marks.

    The bound is one of bytes, which fits Chinese as well as English: four for each token. Only what is kept is
    copied. Applied again, it changes nothing.
    """
    limit = max(max_tokens * _BYTES_PER_TOKEN, _MIN_BYTES)
    if isinstance(text, str) and len(text) <= limit and text.isascii():
        return text
    if len(text) <= limit and len(whole := _encode(text)) <= limit:
        return whole.decode(errors="replace")
    half = (limit - _NOTE_BYTES) // 2
    head = _encode(text[:half])[:half].decode(errors="ignore")
    tail = _encode(text[len(text) - half :])[-half:].decode(errors="ignore")
    unit = "characters" if isinstance(text, str) else "bytes"
    return f"{head}\n… {len(text):,} {unit}, {len(text) - len(head) - len(tail):,} left out …\n{tail}"


def _encode(text: str | bytes) -> bytes:
    return text.encode(errors="replace") if isinstance(text, str) else text
