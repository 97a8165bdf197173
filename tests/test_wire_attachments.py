"""What is taken of pictures, videos, files and sounds: refused before it is sent, by Zhipu's limits."""

import base64
from pathlib import Path

import pytest

from glm_agent.agent.attachments import parts
from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    ModelRequest,
    ModelResponse,
    Part,
    ToolCall,
    ToolResult,
    UserMessage,
    VideoPart,
)
from glm_agent.models.catalog import lookup
from glm_agent.wire.attachments import IMAGE_LIMIT
from glm_agent.wire.dialects import DIALECTS
from glm_agent.wire.encode import encode_request

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
WEB = ImagePart(url="https://x.example/a.png")


def picture(size: int, kind: str = "image/png") -> ImagePart:
    return ImagePart(url=f"data:{kind};base64,{base64.b64encode(bytes(size)).decode()}")


def sent(*attachments: Part, model: str = "glm-4.6v", dialect: str = "zai") -> bytes:
    request = ModelRequest(model=model, messages=(UserMessage(text="Look.", attachments=attachments),))
    return encode_request(request, capabilities=lookup(model).capabilities, dialect=DIALECTS[dialect])


@pytest.mark.parametrize(
    ("model", "attachments", "says"),
    [
        ("glm-4.6v", (picture(IMAGE_LIMIT + 1),), "has 5,242,881 bytes: at most 5,242,880"),
        ("glm-4.6v", (picture(8, "image/webp"),), "type is 'image/webp'"),
        ("glm-4.6v", (WEB,) * 51, "51 images in one message: at most 50"),
        ("glm-4v-plus-0111", (WEB,) * 6, "6 images in one message: at most 5"),
        ("glm-4v-flash", (WEB,) * 2, "at most 1"),
        ("glm-4v-flash", (picture(8),), "addresses only"),
        ("glm-4.6v", (VideoPart(url="data:video/mp4;base64,AAAA"),), "video is taken as an https"),
        ("glm-4.6v", (FilePart(url="data:application/pdf;base64,AAAA"),), "file is taken as an https"),
        ("glm-4.6v", (FilePart(url="https://x.example/a.pdf"),) * 51, "51 files"),
        ("glm-4-voice", (AudioPart(data="AAAA", format="ogg"),), "format is 'ogg'"),
    ],
)
def test_what_is_over_a_limit_is_refused(model: str, attachments: tuple[Part, ...], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        sent(*attachments, model=model)


def test_what_is_just_within_the_limits_is_sent() -> None:
    assert sent(picture(IMAGE_LIMIT), *(WEB,) * 49).count(b"image_url") == 100
    assert sent(AudioPart(data="AAAA", format="mp3"), model="glm-4-voice").count(b"input_audio") == 2


def test_other_hosts_have_limits_of_their_own() -> None:
    assert b"image/webp" in sent(picture(8, "image/webp"), dialect="vllm")


def test_a_tools_picture_that_is_too_large_is_named_and_left_out() -> None:
    call = ToolCall(id="c", name="shot", arguments="{}")
    result = ToolResult(call_id="c", content="done", attachments=(picture(IMAGE_LIMIT + 1), WEB))
    history = (UserMessage(text="x"), ModelResponse(tool_calls=(call,)), result)
    body = encode_request(
        ModelRequest(model="glm-4.6v", messages=history), capabilities=lookup("glm-4.6v").capabilities
    )
    assert body.count(b"x.example/a.png") == 1
    assert b"image left out" in body
    assert len(body) < 2_000


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"ID3\x04rest", "mp3"),
    ],
)
def test_bytes_are_told_by_how_they_begin(data: bytes, kind: str) -> None:
    (part,) = parts([data])
    if isinstance(part, ImagePart):
        assert part.url == f"data:{kind};base64,{base64.b64encode(data).decode()}"
    else:
        assert isinstance(part, AudioPart)
        assert (part.format, part.data) == (kind, base64.b64encode(data).decode())


def test_bytes_of_another_kind_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither png, jpeg, wav nor mp3"):
        parts([b"%PDF-1.7"])


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(IMAGE_LIMIT + 1)
    with pytest.raises(ConfigurationError, match="at most 5,242,880"):
        parts([path])
