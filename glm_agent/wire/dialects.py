"""Who hosts GLM, and in which words each host wants it asked. A table; adding a host is adding a row.

Source: documentation of docs.z.ai and docs.bigmodel.cn, October 2026; recordings of OpenRouter (2026-04);
host documentation of Cerebras, vLLM and Alibaba Cloud Model Studio (page "GLM"), 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from glm_agent.messages import JsonObject

ReasoningField = Literal["reasoning_content", "reasoning", "think_tag"]
"""Where a host wants the thinking of earlier answers; ``think_tag``: as ``<think>`` text in the content."""

Spelling = Literal["glm", "openrouter", "chat_template", "cerebras", "dashscope"]
"""How a host spells thinking and effort; ``glm`` also has the fields that only Zhipu's own servers know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """One host of GLM."""

    name: str
    """The provider in ``provider:model``."""
    base_url: str
    key_names: tuple[str, ...]
    """Environment variables that may hold the key, in order; empty where none is needed."""
    base_url_names: tuple[str, ...] = ()
    """Environment variables that replace ``base_url``."""
    needs_key: bool = True
    spelling: Spelling = "glm"
    reasoning_field: ReasoningField = "reasoning_content"
    rescues_markup: bool = True
    """Whether tool calls that stand as markup at the end of the text are taken for calls (of offered tools only).

    Seen from every host but those that say otherwise here. Source: zai-org/GLM-5#84, opencode#6883, sglang#30925.
    """
    always: JsonObject = field(default_factory=dict[str, object], hash=False)
    """Fields that every request to this host carries."""

    @property
    def is_native(self) -> bool:
        """Whether Zhipu's own servers answer."""
        return self.spelling == "glm"


_USAGE: JsonObject = {"stream_options": {"include_usage": True}}

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="zai",
            base_url="https://api.z.ai/api/paas/v4",
            key_names=("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY"),
            base_url_names=("ZAI_BASE_URL",),
        ),
        Dialect(
            name="bigmodel",
            base_url="https://open.bigmodel.cn/api/paas/v4",
            key_names=("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_API_KEY"),
            base_url_names=("ZHIPUAI_BASE_URL",),
        ),
        Dialect(
            name="coding",
            base_url="https://api.z.ai/api/coding/paas/v4",
            key_names=("ZAI_API_KEY", "ZHIPUAI_API_KEY", "GLM_API_KEY"),
        ),
        Dialect(
            name="coding-cn",
            base_url="https://open.bigmodel.cn/api/coding/paas/v4",
            key_names=("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_API_KEY"),
        ),
        Dialect(
            name="openrouter",
            base_url="https://openrouter.ai/api/v1",
            key_names=("OPENROUTER_API_KEY",),
            base_url_names=("OPENROUTER_BASE_URL",),
            spelling="openrouter",
            reasoning_field="reasoning",
            always={"usage": {"include": True}},
        ),
        Dialect(
            name="vllm",
            base_url="http://localhost:8000/v1",
            key_names=("VLLM_API_KEY",),
            base_url_names=("VLLM_BASE_URL",),
            needs_key=False,
            spelling="chat_template",
            always=_USAGE,
        ),
        Dialect(
            name="sglang",
            base_url="http://localhost:30000/v1",
            key_names=("SGLANG_API_KEY",),
            base_url_names=("SGLANG_BASE_URL",),
            needs_key=False,
            spelling="chat_template",
            always=_USAGE,
        ),
        Dialect(
            name="dashscope",
            base_url="https://dashscope.aliyuncs.com/compatible-mode/v1",
            key_names=("DASHSCOPE_API_KEY",),
            base_url_names=("DASHSCOPE_BASE_URL",),
            spelling="dashscope",
            always=_USAGE,
        ),
        Dialect(
            name="cerebras",
            base_url="https://api.cerebras.ai/v1",
            key_names=("CEREBRAS_API_KEY",),
            base_url_names=("CEREBRAS_BASE_URL",),
            spelling="cerebras",
            reasoning_field="think_tag",
            rescues_markup=False,
            always=_USAGE,
        ),
    )
}
"""The hosts by name."""


def same_host(url: str, dialect: Dialect) -> bool:
    """Whether an address belongs to a host: below its base URL, scheme and letters' case aside."""
    bare, base = _bare(url), _bare(dialect.base_url)
    return bare == base or bare.startswith(base + "/")


def _bare(url: str) -> str:
    return url.strip().lower().partition("://")[2].rstrip("/")


_HOST_PREFIX = re.compile(r"^.*?(?=(?:char|auto)?glm)")
_SUFFIXES = re.compile(r"(?::\w+|-(?:fp8|bf16|awq|gptq|nvfp4|int[48]|20\d{6}))+$")
_DASHED_VERSION = re.compile(r"^(glm-\d)-(?=\d(?:-|$))")


@lru_cache(maxsize=256)
def canonical_name(name: str) -> str:
    """The id that Zhipu uses for a model that a host calls otherwise.

    ``z-ai/glm-5-turbo-20260315``, ``zai.glm-5-turbo`` -> ``glm-5-turbo``; ``zai-org/GLM-4.6-FP8`` -> ``glm-4.6``;
    ``zai-glm-5-3`` -> ``glm-5.3``. Names without ``glm`` come back in lower case.
    """
    short = _HOST_PREFIX.sub("", name.strip().lower(), count=1)
    return _DASHED_VERSION.sub(r"\1.", _SUFFIXES.sub("", short))
