"""Calls that are wrong, and what the model is told: where, what came, what is wanted, and what would pass."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from glm_agent import tool
from glm_agent.schema import ArgumentsError, parse_arguments
from glm_agent.schema.pattern import matching


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Address(BaseModel):
    street: str
    zip: Annotated[str, Field(pattern=r"^\d{5}$")]


class Item(BaseModel, extra="forbid"):
    sku: Annotated[str, Field(min_length=3, max_length=8)]
    count: Annotated[int, Field(ge=1, le=99)]
    tags: list[str] = []


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]
    currency: Literal["EUR", "USD"]


def even(n: int) -> int:
    if n % 2:
        raise ValueError("an even number is wanted")
    return n


@tool
def order(  # noqa: PLR0917
    items: Annotated[list[Item], Field(min_length=1, max_length=3)],
    to: Address,
    on: date,
    size: Size = Size.SMALL,
    express: bool = False,
    pay: Annotated[Card | Cash | None, Field(discriminator="kind")] = None,
    weights: dict[str, float] | None = None,
    pair: tuple[int, str] = (1, "a"),
    ref: int | str = 0,
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    at: datetime | None = None,
    seats: Annotated[int, AfterValidator(even)] = 2,
) -> None:
    """Order something."""


CHF = {"kind": "cash", "currency": "CHF"}
ITEM = {"sku": "A-17", "count": 2}
RIGHT: dict[str, Any] = {"items": [ITEM], "to": {"street": "s", "zip": "12345"}, "on": "2026-01-31"}


def with_(**changed: Any) -> str:
    return json.dumps({**RIGHT, **changed})


def item(**changed: Any) -> str:
    return with_(items=[{**ITEM, **changed}])


MALFORMED: list[tuple[str, str, str, str, str]] = [
    # what the model did, its text, and of the error: path, got, wanted
    ("sent nothing", "", "arguments.items", "missing", "array of object"),
    ("sent null", "null", "arguments.to", "missing", "object"),
    ("sent a list", "[1]", "arguments", "[1] (array)", "object"),
    ("sent a number", "3", "arguments", "3 (integer)", "object"),
    ("sent prose", "I will order it", "arguments", '"I will order it" (string)', "one complete JSON object"),
    ("was cut off", '{"items": [{"sku": "A-1', "arguments", "A-1", "one complete JSON object"),
    ("used single quotes", "{'on': 'x'}", "arguments", "{'on': 'x'}", "one complete JSON object"),
    ("sent two objects", "{}{}", "arguments", '"{}{}" (string)', "one complete JSON object"),
    ("nested without end", "[" * 5_000, "arguments", "[[[", "one complete JSON object"),
    ("wrote its own markup", "<arg_key>on</arg_key>", "arguments", "<arg_key>", "one complete JSON object"),
    ("left something out", '{"on": "2026-01-31"}', "arguments.to", "missing", "object"),
    ("made up a name", with_(colour="red"), "arguments.colour", "no such name", "valid names: items, to, on"),
    ("wrote a name in capitals", with_(Size="S"), "arguments.Size", "no such name", "valid names: items, to, on"),
    ("wrote a number in words", item(count="two"), "arguments.items[0].count", '"two" (string)', "integer"),
    ("sent a fraction", item(count=1.5), "arguments.items[0].count", "1.5 (number)", "integer, a whole number"),
    ("went too low", item(count=0), "arguments.items[0].count", "0 (integer)", "at least 1"),
    ("went too high", item(count=100), "arguments.items[0].count", "100 (integer)", "at most 99"),
    ("sent too short a text", item(sku="A"), "arguments.items[0].sku", '"A" (string)', "at least 3 characters"),
    ("sent too long a text", item(sku="A" * 9), "arguments.items[0].sku", "AAAAAAAAA", "at most 8 characters"),
    ("made up a nested name", item(price=1), "arguments.items[0].price", "no such name", "names: sku, count, tags"),
    ("sent an empty list", with_(items=[]), "arguments.items", "[] (array)", "at least 1 items, not 0"),
    ("sent too long a list", with_(items=[ITEM] * 4), "arguments.items", '[{"sku"', "at most 3 items, not 4"),
    ("sent one for many", with_(items=ITEM), "arguments.items", '{"sku":"A-17","count":2} (object)', "array of object"),
    ("sent a list for an object", with_(to=["s"]), "arguments.to", '["s"] (array)', "object"),
    ("sent text for an object", with_(to="s, 12345"), "arguments.to", '"s, 12345" (string)', "object"),
    ("left out a nested one", with_(to={"street": "s"}), "arguments.to.zip", "missing", "string"),
    ("missed a pattern", with_(to={"street": "s", "zip": "1"}), "arguments.to.zip", '"1" (string)', r"matches ^\d{5}$"),
    ("wrote a date in words", with_(on="tomorrow"), "arguments.on", '"tomorrow" (string)', "in the format 'date'"),
    ("sent null for a date", with_(on=None), "arguments.on", "null", "in the format 'date'"),
    ("wrote a time in words", with_(at="noon"), "arguments.at", '"noon" (string)', "in the format 'date-time'"),
    ("chose none of the words", with_(size="M"), "arguments.size", '"M" (string)', "'S' or 'L'"),
    ("was not sure", with_(express="maybe"), "arguments.express", '"maybe" (string)', "boolean"),
    ("chose no kind", with_(pay={"number": "1"}), "arguments.pay", '{"number":"1"} (object)', "in 'kind'"),
    ("made up a kind", with_(pay={"kind": "x"}), "arguments.pay", '{"kind":"x"} (object)', "one of 'card', 'cash'"),
    ("was wrong within a kind", with_(pay=CHF), "arguments.pay.currency", '"CHF" (string)', "'EUR' or 'USD'"),
    ("sent text in a map", with_(weights={"a": "heavy"}), "arguments.weights.a", '"heavy" (string)', "number"),
    ("sent half a pair", with_(pair=[1]), "arguments.pair[1]", "missing", "string"),
    ("swapped a pair", with_(pair=["x", 1]), "arguments.pair[0]", '"x" (string)', "integer"),
    ("sent none of two types", with_(ref=[1]), "arguments.ref", "[1] (array)", "integer or string"),
    ("hit a bound", with_(ratio=1), "arguments.ratio", "1 (integer)", "less than 1"),
    ("sent no number", '{"ratio": NaN}', "arguments.ratio", "NaN (number)", "less than 1"),
    ("broke a rule of the tool", with_(seats=3), "arguments.seats", "3 (integer)", "an even number is wanted"),
    ("sent half an emoji", '{"on": "\\ud83d"}', "arguments", "ud83d", "one complete JSON object"),
    ("sent a megabyte", with_(to="x" * 1_000_000), "arguments.to", "xxx… (string)", "object"),
]  # fmt: skip


def error_of(text: str) -> str:
    with pytest.raises(ArgumentsError) as caught:
        parse_arguments(text, order.schema.validator)
    return str(caught.value)


def example_in(error: str) -> Any:
    return json.loads(error.partition("\nValid arguments look like this: ")[2])


@pytest.mark.parametrize(
    ("text", "path", "got", "wanted"), [row[1:] for row in MALFORMED], ids=[r[0] for r in MALFORMED]
)
def test_the_error_says_where_what_came_what_is_wanted_and_how_it_is_right(text: str, path: str, got: str, wanted: str):
    error = error_of(text)
    line = next(line for line in error.splitlines() if line.startswith(f"{path}: "))
    assert got in line
    assert wanted in line
    assert len(error) < 1_500
    parse_arguments(json.dumps(example_in(error)), order.schema.validator)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (with_(pay=CHF), {"pay": {"kind": "cash", "currency": "EUR"}}),
        (with_(weights={"a": "heavy"}), {"weights": {"a": 1}}),
        (with_(pair=[1]), {"pair": [1, "text"]}),
        (with_(at="noon"), {"at": "2026-01-31T12:00:00Z"}),
        (item(tags="red"), {"items": [{"sku": "text", "count": 1, "tags": ["text"]}]}),
    ],
)
def test_the_example_shows_what_was_wrong_also_where_it_may_be_left_out(text: str, shown: dict[str, Any]):
    found = example_in(error_of(text))
    assert {name: found[name] for name in shown} == shown


def test_an_example_that_the_tool_would_refuse_is_not_shown():
    @tool
    def picky(n: Annotated[int, AfterValidator(even)]) -> None:
        """Takes even numbers."""

    with pytest.raises(ArgumentsError) as caught:
        parse_arguments('{"n": 3}', picky.schema.validator)
    assert str(caught.value) == "arguments.n: got 3 (integer), wanted an even number is wanted."


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*RIGHT, "x"]), inner, max_size=4),
        max_leaves=10,
    )
)
def test_whatever_comes_the_error_is_short_and_its_example_right(value: Any):
    error = error_of(json.dumps(value))  # nothing that is drawn has all that is required
    assert len(error) < 1_500
    assert error.startswith("arguments")
    parse_arguments(json.dumps(example_in(error)), order.schema.validator)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{5}$",
        r"[A-Z]{2}-\d+",
        "(a|b)c?",
        "[^a-c]x",
        r"^(?:foo|bar)-[\w.]+$",
        ".+@.+",
        r"\S{3}",
        r"^[^\d\s]{2,}$",
        "a*",
    ],
)
def test_an_example_of_a_pattern_matches_it(pattern: str):
    made = matching(pattern)
    assert made is not None
    assert re.search(pattern, made)


@pytest.mark.parametrize("pattern", ["(", r"(x)\1", r"(?<=a)b", r"a{1000}", r"[^\s\S]"])
def test_a_pattern_without_an_easy_example_has_none(pattern: str):
    assert matching(pattern) is None
