"""The models as data: windows, what they read, how they think, what they cost.

The table ages; whoever knows better passes ``overrides``. A GLM that is not in it works with safe defaults.

Source: docs.z.ai and docs.bigmodel.cn, January to October 2026 (section "Pricing" for the prices).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from glm_agent.messages import Usage
from glm_agent.wire.capabilities import Capabilities, Modality, Thinking
from glm_agent.wire.dialects import canonical_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Money per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Of the prompt's part that was in the provider's cache; None: the same as ``input``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What is known of one model."""

    name: str
    """The id that Zhipu uses."""
    context_tokens: int = 128_000
    """Prompt and answer together."""
    default_output_tokens: int = 65_536
    """Bound of one answer where ``max_tokens`` is not sent."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    price: Price | None = None
    """US dollars, at the international site; None: unknown."""
    price_cny: Price | None = None
    """Yuan, at the mainland's site; None: unknown."""
    is_known: bool = True
    """Whether the table has it; else these are guesses on the safe side."""


_TEXT: frozenset[Modality] = frozenset({"text"})
_VISION: frozenset[Modality] = frozenset({"text", "image", "video", "file"})
_PICTURES: frozenset[Modality] = frozenset({"text", "image"})
_VOICE: frozenset[Modality] = frozenset({"text", "audio"})

_EFFORTS_5_3 = ("low", "high", "max")
_EFFORTS_5_2 = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_FREE = Price(input=0, output=0, cached=0)


def _price(input_: float, cached: float | None, output: float) -> Price:
    return Price(input=input_, output=output, cached=cached)


def _model(
    name: str,
    context: int,
    output: int,
    thinking: Thinking,
    price: Price | None,
    *,
    reads: frozenset[Modality] = _TEXT,
    efforts: tuple[str, ...] = (),
    tool_stream: bool = False,
    default_output: int = 65_536,
    max_images: int = 50,
    takes_data: bool = True,
) -> ModelInfo:
    return ModelInfo(
        name=name,
        context_tokens=context,
        default_output_tokens=min(default_output, output),
        price=price,
        capabilities=Capabilities(
            modalities=reads,
            thinking=thinking,
            efforts=efforts,
            tool_stream=tool_stream,
            max_output_tokens=output,
            max_images=max_images,
            takes_data=takes_data,
        ),
    )


def _5_3(name: str, price: Price, reads: frozenset[Modality]) -> ModelInfo:
    return _model(name, 1_000_000, 131_072, "forced", price, reads=reads, efforts=_EFFORTS_5_3, tool_stream=True)


def _200k(name: str, thinking: Thinking, price: Price, reads: frozenset[Modality] = _TEXT) -> ModelInfo:
    return _model(name, 200_000, 131_072, thinking, price, reads=reads, tool_stream=True)


def _4_5(name: str, price: Price) -> ModelInfo:
    return _model(name, 128_000, 98_304, "auto", price)


def _4_6v(name: str, price: Price) -> ModelInfo:
    return _model(name, 128_000, 32_768, "auto", price, reads=_VISION, default_output=16_384)


def _plain(
    name: str,
    context: int,
    output: int,
    price: Price | None = None,
    reads: frozenset[Modality] = _TEXT,
    *,
    default_output: int = 16_384,
    max_images: int = 50,
    takes_data: bool = True,
) -> ModelInfo:
    return _model(
        name,
        context,
        output,
        "none",
        price,
        reads=reads,
        default_output=default_output,
        max_images=max_images,
        takes_data=takes_data,
    )


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        _5_3("glm-5.3", _price(1.4, 0.26, 4.4), _TEXT),
        _5_3("glm-5.3-flash", _price(0.15, 0.03, 0.5), _VISION),
        _5_3("glm-5.3-flashx", _price(0.37, 0.075, 1.25), _VISION),
        _model("glm-5.2", 1_000_000, 131_072, "auto", _price(1.4, 0.26, 4.4), efforts=_EFFORTS_5_2, tool_stream=True),
        _200k("glm-5.1", "auto", _price(1.4, 0.26, 4.4)),
        _200k("glm-5.1-highspeed", "auto", _price(1.4, 0.26, 4.4)),
        _200k("glm-5-turbo", "auto", _price(1.2, 0.24, 4.0)),
        _200k("glm-5", "auto", _price(1.0, 0.2, 3.2)),
        _200k("glm-5-code", "auto", _price(1.2, 0.3, 5.0)),
        _200k("glm-5v-turbo", "auto", _price(1.2, 0.24, 4.0), _VISION),
        _200k("glm-4.7", "always", _price(0.6, 0.11, 2.2)),
        _200k("glm-4.7-flashx", "always", _price(0.07, 0.01, 0.4)),
        _200k("glm-4.7-flash", "always", _FREE),
        _200k("glm-4.6", "auto", _price(0.6, 0.11, 2.2)),
        _4_6v("glm-4.6v", _price(0.3, 0.05, 0.9)),
        _4_6v("glm-4.6v-flashx", _price(0.04, 0.004, 0.4)),
        _4_6v("glm-4.6v-flash", _FREE),
        _4_5("glm-4.5", _price(0.6, 0.11, 2.2)),
        _4_5("glm-4.5-x", _price(2.2, 0.45, 8.9)),
        _4_5("glm-4.5-air", _price(0.2, 0.03, 1.1)),
        _4_5("glm-4.5-airx", _price(1.1, 0.22, 4.5)),
        _4_5("glm-4.5-flash", _FREE),
        _model("glm-4.5v", 64_000, 16_384, "always", _price(0.6, 0.11, 1.8), reads=_VISION),
        _plain("glm-4-32b-0414-128k", 128_000, 16_384, _price(0.1, None, 0.1)),
        _plain("glm-4-flash-250414", 128_000, 32_768, _FREE),
        _plain("glm-4-flashx-250414", 128_000, 16_384),
        _plain("glm-4-air-250414", 128_000, 16_384),
        _model("glm-4.1v-thinking-flash", 64_000, 32_768, "always", _FREE, reads=_VISION),
        _model("glm-4.1v-thinking-flashx", 64_000, 16_384, "always", None, reads=_VISION),
        _plain("glm-4v-plus-0111", 64_000, 8_192, reads=_VISION, default_output=1_024, max_images=5),
        _plain("glm-4v-flash", 64_000, 1_024, _FREE, reads=_PICTURES, max_images=1, takes_data=False),
        _plain("glm-4-voice", 8_000, 4_096, reads=_VOICE, default_output=1_024),
        _plain("charglm-4", 8_000, 4_096, default_output=1_024),
        _plain("emohaa", 8_000, 4_096, default_output=1_024),
        _plain("autoglm-phone", 8_000, 4_096, reads=_PICTURES, default_output=1_024),
        _plain("autoglm-phone-multilingual", 8_000, 4_096, reads=_PICTURES, default_output=1_024),
    )
}
"""Chat models by id."""

_YUAN: dict[str, Price] = {
    "glm-5.3": _price(8, 2, 28),
    "glm-5.3-flash": _price(0.8, 0.23, 2.8),
    "glm-5.3-flashx": _price(2, 0.57, 7),
    "glm-5.1": _price(6, 1.2, 24),
    "glm-5": _price(4, None, 18),
    "glm-5v-turbo": _price(5, 1.2, 22),
}
"""Source: docs.bigmodel.cn for the 5.3 family; the others were reported by users (glm-5.1: up to 32K of prompt)."""

MODELS.update({name: replace(MODELS[name], price_cny=price) for name, price in _YUAN.items()})
MODELS.update({name: replace(info, price_cny=_FREE) for name, info in MODELS.items() if info.price == _FREE})


def lookup(name: str, *, overrides: Mapping[str, ModelInfo] | None = None) -> ModelInfo:
    """What is known of a model, under whatever name a host gives it; guesses on the safe side for strangers.

    ``overrides`` (by the name as written, or Zhipu's id) come first.
    """
    canonical = canonical_name(name)
    for table in (overrides or {}, MODELS):
        if info := table.get(name) or table.get(canonical):
            return info
    return _stranger(canonical)


def cost_usd(model: str, usage: Usage, *, overrides: Mapping[str, ModelInfo] | None = None) -> float | None:
    """What the tokens cost in US dollars; None when the model's price is unknown."""
    return cost(model, usage, overrides=overrides)


def cost(
    model: str,
    usage: Usage,
    *,
    currency: Literal["USD", "CNY"] = "USD",
    is_batch: bool = False,
    overrides: Mapping[str, ModelInfo] | None = None,
) -> float | None:
    """What the tokens cost at the site that takes this currency; None when the model's price there is unknown.

    Tokens from the provider's cache have their own price, a batch costs half.
    """
    info = lookup(model, overrides=overrides)
    price = info.price if currency == "USD" else info.price_cny
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.input_tokens)
    fresh = usage.input_tokens - cached
    cached_price = price.input if price.cached is None else price.cached
    whole = (fresh * price.input + cached * cached_price + usage.output_tokens * price.output) / 1_000_000
    return whole / 2 if is_batch else whole


def _stranger(name: str) -> ModelInfo:
    # Whatever comes after GLM-4.5 thinks and knows the toggle; of another maker's model nothing is known.
    thinking: Thinking = "auto" if "glm" in name else "none"
    return ModelInfo(name=name, is_known=False, capabilities=Capabilities(thinking=thinking))
