"""What a tool returned -> the text and the pictures that the model reads. Never raises, whatever came back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, cast

from pydantic_core import to_json

from glm_agent.messages import Part, ToolCall, ToolResult
from glm_agent.registry.blocks import Block, read_value

NOTHING = "done: the tool returned nothing"
"""What the model reads for ``None``: a bare ``null`` looks like a failure."""

_BYTES_PER_TOKEN = 4
_NOTE_BYTES = 100
_MIN_BYTES = 200


def to_result(
    value: Any, call: ToolCall, *, max_tokens: int, keep: Callable[[str | bytes], str] | None = None
) -> ToolResult:
    """The value as the call's result, with the middle of long text left out, which ``keep`` may keep.

    Text is taken as it is; pictures, sound and MCP content (also in a tuple or list with text) become
    attachments or are named; everything else is shown as JSON, and what has no JSON form by its ``repr``.
    """
    if isinstance(value, ToolResult):
        return value
    blocks = _blocks(value)
    if blocks is None:
        return _result(call, shorten(raw_text(value), max_tokens=max_tokens, keep=keep))
    parts = tuple(part for block in blocks for part in block.parts)
    text = "\n".join(block.text for block in blocks if block.text) or (f"{len(parts)} attached" if parts else NOTHING)
    return _result(
        call,
        shorten(text, max_tokens=max_tokens, keep=keep),
        parts=parts,
        is_error=any(block.is_error for block in blocks),
    )


def _result(call: ToolCall, content: str, *, parts: tuple[Part, ...] = (), is_error: bool = False) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=content, attachments=parts, is_error=is_error)


def _blocks(value: Any) -> list[Block] | None:
    """What is text and what is a part, one level of nesting down: ``(text, [picture, picture])``; None: plain data."""
    if type(value) not in (tuple, list):
        block = _special(value)
        return None if block is None else [block]
    items = [entry for item in value for entry in (item if _are_special(item) else [item])]
    read = [_special(item) for item in items]
    if not any(read):
        return None
    return [block or Block(_text(item)) for block, item in zip(read, items, strict=True)]


def _are_special(value: Any) -> bool:
    return type(value) in (tuple, list) and bool(value) and all(_special(item) for item in value)


def _special(value: Any) -> Block | None:
    try:
        return read_value(value)
    except Exception:
        # An object's own way to show itself as a picture may fail; then it is data.
        return None


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
    writers: tuple[Callable[[object], str | bytes], ...] = (_json, _mended_json, _plain_json, repr)
    for write in writers:
        try:
            return write(value)
        except Exception:
            # Circular, or its own serializer raises, or its __repr__ does.
            continue
    return _unshown(value)


def _json(value: object) -> bytes:
    return to_json(value, inf_nan_mode="strings", fallback=_readable)


def _mended_json(value: object) -> bytes:
    """Also of circles, and of bytes that are no text."""
    return to_json(value, inf_nan_mode="strings", serialize_unknown=True, bytes_mode="base64")


def _plain_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_readable)


def _readable(value: Any) -> Any:
    """Something simpler that says the same: of mappings, sequences, arrays and tables; else the object's own text."""
    if isinstance(value, Mapping):
        return {**value}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(cast("bytes", value)))
    if isinstance(value, Sequence | Set):
        return list(cast("Sequence[Any]", value))
    try:
        for simpler in ("model_dump", "tolist", "to_csv"):  # pydantic where its JSON failed; NumPy; pandas
            if callable(getattr(type(cast(object, value)), simpler, None)):
                return getattr(value, simpler)()
        return str(value)
    except Exception:
        return _unshown(value)


def _unshown(value: object) -> str:
    return f"<{type(value).__name__} that cannot be shown>"


def _bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b"base64:" + base64.b64encode(value)


def shorten(text: str | bytes, *, max_tokens: int, keep: Callable[[str | bytes], str] | None = None) -> str:
    """The text, or its head and tail around a note of what is left out. Lone surrogates become question marks.

    The bound is one of bytes, which fits Chinese as well as English: four for each token. Only what is kept is
    copied. Applied again, it changes nothing. ``keep`` gets a text that is too long, and what it says is added
    to the note.
    """
    limit = max(max_tokens * _BYTES_PER_TOKEN, _MIN_BYTES)
    if isinstance(text, str) and len(text) <= limit and text.isascii():
        return text
    if len(text) <= limit and len(whole := _encode(text)) <= limit:
        return whole.decode(errors="replace")
    kept = f"; {keep(text)}" if keep is not None else ""
    half = (limit - _NOTE_BYTES - len(kept.encode())) // 2
    if half < 0:
        return shorten(text, max_tokens=max_tokens)
    head = _encode(text[:half])[:half].decode(errors="ignore")
    tail = (_encode(text[len(text) - half :])[-half:] if half else b"").decode(errors="ignore")
    unit = "characters" if isinstance(text, str) else "bytes"
    return f"{head}\n… {len(text):,} {unit}, {len(text) - len(head) - len(tail):,} left out{kept} …\n{tail}"


def _encode(text: str | bytes) -> bytes:
    return text.encode(errors="replace") if isinstance(text, str) else text
