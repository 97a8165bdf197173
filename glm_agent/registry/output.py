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
_BYTES_PER_TOKEN = 4


def to_result(value: object, call: ToolCall, *, max_tokens: int) -> ToolResult:
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


def _split(value: object) -> tuple[list[Any], list[Part]]:
    """What is text or data, and what is a part, one level of nesting down: ``(text, [picture, picture])``."""
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
    """The text, or its head and tail around a note of what is left out. Lone surrogates become question marks."""
    limit = max(max_tokens * _BYTES_PER_TOKEN, 200)
    if isinstance(text, str) and not text.isascii():
        # The bound is one of bytes: of Chinese text fewer characters fit.
        limit = limit * min(len(text), limit) // len(text[:limit].encode(errors="surrogatepass"))
    if len(text) <= limit:
        return _clean(text)
    note = f"\n… {len(text):,} {_unit(text)}, {len(text) - limit:,} left out …\n"
    half = (limit - len(note)) // 2
    return f"{_clean(text[:half])}{note}{_clean(text[len(text) - half :])}"


def _unit(text: str | bytes) -> str:
    return "characters" if isinstance(text, str) else "bytes"


def _clean(text: str | bytes) -> str:
    if isinstance(text, bytes):
        return text.decode(errors="replace")
    return text if text.isascii() else text.encode(errors="replace").decode()
