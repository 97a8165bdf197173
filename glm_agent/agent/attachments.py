"""What a user hands over beside the text, made into parts."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable
from pathlib import Path

from glm_agent.errors import ConfigurationError
from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, VideoPart

Attachment = Part | str | Path
"""A part, an ``https:`` or ``data:`` address, or the path of a local image or sound."""

_REMOTE = ("http://", "https://", "data:")


def parts(attachments: Iterable[Attachment]) -> tuple[Part, ...]:
    """The parts, local files read and encoded; ``ConfigurationError`` for what GLM cannot be sent."""
    return tuple(_part(attachment) for attachment in attachments)


def _part(attachment: Attachment) -> Part:
    if isinstance(attachment, ImagePart | VideoPart | FilePart | AudioPart):
        return attachment
    text = str(attachment)
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
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise ConfigurationError(f"the attachment {str(path)!r} cannot be read: {error.strerror}") from error
    if kind == "audio":
        return AudioPart(data=data, format=path.suffix.lstrip(".").lower())
    return ImagePart(url=f"data:{mimetypes.guess_type(path)[0]};base64,{data}")
