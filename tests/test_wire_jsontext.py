"""JSON as servers and models really write it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.wire import jsontext

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_is_written_is_json_that_every_reader_takes(value: Any) -> None:
    json.loads(jsontext.dumps(value).decode("utf-8"), parse_constant=pytest.fail)


@given(VALUES)
def test_what_another_writer_escaped_is_read_without_lone_surrogates(value: Any) -> None:
    jsontext.loads(json.dumps(value)), json.dumps(jsontext.loads(json.dumps(value)), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":"\\ud83d"}', {"a": "\ufffd"}),
        (b'{"\\udc00":["\\udc00"]}', {"\ufffd": ["\ufffd"]}),
        (b'{"a":"x\xff"}', {"a": "x\ufffd"}),
        (b'{"a":"\t\n"}', {"a": "\t\n"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    ],
)
def test_broken_text_is_mended_not_refused(text: bytes, value: Any) -> None:
    assert jsontext.loads(text) == value


@pytest.mark.parametrize("text", [b"", b"{", b"nothing", b"[" * 100_000, b'{"a":1} {"b":2}'])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        jsontext.loads(text)


@given(TEXT | VALUES.map(json.dumps))
def test_arguments_for_the_history_are_always_a_strict_object(text: str) -> None:
    mended = jsontext.as_object(text)
    assert isinstance(json.loads(mended, parse_constant=pytest.fail), dict)
    assert jsontext.as_object(mended) == mended


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": 2, "b": 3', '{"a":2,"b":3}'),
        ('{"a": NaN}', '{"a":null}'),
        ("[1]", "{}"),
        ("", "{}"),
        ("{'a': 1}", "{}"),
    ],
)
def test_broken_arguments_keep_what_can_be_read(text: str, mended: str) -> None:
    assert jsontext.as_object(text) == mended
