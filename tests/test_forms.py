"""Forms as JSON Schema: what a person types becomes a value, and what does not fit says what is wanted."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.registry import forms

COLOURS = {"type": "array", "items": {"anyOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]}}


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("yes", {"type": "boolean"}, True),
        ("7", {"type": "integer", "minimum": 1}, 7),
        ("2.5", {"type": "number"}, 2.5),
        ("Second", {"type": "string", "oneOf": [{"const": "2", "title": "Second"}]}, "2"),
        ("Two", {"type": "string", "enum": ["2"], "enumNames": ["Two"]}, "2"),
        ("1", {"type": "string", "enum": ["2", "1"]}, "1"),
        ("2", {"type": "string", "enum": ["x", "y"]}, "y"),
        ("20", {"enum": [10, 20]}, 20),
        ("a, b", {"type": "array", "items": {"enum": ["a", "b"]}}, ["a", "b"]),
        ("blue, 1", COLOURS, ["b", "r"]),
        (" words ", {"type": "string"}, "words"),
        ("a@b.example", {"type": "string", "format": "email"}, "a@b.example"),
        ("https://x.example/?q", {"type": "string", "format": "uri"}, "https://x.example/?q"),
        ("2026-02-28", {"type": "string", "format": "date"}, "2026-02-28"),
        ("2026-02-28T10:00:00Z", {"type": "string", "format": "date-time"}, "2026-02-28T10:00:00Z"),
        ("anything", {"type": "string", "format": "hostname"}, "anything"),
        ("3", {"type": ["null", "integer"]}, 3),
        ("[1]", {"type": "array", "items": {"type": "integer"}}, [1]),
    ],
)
def test_what_a_person_types_becomes_a_value(typed: str, field: dict[str, Any], value: object) -> None:
    assert forms.read_text(typed, field) == value
    assert forms.check_value(value, field) == value


@pytest.mark.parametrize(
    ("typed", "field", "wanted"),
    [
        ("maybe", {"type": "boolean"}, "yes or no"),
        ("0", {"type": "integer", "minimum": 1}, "1 or more"),
        ("9", {"type": "integer", "minimum": 1, "maximum": 8}, "1 to 8"),
        ("1.5", {"type": "integer"}, "whole number"),
        ("nan", {"type": "number"}, "a number"),
        ("c", {"type": "string", "enum": ["a", "b"]}, "one of a, b"),
        ("3", {"type": "string", "enum": ["a", "b"]}, "one of a, b"),
        ("x", {"type": "string", "minLength": 2}, "2 or more characters"),
        ("xxx", {"type": "string", "maxLength": 2}, "at most 2 characters"),
        ("at", {"type": "string", "format": "email"}, "an e-mail address"),
        ("x y", {"type": "string", "format": "uri"}, "a web address"),
        ("2026-02-30", {"type": "string", "format": "date"}, "a date"),
        ("noon", {"type": "string", "format": "date-time"}, "date and time"),
        ("red, blue", COLOURS | {"maxItems": 1}, "choose at most 1"),
        ("red, green", COLOURS, "choose one of Red, Blue"),
    ],
)
def test_what_does_not_fit_says_what_is_wanted(typed: str, field: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        forms.read_text(typed, field)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}, "odd": 7},
    "required": ["name"],
}


def test_a_form_is_taken_as_a_whole() -> None:
    assert forms.check_form({"name": "Ada", "age": None}, SCHEMA) == {"name": "Ada"}
    assert forms.check_form({"name": "Ada", "age": "36"}, SCHEMA) == {"name": "Ada", "age": 36}
    assert forms.check_form({"name": "Ada", "age": 36.0}, SCHEMA) == {"name": "Ada", "age": 36}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("Ada", "an object"),
        ({}, "'name' is missing"),
        ({"name": None}, "'name' is missing"),
        ({"name": 3}, "'name': a text is wanted"),
        ({"name": "Ada", "age": -1}, "'age': write 0 or more"),
        ({"name": "Ada", "agee": 1}, "there is no field 'agee'"),
        ({"name": "Ada", "age": True}, "'age': write a whole number"),
    ],
)
def test_what_is_wrong_with_a_form_names_the_field(content: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        forms.check_form(content, SCHEMA)


def test_a_pattern_is_shown_and_never_run() -> None:
    field = {"type": "string", "pattern": "^(a+)+$", "minLength": 1, "maxLength": 40}
    assert forms.read_text("a" * 30 + "!", field) == "a" * 30 + "!"
    assert forms.wanted(field) == "1 to 40 characters, matching ^(a+)+$"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
words = st.sampled_from(["type", "enum", "oneOf", "items", "properties", "required", "format", "minimum", "default"])


@given(schema=st.dictionaries(words, json_values | st.sampled_from(["object", "array", "string", "integer"])))
def test_whatever_a_server_sends_as_a_schema_is_read_without_an_error_of_ours(schema: dict[str, Any]) -> None:
    json.dumps(forms.defaults(schema))
    assert forms.required(schema) is not None
    for field in (schema, *forms.fields(schema).values()):
        forms.wanted(field)
        forms.choices(field)
        for typed in ("", "1", "x"):
            with suppress(ValueError):
                forms.read_text(typed, field)
