"""The SDK's result of a call -> text and pictures for the model. Pure.

Pictures become attachments; what GLM cannot take (sound, other bytes) is named, so that the model knows of it.
A server that fills both ``content`` and ``structuredContent`` says the same twice: the second is used alone only.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from glm_agent.mcp import sanitize
from glm_agent.messages import ImagePart, Part

if TYPE_CHECKING:
    from mcp.types import CallToolResult

_SHOWN = {"image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/bmp"}
"""Kinds of pictures that vision models take."""


def read_content(result: CallToolResult) -> tuple[str, tuple[Part, ...]]:
    """The text and the attachments of a result."""
    texts: list[str] = []
    parts: list[Part] = []
    for block in result.content:
        text, part = _block(block)
        texts.append(sanitize.content(text))
        parts += [part] if part else []
    if not texts and result.structured_content is not None:
        texts.append(sanitize.content(json.dumps(result.structured_content, ensure_ascii=False, default=str)))
    return "\n".join(texts) or "(the tool returned nothing)", tuple(parts)


def _block(block: Any) -> tuple[str, Part | None]:
    match block.type:
        case "text":
            return block.text, None
        case "image":
            return _bytes(block.data, block.mime_type, "image")
        case "audio":
            return _bytes(block.data, block.mime_type, "audio")
        case "resource_link":
            return _link(block), None
        case _:
            return _resource(block.resource)


def _link(block: Any) -> str:
    described = " ".join(part for part in (block.title or block.name, block.description) if part and part != block.uri)
    return f"[link {block.uri}{f' ({block.mime_type})' if block.mime_type else ''}] {described}".rstrip()


def _resource(resource: Any) -> tuple[str, Part | None]:
    mime = resource.mime_type or ""
    if (text := getattr(resource, "text", None)) is not None:
        return f"[resource {resource.uri}]\n{text}", None
    return _bytes(resource.blob, mime or "application/octet-stream", f"resource {resource.uri}")


def _bytes(data: str, mime: str, what: str) -> tuple[str, Part | None]:
    """A picture as an attachment, anything else by name; a picture that is broken would fail the next request."""
    size = _size(data)
    mime = mime.partition(";")[0].strip().lower()
    if size is None:
        return f"[{what} of type {mime}: its data is broken]", None
    if mime not in _SHOWN:
        return f"[{what} of type {mime}, {size:,} bytes: cannot be shown]", None
    return f"[{what} of type {mime}, {size:,} bytes]", ImagePart(url=f"data:{mime};base64,{''.join(data.split())}")


def _size(data: str) -> int | None:
    """Bytes that the base64 text stands for; None when it is none, or empty."""
    try:
        return len(base64.b64decode("".join(data.split()), validate=True)) or None
    except (binascii.Error, ValueError):
        return None
