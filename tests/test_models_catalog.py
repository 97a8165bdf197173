"""The model table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.messages import Usage
from glm_agent.models.catalog import MODELS, ModelInfo, Price, cost, cost_usd, lookup
from glm_agent.wire.dialects import canonical_name


@pytest.mark.parametrize("name", MODELS)
def test_every_row_makes_sense(name: str) -> None:
    info = MODELS[name]
    can = info.capabilities
    assert info.name == name == canonical_name(name)
    assert info.is_known
    assert 0 < info.default_output_tokens <= can.max_output_tokens <= info.context_tokens
    assert can.modalities is not None
    assert "text" in can.modalities
    assert set(can.efforts or ()) <= {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
    if info.price is not None:
        assert 0 <= (info.price.cached or 0) <= info.price.input <= info.price.output


FACTS = [
    ("glm-5.3", 1_000_000, 131_072, "forced", {"text"}),
    ("glm-5.3-flash", 1_000_000, 131_072, "forced", {"text", "image", "video", "file"}),
    ("glm-5.2", 1_000_000, 131_072, "auto", {"text"}),
    ("glm-5v-turbo", 200_000, 131_072, "auto", {"text", "image", "video", "file"}),
    ("glm-4.7", 200_000, 131_072, "always", {"text"}),
    ("glm-4.5-air", 128_000, 98_304, "auto", {"text"}),
    ("glm-4.6v", 128_000, 32_768, "auto", {"text", "image", "video", "file"}),
    ("glm-4.5v", 64_000, 16_384, "always", {"text", "image", "video", "file"}),
    ("glm-4-voice", 8_000, 4_096, "none", {"text", "audio"}),
]


@pytest.mark.parametrize(("name", "context", "output", "thinking", "reads"), FACTS)
def test_the_table_says_what_the_documents_say(
    name: str, context: int, output: int, thinking: str, reads: set[str]
) -> None:
    info = lookup(name)
    can = info.capabilities
    assert (info.context_tokens, can.max_output_tokens, can.thinking, can.modalities) == (
        context,
        output,
        thinking,
        reads,
    )


@pytest.mark.parametrize(
    "name", ["z-ai/glm-5.3-flash", "GLM-5.3-Flash", "zai-glm-5-3-flash", "z-ai/glm-5.3-flash-20260827"]
)
def test_a_model_is_found_under_its_hosts_names(name: str) -> None:
    assert lookup(name) is MODELS["glm-5.3-flash"]


def test_a_glm_that_is_not_in_the_table_works_with_safe_defaults() -> None:
    info = lookup("glm-6-preview")
    assert not info.is_known
    assert info.capabilities.reads("video")
    assert info.capabilities.thinking == "auto"
    assert info.price is None
    assert lookup("another-makers").capabilities.thinking == "none"


def test_the_users_word_comes_first() -> None:
    mine = ModelInfo(name="glm-5.3", price=Price(input=1, output=2))
    assert lookup("z-ai/glm-5.3", overrides={"glm-5.3": mine}) is mine
    assert lookup("my-glm-5.3", overrides={"my-glm-5.3": mine}) is mine
    assert lookup("glm-5.2", overrides={"glm-5.3": mine}) is MODELS["glm-5.2"]


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("glm-5.3", Usage(input_tokens=1_000_000), 1.4),
        ("glm-5.3", Usage(input_tokens=1_000_000, cached_tokens=1_000_000), 0.26),
        ("glm-5.3", Usage(output_tokens=1_000_000, reasoning_tokens=900_000), 4.4),
        ("glm-5.3", Usage(input_tokens=1000, cached_tokens=400, output_tokens=10), (600 * 1.4 + 400 * 0.26 + 44) / 1e6),
        ("glm-4-32b-0414-128k", Usage(input_tokens=1_000_000, cached_tokens=500_000), 0.1),
        ("glm-4.7-flash", Usage(input_tokens=10**6, output_tokens=10**6), 0.0),
    ],
)
def test_what_tokens_cost(model: str, usage: Usage, dollars: float) -> None:
    assert cost_usd(model, usage) == pytest.approx(dollars)


def test_an_unknown_price_is_none_and_not_nothing() -> None:
    assert cost_usd("glm-6-preview", Usage(input_tokens=1)) is None
    assert cost_usd("glm-4-voice", Usage(input_tokens=1)) is None


@given(st.sampled_from(sorted(MODELS)), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_no_usage_however_odd_costs_less_than_nothing(model: str, given_: int, cached: int, put_out: int) -> None:
    cost = cost_usd(model, Usage(input_tokens=given_, cached_tokens=cached, output_tokens=put_out))
    assert cost is None or cost >= 0


@pytest.mark.parametrize(
    ("model", "usage", "yuan"),
    [
        ("glm-5.3", Usage(input_tokens=1_000_000), 8.0),
        ("z-ai/glm-5.3-flash", Usage(input_tokens=1_000_000, cached_tokens=1_000_000), 0.23),
        ("glm-4.7-flash", Usage(output_tokens=10**6), 0.0),
        ("glm-4.6", Usage(output_tokens=10**6), None),
    ],
)
def test_what_tokens_cost_in_yuan(model: str, usage: Usage, yuan: float | None) -> None:
    assert cost(model, usage, currency="CNY") == (None if yuan is None else pytest.approx(yuan))


def test_a_batch_costs_half() -> None:
    usage = Usage(input_tokens=1_000_000)
    assert cost("glm-5.3", usage, is_batch=True) == pytest.approx(0.7)
