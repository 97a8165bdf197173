"""Settings as each model and host spells them; what a server would refuse is refused before it is sent."""

import math
from typing import Any

import pytest

from glm_agent.errors import ConfigurationError
from glm_agent.messages import ModelSettings
from glm_agent.models.catalog import lookup
from glm_agent.wire.dialects import DIALECTS, Dialect, canonical_name
from glm_agent.wire.settings import settings_fields


def fields(model: str = "glm-4.6", host: str = "zai", *, has_tools: bool = True, **settings: Any) -> dict[str, Any]:
    return settings_fields(
        ModelSettings(**settings),
        model=model,
        capabilities=lookup(model).capabilities,
        dialect=DIALECTS[host],
        has_tools=has_tools,
    )


KEPT = {"thinking": {"type": "enabled", "clear_thinking": False}}
"""An agent wants its earlier thinking kept; on the standard endpoint that must be said."""


def test_by_default_only_the_thinking_of_earlier_turns_is_asked_to_be_kept() -> None:
    assert fields() == KEPT
    assert fields("glm-4-flash-250414") == {}
    assert fields("glm-9-unheard-of") == KEPT
    assert fields("somebody-elses-model") == {}


def test_what_is_set_is_sent_as_it_was_written() -> None:
    got = fields(
        temperature=0.0, top_p=0.01, do_sample=False, max_tokens=1, stop=("END",), response_format="json_object",
        user_id="user-1", clear_thinking=True,
    )  # fmt: skip
    assert got == {
        "temperature": 0.0,
        "top_p": 0.01,
        "do_sample": False,
        "max_tokens": 1,
        "stop": ["END"],
        "response_format": {"type": "json_object"},
        "user_id": "user-1",
        "thinking": {"type": "enabled", "clear_thinking": True},
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 1.01}, "'temperature' is 1.01.*0 to 1"),
    ({"temperature": -0.1}, "'temperature'"),
    ({"temperature": math.nan}, "'temperature'"),
    ({"top_p": 0.0}, "'top_p' is 0.0.*0.01 to 1"),
    ({"top_p": 1.5}, "'top_p'"),
    ({"max_tokens": 0}, "'max_tokens' is 0.*1 to 131072"),
    ({"max_tokens": 131_073}, "'max_tokens'"),
    ({"stop": ("a", "b", "c", "d", "e")}, "'stop'.*at most 4"),
    ({"stop": ("",)}, "'stop'"),
    ({"user_id": "short"}, "'user_id' is 'short'.*6 to 128"),
    ({"user_id": "x" * 129}, "'user_id'"),
    ({"reasoning_effort": "hard"}, "'reasoning_effort' is 'hard'"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_a_value_out_of_range_is_refused_by_name_value_and_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        fields(**settings)
    assert "'glm-4.6'" in str(caught.value)


def test_the_bound_of_an_answer_is_the_models_own() -> None:
    assert fields("glm-4.6v", max_tokens=32_768)["max_tokens"] == 32_768
    with pytest.raises(ConfigurationError, match="1 to 32768"):
        fields("glm-4.6v", max_tokens=32_769)


def test_a_model_that_does_not_think_cannot_be_told_to() -> None:
    with pytest.raises(ConfigurationError, match="does not think"):
        fields("glm-4-flash-250414", thinking=True)
    assert fields("glm-4-flash-250414", thinking=False, reasoning_effort="high") == {}


@pytest.mark.parametrize("model", ["glm-4.5", "glm-4.7", "glm-5.2", "glm-9-unheard-of"])
def test_thinking_is_switched_off_where_that_can_be(model: str) -> None:
    assert fields(model, thinking=False) == {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize("model", ["glm-5.3", "glm-5.3-flash", "glm-5.3-flashx"])
@pytest.mark.parametrize("host", ["zai", "coding"])
def test_a_model_that_cannot_stop_thinking_thinks_as_little_as_it_can(model: str, host: str) -> None:
    assert fields(model, host, thinking=False) == {**KEPT, "reasoning_effort": "low"}
    assert fields(model, host, thinking=False, reasoning_effort="max") == {**KEPT, "reasoning_effort": "low"}


EFFORTS = [
    ("glm-5.3", "none", "low"),
    ("glm-5.3", "minimal", "low"),
    ("glm-5.3", "low", "low"),
    ("glm-5.3", "medium", "high"),
    ("glm-5.3", "high", "high"),
    ("glm-5.3", "xhigh", "max"),
    ("glm-5.3", "max", "max"),
    *(("glm-5.2", word, word) for word in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    ("glm-4.7", "high", None),
    ("glm-5.1", "max", None),
    ("glm-9-unheard-of", "max", "max"),
]


@pytest.mark.parametrize(("model", "wanted", "expected"), EFFORTS)
def test_an_effort_is_sent_in_a_word_that_the_model_has(model: str, wanted: str, expected: str | None) -> None:
    assert fields(model, reasoning_effort=wanted).get("reasoning_effort") == expected


def test_no_effort_at_all_is_no_thinking_where_there_is_only_the_toggle() -> None:
    assert fields("glm-4.7", reasoning_effort="none") == {"thinking": {"type": "disabled"}}
    assert fields("glm-4.7", reasoning_effort="none", thinking=True) == KEPT


def test_arguments_are_streamed_only_where_the_model_can_and_there_are_tools() -> None:
    assert fields(tool_stream=True)["tool_stream"] is True
    assert "tool_stream" not in fields(tool_stream=True, has_tools=False)
    assert "tool_stream" not in fields(tool_stream=False)
    assert "tool_stream" not in fields("glm-4.5", tool_stream=True)
    assert "tool_stream" not in fields("z-ai/glm-4.6", "openrouter", tool_stream=True)


HOSTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openrouter", {}, {"usage": {"include": True}}),
    ("openrouter", {"thinking": True}, {"usage": {"include": True}, "reasoning": {"enabled": True}}),
    ("openrouter", {"reasoning_effort": "max"}, {"usage": {"include": True}, "reasoning": {"effort": "xhigh"}}),
    ("openrouter", {"reasoning_effort": "low"}, {"usage": {"include": True}, "reasoning": {"effort": "low"}}),
    (
        "vllm",
        {"user_id": "user-1", "do_sample": True},
        {
            "stream_options": {"include_usage": True},
            "chat_template_kwargs": {"enable_thinking": True, "clear_thinking": False},
            "user": "user-1",
        },
    ),
    ("cerebras", {}, {"stream_options": {"include_usage": True}, "clear_thinking": False}),
]


@pytest.mark.parametrize(("host", "settings", "expected"), HOSTS)
def test_other_hosts_are_asked_in_their_own_words(host: str, settings: dict[str, Any], expected: Any) -> None:
    assert fields("glm-5.2", host, **settings) == expected


OFF = {
    "openrouter": {"reasoning": {"enabled": False}},
    "vllm": {"chat_template_kwargs": {"enable_thinking": False, "clear_thinking": False}},
    "sglang": {"chat_template_kwargs": {"enable_thinking": False, "clear_thinking": False}},
    "cerebras": {"clear_thinking": False, "disable_reasoning": True},
}


@pytest.mark.parametrize("host", OFF)
def test_thinking_is_switched_off_in_each_hosts_words(host: str) -> None:
    assert fields("glm-5.2", host, thinking=False).items() >= OFF[host].items()


# -- hosts


def test_the_hosts_addresses_are_those_of_the_documents() -> None:
    assert {name: DIALECTS[name].base_url for name in ("zai", "bigmodel", "coding", "coding-cn")} == {
        "zai": "https://api.z.ai/api/paas/v4",
        "bigmodel": "https://open.bigmodel.cn/api/paas/v4",
        "coding": "https://api.z.ai/api/coding/paas/v4",
        "coding-cn": "https://open.bigmodel.cn/api/coding/paas/v4",
    }
    for name, dialect in DIALECTS.items():
        assert dialect.name == name
        assert dialect.base_url.startswith("https://") or not dialect.needs_key
        assert isinstance(dialect, Dialect)
        assert dialect.key_names


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("glm-5.3-flash", "glm-5.3-flash"),
        ("GLM-4.6", "glm-4.6"),
        ("z-ai/glm-5-turbo-20260315", "glm-5-turbo"),
        ("z-ai/glm-5.3-flash:free", "glm-5.3-flash"),
        ("zai.glm-4.7", "glm-4.7"),
        ("zai-glm-4.7", "glm-4.7"),
        ("zai-glm-5-3", "glm-5.3"),
        ("zai-org/GLM-4.5-Air-FP8", "glm-4.5-air"),
        ("glm-4-5-air", "glm-4.5-air"),
        ("accounts/fireworks/models/glm-5-2", "glm-5.2"),
        ("glm-4-32b-0414-128k", "glm-4-32b-0414-128k"),
        ("glm-4-flash-250414", "glm-4-flash-250414"),
        ("charglm-4", "charglm-4"),
        ("autoglm-phone", "autoglm-phone"),
        ("Gpt-9", "gpt-9"),
        ("", ""),
    ],
)
def test_a_model_is_known_under_every_hosts_name_for_it(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


# -- what only some accounts and models have


def test_marks_checks_and_roles_go_to_zhipus_servers_alone() -> None:
    given = {"watermark_enabled": False, "sensitive_word_check": False, "meta": {"user_name": "A", "bot_name": "B"}}
    got = fields("charglm-4", **given)
    assert got["watermark_enabled"] is False
    assert got["sensitive_word_check"] == {"type": "ALL", "status": "DISABLE"}
    assert got["meta"] == {"user_name": "A", "bot_name": "B"}
    assert fields(sensitive_word_check=True)["sensitive_word_check"]["status"] == "ENABLE"
    assert not fields("charglm-4", "vllm", **given).keys() & given.keys()


@pytest.mark.parametrize("meta", [{"user": "A"}, {"user_name": 1}])
def test_roles_of_another_kind_are_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the setting 'meta'"):
        fields("charglm-4", meta=meta)


def test_a_choice_of_tools_is_never_sent() -> None:
    assert "tool_choice" not in fields(tool_choice="required")
