"""Values that are pictures, sound or MCP content -> text and parts for the model. Pure; imports no MCP.

What GLM cannot take is named with its type and size, so that the model knows of it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple, cast

from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, VideoPart

_PLAIN = frozenset({str, int, float, bool, type(None), dict})
"""Types that are never special: a list of a million numbers is looked through at no cost."""
_PARTS = (ImagePart, VideoPart, FilePart, AudioPart)
_IMAGES = {"image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/bmp"}
"""Kinds of pictures that vision models take."""
_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
"""Kinds of sound that voice models take, and GLM's words for them."""
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
_CALL_RESULT = "CallToolResult"


class Block(NamedTuple):
    """A value as the model gets it."""

    text: str = ""
    parts: tuple[Part, ...] = ()
    is_error: bool = False


def read_value(value: Any) -> Block | None:
    """The block of a value that is no plain data; None for data, which is shown as JSON."""
    if type(value) in _PLAIN:
        return None
    if isinstance(value, _PARTS):
        return Block(parts=(value,))
    if isinstance(value, bytes | bytearray | memoryview):
        return _read_bytes(bytes(cast("bytes", value)))
    if is_mcp(value):
        return _read_result(value) if type(value).__name__ == _CALL_RESULT else read_content(value)
    return _read_picture(value)


def is_mcp(value: object) -> bool:
    """Whether it is content of the MCP SDK, which is recognised without being imported."""
    return type(value).__module__.startswith(("mcp_types.", "mcp.types")) and (
        hasattr(value, "type") or type(value).__name__ == _CALL_RESULT
    )


def read_content(block: Any) -> Block:
    """One content block of MCP: text, image, audio, a link or a resource."""
    match block.type:
        case "text":
            return Block(block.text)
        case "image" | "audio":
            return encoded(block.data, block.mime_type, block.type)
        case "resource_link":
            return Block(_link(block))
        case _:
            return _read_resource(block.resource)


def encoded(data: str, mime: str, what: str) -> Block:
    """Base64 text as a part where GLM has one for it; a picture that is broken would fail the next request."""
    size, data = _size(data), "".join(data.split())
    mime = mime.partition(";")[0].strip().lower()
    if size is None:
        return Block(f"[{what} of type {mime}: its data is broken]")
    named = f"[{what} of type {mime}, {size:,} bytes"
    if mime in _IMAGES:
        return Block(f"{named}]", (ImagePart(url=f"data:{mime};base64,{data}"),))
    if mime in _SOUNDS:
        return Block(f"{named}]", (AudioPart(data=data, format=_SOUNDS[mime]),))
    return Block(f"{named}: cannot be shown]")


def _read_result(result: Any) -> Block:
    blocks = [read_content(block) for block in result.content]
    return Block(
        "\n".join(block.text for block in blocks),
        tuple(part for block in blocks for part in block.parts),
        bool(result.is_error),
    )


def _read_resource(resource: Any) -> Block:
    if (text := getattr(resource, "text", None)) is not None:
        return Block(f"[resource {resource.uri}]\n{text}")
    named, mime = f"resource {resource.uri}", resource.mime_type or "application/octet-stream"
    text = _blob_text(resource.blob) if mime.startswith("text/") else None
    return encoded(resource.blob, mime, named) if text is None else Block(f"[{named}]\n{text}")


def _blob_text(blob: str) -> str | None:
    """The text that a blob says to hold; None where it holds something else."""
    try:
        return base64.b64decode("".join(blob.split()), validate=True).decode() or None
    except (binascii.Error, ValueError):
        return None


def _link(block: Any) -> str:
    described = " ".join(part for part in (block.title or block.name, block.description) if part and part != block.uri)
    return f"[link {block.uri}{f' ({block.mime_type})' if block.mime_type else ''}] {described}".rstrip()


def _read_bytes(value: bytes) -> Block | None:
    """Bytes whose beginning says what they are; others are text, or shown as base64."""
    mime = next((mime for signature, mime in _SIGNATURES if value.startswith(signature)), "")
    if value[:4] == b"RIFF":
        mime = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(value[8:12], "")
    return encoded(base64.b64encode(value).decode(), mime, mime.partition("/")[0]) if mime else None


def _read_picture(value: object) -> Block | None:
    """An object that notebooks show as a picture (PIL's images, plots), as that picture."""
    for kind in ("png", "jpeg"):
        show = getattr(type(value), f"_repr_{kind}_", None)
        if show is not None:
            shown = show(value)
            data = shown.encode() if isinstance(shown, str) else base64.b64encode(shown) if shown else b""
            if data:
                return encoded(data.decode(), f"image/{kind}", "image")
    return None


def _size(data: str) -> int | None:
    """Bytes that the base64 text stands for; None when it is none, or empty."""
    try:
        return len(base64.b64decode("".join(data.split()), validate=True)) or None
    except (binascii.Error, ValueError):
        return None
