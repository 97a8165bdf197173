"""What Zhipu's servers take of pictures, videos, files and sounds: formats, sizes, numbers. Pure.

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11, vision and voice models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, VideoPart
from glm_agent.wire.capabilities import Capabilities

IMAGE_LIMIT = 5 * 2**20
"""Bytes of one picture."""
AUDIO_LIMIT = 100 * 2**20
"""Bytes of one sound: ten minutes of uncompressed stereo."""
FILES_LIMIT = 50
"""Files in one message."""

_IMAGE_TYPES = ("image/png", "image/jpeg", "image/jpg")


def fault_of(part: Part, capabilities: Capabilities) -> str:
    """Why the servers refuse a part; empty: they take it."""
    match part:
        case ImagePart():
            return _fault_of_image(part.url, capabilities)
        case VideoPart() | FilePart():
            is_remote = part.url.startswith(("http://", "https://"))
            return "" if is_remote else f"a {part.kind} is taken as an https: address only, not as data"
        case AudioPart():
            if part.format not in ("wav", "mp3"):
                return f"the sound's format is '{part.format}': wav and mp3 are taken"
            return _too_large("sound", _decoded_size(part.data), AUDIO_LIMIT)


def fault_of_all(parts: Sequence[Part], capabilities: Capabilities) -> str:
    """Why the servers refuse the parts of one message together; empty: they take them."""
    numbers = Counter[str](part.kind for part in parts)
    for kind, most in (("image", capabilities.max_images), ("file", FILES_LIMIT)):
        if numbers[kind] > most:
            return f"{numbers[kind]} {kind}s in one message: at most {most} are taken"
    return ""


def _fault_of_image(url: str, capabilities: Capabilities) -> str:
    if url.startswith(("http://", "https://")):
        return ""
    if not capabilities.takes_data:
        return "this model takes pictures as https: addresses only"
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:"):
        kind = head.removeprefix("data:").partition(";")[0].lower()
        if kind not in _IMAGE_TYPES:
            return f"the picture's type is '{kind}': png and jpeg are taken"
    return _too_large("picture", _decoded_size(data or url), IMAGE_LIMIT)


def _decoded_size(base64_text: str) -> int:
    return len(base64_text) * 3 // 4 - base64_text[-2:].count("=")


def _too_large(what: str, size: int, most: int) -> str:
    return f"the {what} has {size:,} bytes: at most {most:,} are taken" if size > most else ""
