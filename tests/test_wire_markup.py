"""Calls that a host's parser left in the text as GLM's own markup."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.messages import ToolSpec
from glm_agent.wire.markup import Rescued, rescue, split_name

PROPERTIES = {
    "city": {"type": "string"},
    "days": {"type": "integer"},
    "unit": {"enum": ["1", "2"]},
    "tag": {"anyOf": [{"type": "string"}, {"type": "null"}]},
}
TOOLS = {
    name: ToolSpec(name=name, description="", parameters={"type": "object", "properties": PROPERTIES})
    for name in ("weather", "now")
} | {"read": ToolSpec(name="read", description="", parameters={"type": "object"}, effect="read")}


def pair(key: str, value: str) -> str:
    return f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"


TWO_LINES = "a\n<b>"

FOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "template": (
        f"<tool_call>weather\n{pair('city', 'Pune')}{pair('days', '3')}</tool_call>",
        {"city": "Pune", "days": 3},
    ),
    "strings stay bare": (f"<tool_call>weather{pair('city', '42')}</tool_call>", {"city": "42"}),
    "an enumeration of strings": (f"<tool_call>weather{pair('unit', '1')}</tool_call>", {"unit": "1"}),
    "null where it may be": (f"<tool_call>weather{pair('tag', 'null')}</tool_call>", {"tag": None}),
    "an unknown field that is JSON": (f"<tool_call>weather{pair('x', '[1]')}</tool_call>", {"x": [1]}),
    "an unknown field that is none": (f"<tool_call>weather{pair('x', 'a b')}</tool_call>", {"x": "a b"}),
    "a value over lines, with angles": (
        f"<tool_call>weather{pair('city', TWO_LINES)}</tool_call>",
        {"city": TWO_LINES},
    ),
    "null where only a string may be": (f"<tool_call>weather{pair('city', 'null')}</tool_call>", {"city": "null"}),
    "object, arguments as no text": ('<tool_call>{"name":"weather","arguments":""}</tool_call>', {}),
    "no arguments": ("<tool_call>weather</tool_call>", {}),
    "object": ('<tool_call>{"name": "weather", "arguments": {"days": 2}}</tool_call>', {"days": 2}),
    "object, arguments as text": (
        '<tool_call>\n{"name":"weather","arguments":"{\\"days\\":2}"}\n</tool_call>',
        {"days": 2},
    ),
    "object, parameters": ('<tool_call>{"name":"weather","parameters":{"days":2}}</tool_call>', {"days": 2}),
    "name and object": ('<tool_call>weather\n{"days": 2}</tool_call>', {"days": 2}),
    "name, object in brackets": ('<tool_call>weather({"days": 2})</tool_call>', {"days": 2}),
    "keywords": ("<tool_call>weather(city='Pune', days=-2)</tool_call>", {"city": "Pune", "days": -2}),
    "empty brackets": ("<tool_call>weather()</tool_call>", {}),
    "the end tag is missing": (f"<tool_call>weather{pair('city', 'Pune')}", {"city": "Pune"}),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_call_in_the_markup_is_found_and_the_text_goes_without_it(name: str) -> None:
    markup, arguments = FOUND[name]
    text, calls = rescue(f"Let me look.\n\n{markup}\n", TOOLS)
    assert text == "Let me look."
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("weather", arguments)]


def test_several_calls_come_in_their_order() -> None:
    text, calls = rescue("<tool_call>now</tool_call>\n<tool_call>weather(days=1)</tool_call>", TOOLS)
    assert (text, [call.name for call in calls]) == ("", ["now", "weather"])


LEFT_ALONE = {
    "a tool that was not offered": "<tool_call>rm(path='/')</tool_call>",
    "one of two was not offered": "<tool_call>now</tool_call><tool_call>rm()</tool_call>",
    "prose after it": "Write <tool_call>now</tool_call> to call it.",
    "in a code block": "```\n<tool_call>now</tool_call>\n```",
    "an open bracket": "<tool_call>weather({}</tool_call>",
    "a cut name": "<tool_call>no",
    "a cut pair": "<tool_call>weather<arg_key>city</arg_key><arg_value>Pu",
    "a cut object": '<tool_call>{"name": "weather", "argum',
    "not cut, no end tag, no arguments": "<tool_call>now",
    "code in the brackets": "<tool_call>weather(city=open('x'))</tool_call>",
    "places, no keywords": "<tool_call>weather('Pune')</tool_call>",
    "two calls in the brackets": "<tool_call>weather(days=1)(days=2)</tool_call>",
    "words after the name": "<tool_call>weather please</tool_call>",
    "an object without a name": '<tool_call>{"arguments": {}}</tool_call>',
    "arguments that are no object": '<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
    "nothing": "<tool_call></tool_call>",
    "no markup": "just text",
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_is_no_certain_call_stays_text(name: str) -> None:
    assert rescue(LEFT_ALONE[name], TOOLS) == (LEFT_ALONE[name], ())


def test_a_real_call_after_prose_about_the_markup_is_found() -> None:
    text, calls = rescue("I write <tool_call>rm()</tool_call> thus: <tool_call>now</tool_call>", TOOLS)
    assert (text, len(calls)) == ("I write <tool_call>rm()</tool_call> thus:", 1)


PIECES = st.sampled_from(
    ["<tool_call>", "</tool_call>", "weather", "now", pair("city", "x"), "<arg_key>", *'{}():" "', '"name"', "a=1"]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_either_left_alone_or_ends_before_the_first_call(text: str) -> None:
    rest, calls = rescue(text, TOOLS)
    assert text.startswith(rest)
    assert (rest == text) or calls
    for call in calls:
        assert call.name in TOOLS
        assert isinstance(json.loads(call.arguments), dict)


def test_much_markup_takes_linear_time() -> None:
    text = "<tool_call>now</tool_call>x" * 50_000
    assert rescue(text, TOOLS) == (text, ())


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("weather<arg_key>days</arg_key><arg_value>2</arg_value>", "", ("weather", '{"days":2}')),
        ("weather\n<arg_key>days</arg_key><arg_value>2</arg_value>", "{}", ("weather", '{"days":2}')),
        ("rm<arg_key>a</arg_key><arg_value>2</arg_value>", "", None),
        ("weather<arg_key>days</arg_key><arg_value>2", "", None),
        ("weather<arg_key>days</arg_key><arg_value>2</arg_value>", '{"days":1}', None),
        ("weather", "", None),
        (
            "<tool_call>weather<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
            "",
            ("weather", '{"days":2}'),
        ),
        ("read</arg_value>", '{"a":1}', ("read", '{"a":1}')),
        ("<tool_call>read", "{}", ("read", "{}")),
        ("read<arg_key>a", "{}", None),
        ("read<b>", "{}", None),
        ("weather</arg_value>", '{"days":1}', None),
    ],
)
def test_a_name_that_swallowed_its_arguments_is_taken_apart(
    name: str, arguments: str, expected: tuple[str, str] | None
) -> None:
    assert split_name(name, arguments, TOOLS) == (expected or (name, arguments))


@pytest.mark.parametrize("count", [1, 200_000])
def test_a_long_run_of_spaces_in_markup_costs_no_more_than_its_length(count: int) -> None:
    # Quadratic, this takes minutes.
    text = f"<tool_call>now {{{' ' * count}}}{' ' * count}</tool_call>"
    assert rescue(text, TOOLS) == ("", (Rescued("now", "{}"),))
    assert rescue(text.replace("}", "x"), TOOLS)[1] == ()
