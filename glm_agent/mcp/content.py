"""The SDK's result of a call -> text and pictures for the model. Pure.

Pictures and sound become attachments; what GLM cannot take is named, so that the model knows of it.
A server that fills both ``content`` and ``structuredContent`` says the same twice: the second is used alone only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from glm_agent.mcp import sanitize
from glm_agent.messages import Part
from glm_agent.registry import blocks

if TYPE_CHECKING:
    from mcp.types import CallToolResult


def read_content(result: CallToolResult) -> tuple[str, tuple[Part, ...]]:
    """The text and the attachments of a result."""
    read = [blocks.read_content(block) for block in result.content]
    texts = [sanitize.content(block.text) for block in read]
    if not texts and result.structured_content is not None:
        texts.append(sanitize.content(json.dumps(result.structured_content, ensure_ascii=False, default=str)))
    return "\n".join(texts) or "(the tool returned nothing)", tuple(part for block in read for part in block.parts)
