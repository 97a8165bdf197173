"""The models that the simulated service knows: windows, limits and manners, from Zhipu's documents.

Data of its own, apart from the table that our client uses, so that an error in one is seen by the other.

Source: model overview and OpenAPI of docs.bigmodel.cn (2026-07-11), docs.z.ai model pages (to 2026-10).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Manner = Literal["never", "may", "always", "forced"]
"""How a model thinks: not at all, when it wants, always unless switched off, always."""

_SEEING = frozenset({"text", "image_url", "video_url", "file_url"})
_ALL_EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What one model takes and gives."""

    window: int
    """Tokens of prompt and answer together."""
    max_output: int
    """Upper bound of ``max_tokens``."""
    default_output: int = 65_536
    """``max_tokens`` where the request has none."""
    parts: frozenset[str] = frozenset({"text"})
    """Types of content parts in a user message."""
    most_pictures: int = 50
    """Pictures in one message."""
    only_links: bool = False
    """Whether pictures are taken as addresses alone."""
    thinking: Manner = "may"
    efforts: frozenset[str] = frozenset()
    """Accepted values of ``reasoning_effort``; empty: the field is ignored."""


_M = 1_000_000
_FORCED = frozenset({"low", "high", "max"})

MODELS: dict[str, ModelFacts] = {
    "glm-5.3": ModelFacts(window=_M, max_output=131_072, thinking="forced", efforts=_FORCED),
    "glm-5.3-flash": ModelFacts(window=_M, max_output=131_072, parts=_SEEING, thinking="forced", efforts=_FORCED),
    "glm-5.3-flashx": ModelFacts(window=_M, max_output=131_072, parts=_SEEING, thinking="forced", efforts=_FORCED),
    "glm-5.2": ModelFacts(window=_M, max_output=131_072, efforts=_ALL_EFFORTS),
    "glm-5.1": ModelFacts(window=200_000, max_output=131_072),
    "glm-5.1-highspeed": ModelFacts(window=200_000, max_output=131_072),
    "glm-5-turbo": ModelFacts(window=200_000, max_output=131_072),
    "glm-5": ModelFacts(window=204_800, max_output=131_072),
    "glm-5-code": ModelFacts(window=204_800, max_output=131_072),
    "glm-5v-turbo": ModelFacts(window=200_000, max_output=131_072, parts=_SEEING),
    "glm-4.7": ModelFacts(window=204_800, max_output=131_072, thinking="always"),
    "glm-4.7-flash": ModelFacts(window=200_000, max_output=131_072, thinking="always"),
    "glm-4.7-flashx": ModelFacts(window=200_000, max_output=131_072, thinking="always"),
    "glm-4.6": ModelFacts(window=204_800, max_output=131_072),
    "glm-4.6v": ModelFacts(window=128_000, max_output=32_768, default_output=16_384, parts=_SEEING),
    "glm-4.6v-flash": ModelFacts(window=128_000, max_output=32_768, default_output=16_384, parts=_SEEING),
    "glm-4.6v-flashx": ModelFacts(window=128_000, max_output=32_768, default_output=16_384, parts=_SEEING),
    "glm-4.5": ModelFacts(window=131_072, max_output=98_304),
    "glm-4.5-x": ModelFacts(window=131_072, max_output=98_304),
    "glm-4.5-air": ModelFacts(window=131_072, max_output=98_304),
    "glm-4.5-airx": ModelFacts(window=131_072, max_output=98_304),
    "glm-4.5-flash": ModelFacts(window=131_072, max_output=98_304),
    "glm-4.5v": ModelFacts(window=64_000, max_output=16_384, default_output=16_384, parts=_SEEING, thinking="always"),
    "glm-4.1v-thinking-flash": ModelFacts(
        window=64_000, max_output=32_768, default_output=16_384, parts=_SEEING, thinking="forced"
    ),
    "glm-4.1v-thinking-flashx": ModelFacts(
        window=64_000, max_output=16_384, default_output=16_384, parts=_SEEING, thinking="forced"
    ),
    "glm-4-32b-0414-128k": ModelFacts(window=128_000, max_output=16_384, default_output=16_384, thinking="never"),
    "glm-4-flash-250414": ModelFacts(window=128_000, max_output=32_768, default_output=16_384, thinking="never"),
    "glm-4-flashx-250414": ModelFacts(window=128_000, max_output=32_768, default_output=16_384, thinking="never"),
    "glm-4-air-250414": ModelFacts(window=128_000, max_output=16_384, default_output=16_384, thinking="never"),
    "glm-4-plus": ModelFacts(window=128_000, max_output=4_095, default_output=1_024, thinking="never"),
    "glm-4v-plus-0111": ModelFacts(
        window=64_000, max_output=8_192, default_output=1_024, parts=_SEEING, thinking="never", most_pictures=5
    ),
    "glm-4v-flash": ModelFacts(
        window=64_000,
        max_output=1_024,
        default_output=1_024,
        parts=frozenset({"text", "image_url"}),
        thinking="never",
        most_pictures=1,
        only_links=True,
    ),
    "glm-4-voice": ModelFacts(
        window=8_192,
        max_output=4_096,
        default_output=1_024,
        parts=frozenset({"text", "input_audio"}),
        thinking="never",
    ),
    "charglm-4": ModelFacts(window=32_768, max_output=4_096, default_output=1_024, thinking="never"),
    "emohaa": ModelFacts(window=8_192, max_output=4_096, default_output=1_024, thinking="never"),
    "autoglm-phone": ModelFacts(
        window=32_768,
        max_output=4_096,
        default_output=1_024,
        parts=frozenset({"text", "image_url"}),
        thinking="never",
    ),
}

MODELS["autoglm-phone-multilingual"] = MODELS["autoglm-phone"]
SIMULATED = ModelFacts(window=200_000, max_output=131_072, parts=_SEEING, efforts=_ALL_EFFORTS)
"""Ids that begin with ``simulate``: no real model, but one that takes everything."""


def facts_of(model: str) -> ModelFacts | None:
    """What is known of a model id, which is lower case; None for one the service does not have."""
    if fnmatchcase(model, "simulate*"):
        return SIMULATED
    return MODELS.get(model)
