"""The nouns: values that can be kept as JSON and come back equal."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent import messages
from glm_agent.messages import (
    Event,
    Fact,
    HistoryReplaced,
    ImagePart,
    ModelResponse,
    ToolCall,
    ToolResult,
    TurnStarted,
    Usage,
    UserMessage,
    fact_from_json,
    fact_to_json,
    messages_from_json,
    messages_to_json,
)

FACTS = get_args(Fact)
EVENTS = get_args(Event)
NOUNS = [noun for noun in vars(messages).values() if dataclasses.is_dataclass(noun)]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
plain = {
    str: st.text(max_size=8),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    dict: st.dictionaries(st.text(max_size=3), json_values, max_size=2),
}


@cache
def nouns(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Values of one class; deferred, since a response may hold the messages of the request it answers."""
    hints = get_type_hints(kind)
    return st.deferred(
        lambda: st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    )


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type as the nouns use them; fields are read off the classes, so new ones are covered."""
    if dataclasses.is_dataclass(kind):
        return nouns(cast("type[Any]", kind))
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([values(one) for one in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    return plain[origin or kind]


def round_trip(fact: Fact) -> Fact:
    return fact_from_json(fact_to_json(fact))


@pytest.mark.parametrize("kind", FACTS, ids=lambda kind: kind.__name__)
def test_every_fact_comes_back_equal_from_its_json(kind: type[Any]) -> None:
    @settings(deadline=None, max_examples=60)
    @given(values(kind))
    def comes_back(fact: Fact) -> None:
        text = fact_to_json(fact)
        assert b"\n" not in text
        again = fact_from_json(text)
        assert type(again) is kind
        assert again == fact
        assert fact_to_json(again) == text

    comes_back()


def test_every_field_of_every_fact_is_in_its_json() -> None:
    for kind in FACTS:
        assert set(json.loads(fact_to_json(made(kind)))) == {field.name for field in dataclasses.fields(kind)}


def made(kind: type[Any]) -> Fact:
    """The plainest value of a kind."""
    required = {
        field.name: {"stop_reason": "error", "is_approved": True, "messages": (), "outcome": "done"}.get(
            field.name, "x"
        )
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return cast("Fact", kind(**required))


def test_messages_inside_a_replaced_history_keep_their_kinds_and_parts() -> None:
    image = ImagePart(url="data:image/png;base64,AAAA")
    history = (
        UserMessage(text="look", attachments=(image,)),
        ModelResponse(tool_calls=(ToolCall(id="a", name="t", arguments="{broken"),), extra={"new": [1, None]}),
        ToolResult(call_id="a", content="", attachments=(image, image), is_error=True),
    )
    again = round_trip(HistoryReplaced(messages=history))
    assert isinstance(again, HistoryReplaced)
    assert again.messages == history


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    assert fact_from_json('{"kind": "user_message", "text": "hi"}') == UserMessage(text="hi")
    assert fact_from_json(b'{"kind": "turn_started", "model": "m"}') == TurnStarted(model="m")


def test_what_a_newer_version_writes_beside_it_is_passed_over() -> None:
    assert fact_from_json('{"kind": "user_message", "text": "hi", "mood": "good"}') == UserMessage(text="hi")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"kind": "dance"}',
        '{"kind": "text_delta", "text": "x"}',
        '{"kind": "user_message"}',
        '{"kind": "user_message", "text": 3}',
        '{"kind": "turn_stopped", "stop_reason": "bored"}',
        b"\xff",
    ],
)
def test_what_is_no_fact_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fact_from_json(text)


def test_text_that_is_no_unicode_is_a_value_error() -> None:
    for fact in (UserMessage(text="half \ud83d"), ModelResponse(extra={"x": ["\udcff"]})):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            fact_to_json(fact)


# -- what all nouns have in common --------------------------------------------------------------------


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_noun_is_a_frozen_value_named_by_keywords(noun: type[Any]) -> None:
    parameters = noun.__dataclass_params__
    assert parameters.frozen
    assert parameters.eq
    assert noun.__slots__ is not None
    assert all(field.kw_only for field in dataclasses.fields(noun))


def test_every_event_has_the_kind_that_its_name_says() -> None:
    for event in EVENTS:
        (kind,) = get_args(get_type_hints(event)["kind"])
        assert kind == re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()
        assert next(field for field in dataclasses.fields(event) if field.name == "kind").default == kind
    assert len({event.__name__ for event in EVENTS}) == len(EVENTS)


def test_the_facts_in_the_docstring_are_the_facts() -> None:
    listed = re.search(r"facts .*?:(.*?)deltas", messages.__doc__ or "", re.DOTALL)
    assert listed is not None
    assert listed[1].split() == [fact.__name__ for fact in FACTS]


def test_usage_adds_up_field_by_field() -> None:
    usage = Usage(input_tokens=1, cached_tokens=2, output_tokens=3, reasoning_tokens=4)
    other = Usage(input_tokens=10, cached_tokens=20, output_tokens=30, reasoning_tokens=40)
    assert usage + other == Usage(input_tokens=11, cached_tokens=22, output_tokens=33, reasoning_tokens=44)
    assert usage + Usage() == usage
    assert (usage + other).total_tokens == 44


def test_a_conversation_is_kept_as_json_and_gone_on_with() -> None:
    said = (
        UserMessage(text="A-17?", attachments=(ImagePart(url="https://example.com/a.png"),)),
        ModelResponse(tool_calls=(ToolCall(id="a", name="stock", arguments='{"sku": "A-17"}'),), reasoning="hm"),
        ToolResult(call_id="a", name="stock", content="4", is_untrusted=True),
        ModelResponse(text="four"),
    )
    assert messages_from_json(messages_to_json(said)) == said
    assert messages_from_json(messages_to_json(iter(said)).decode()) == said
    assert messages_from_json(messages_to_json([UserMessage(text="half \ud83d")])) == (UserMessage(text="half ?"),)
    for wrong in ("", "{}", '[{"role": "user", "content": "hi"}]', '[{"kind": "turn_started", "model": "m"}]'):
        with pytest.raises(ValueError, match="validation error"):
            messages_from_json(wrong)
