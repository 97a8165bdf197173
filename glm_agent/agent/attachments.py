"""What a user hands over beside the text, made into parts."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable
from pathlib import Path

from glm_agent.agent.names import listed
from glm_agent.errors import ConfigurationError
from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, VideoPart
from glm_agent.wire.attachments import AUDIO_LIMIT, IMAGE_LIMIT

Attachment = Part | str | Path | bytes
"""A part, an ``https:`` or ``data:`` address, the path of a local image or sound, or the bytes of one."""

_REMOTE = ("http://", "https://", "data:")


def parts(attachments: Iterable[Attachment]) -> tuple[Part, ...]:
    """The parts, local files read and encoded; ``ConfigurationError`` for what GLM cannot be sent."""
    return tuple(_part(attachment) for attachment in listed(attachments, argument="attachments"))


def _part(attachment: Attachment) -> Part:
    if isinstance(attachment, ImagePart | VideoPart | FilePart | AudioPart):
        return attachment
    if isinstance(attachment, bytes):
        return _bytes_part(attachment)
    if not isinstance(attachment, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"an attachment is a part, an address, a path or bytes, and got {attachment!r}")
    text = str(attachment)
    if text.startswith("data:image/"):
        return ImagePart(url=text)
    kind = (mimetypes.guess_type(text.partition("?")[0])[0] or "").partition("/")[0]
    if text.startswith(_REMOTE):
        of_kind: dict[str, type[ImagePart | VideoPart]] = {"image": ImagePart, "video": VideoPart}
        return of_kind.get(kind, FilePart)(url=text)
    return _local_part(Path(text), kind)


def _local_part(path: Path, kind: str) -> Part:
    if kind not in ("image", "audio"):
        raise ConfigurationError(
            f"the attachment {str(path)!r} cannot be sent: GLM takes local images and sounds;"
            " give a video or a document as an https: address"
        )
    try:
        size = path.stat().st_size
        most = IMAGE_LIMIT if kind == "image" else AUDIO_LIMIT
        if size > most:
            raise ConfigurationError(f"the attachment {str(path)!r} has {size:,} bytes: GLM takes at most {most:,}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter for a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"the attachment {str(path)!r} cannot be read: {reason}") from error
    if kind == "audio":
        return AudioPart(data=base64.b64encode(data).decode(), format=path.suffix.lstrip(".").lower())
    return _image(mimetypes.guess_type(path)[0] or "image/png", data)


def _bytes_part(data: bytes) -> Part:
    """The part that bytes are, told by how they begin."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _image("image/png", data)
    if data.startswith(b"\xff\xd8\xff"):
        return _image("image/jpeg", data)
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return AudioPart(data=base64.b64encode(data).decode(), format="wav")
    if data.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")):
        return AudioPart(data=base64.b64encode(data).decode(), format="mp3")
    raise ConfigurationError(f"{len(data):,} bytes were attached that are neither png, jpeg, wav nor mp3: give a part")


def _image(kind: str, data: bytes) -> ImagePart:
    return ImagePart(url=f"data:{kind};base64,{base64.b64encode(data).decode()}")
