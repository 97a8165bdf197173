"""A tool's result in the protocol's words."""

from __future__ import annotations

from mcp import types

from glm_agent.messages import AudioPart, FilePart, ImagePart, Part, ToolResult, VideoPart


def read_result(result: ToolResult) -> types.CallToolResult:
    """The result as content blocks; an error is one too, so that the client's model reads it."""
    blocks: list[types.ContentBlock] = [_block(part) for part in result.attachments]
    if result.content or not blocks:
        blocks.insert(0, types.TextContent(type="text", text=result.content))
    return types.CallToolResult(content=blocks, is_error=result.is_error)


def _block(part: Part) -> types.ContentBlock:
    match part:
        case ImagePart(url=url) if url.startswith("data:"):
            head, _, data = url.partition(",")
            return types.ImageContent(
                type="image", data=data, mime_type=head.removeprefix("data:").partition(";")[0] or "image/png"
            )
        case AudioPart(data=data, format=kind):
            return types.AudioContent(type="audio", data=data, mime_type="audio/mpeg" if kind == "mp3" else "audio/wav")
        case ImagePart(url=url) | VideoPart(url=url) | FilePart(url=url):
            return types.ResourceLink(type="resource_link", uri=url, name=url.rsplit("/", 1)[-1] or url)
