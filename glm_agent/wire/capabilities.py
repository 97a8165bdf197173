"""What a model can take, as far as a request's fields depend on it. Data only; the table is in ``models.catalog``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Modality = Literal["text", "image", "video", "file", "audio"]

Thinking = Literal["none", "auto", "always", "forced"]
"""Never thinks; decides per request; always unless told not to; always, whatever it is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What one model accepts. The defaults are safe for a GLM that nobody here has heard of."""

    modalities: frozenset[Modality] | None = None
    """What a user message may hold; None: unknown, so that everything is sent."""
    thinking: Thinking = "auto"
    efforts: tuple[str, ...] | None = None
    """Words for ``reasoning_effort``, lowest first; empty: the model has no such field; None: unknown."""
    max_images: int = 50
    """Pictures in one message."""
    takes_data: bool = True
    """Whether pictures may come as base64, not as addresses alone."""
    tool_stream: bool = True
    """Whether arguments can be streamed in fragments."""
    max_output_tokens: int = 131_072
    """The largest ``max_tokens`` that the server accepts."""

    def reads(self, modality: Modality) -> bool:
        return self.modalities is None or modality in self.modalities
