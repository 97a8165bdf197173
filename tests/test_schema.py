"""What the model is shown of a function, what any JSON Schema becomes, and what comes back checked."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
import pathlib
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Optional, TypedDict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, SchemaError
from pydantic import BaseModel, Field
from referencing.exceptions import Unresolvable

from glm_agent.errors import ConfigurationError
from glm_agent.messages import ToolCall, ToolSpec
from glm_agent.schema import ArgumentsError, function_schema, glm_schema, parse_arguments, recover_call

if typing.TYPE_CHECKING:
    from nowhere import Frame  # type: ignore[import-not-found]


class Injected:
    """Stands for the context of a call."""


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Old(TypedDict, total=False):
    size: typing.Required[int]
    inner: Inner


class Inner(TypedDict):
    label: str
    olds: typing.NotRequired[list[Old]]


class Node(BaseModel):
    title: str
    children: list[Node] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float | None = None


def shown(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    return function_schema(function, inject=Injected, **options).spec.parameters


def parsed(function: Callable[..., Any], text: str, *, can_repair: bool = False) -> dict[str, Any]:
    return parse_arguments(text, function_schema(function).validator, can_repair=can_repair)


def refused(function: Callable[..., Any], text: str, *, can_repair: bool = False) -> str:
    with pytest.raises(ArgumentsError) as caught:
        parsed(function, text, can_repair=can_repair)
    return str(caught.value)


# -- functions ----------------------------------------------------------------------------------------


def test_a_function_becomes_a_spec():
    def stock(sku: str, count: int = 3) -> int:
        """Units in stock."""
        return count

    spec = function_schema(stock, effect="read", is_untrusted=True).spec
    assert (spec.name, spec.description, spec.effect, spec.is_untrusted) == ("stock", "Units in stock.", "read", True)
    assert spec.source.endswith("test_a_function_becomes_a_spec.<locals>.stock")
    assert spec.parameters == {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "default": 3}},
        "additionalProperties": False,
        "required": ["sku"],
    }


GOOGLE = """Look.

    Far and wide.

    Args:
        sku: As printed,
            on the shelf.
        n (int): How many.

    Returns:
        Nothing.
    """
NUMPY = """Look.

    Far and wide.

    Parameters
    ----------
    sku : str
        As printed,
        on the shelf.
    n : int, optional
        How many.

    Returns
    -------
    None
    """
SPHINX = """Look.

    Far and wide.

    :param sku: As printed,
        on the shelf.
    :param int n: How many.
    :returns: Nothing.
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_describe_function_and_parameters(docstring: str):
    def look(sku: str, n: int = 1) -> None: ...

    look.__doc__ = docstring
    spec = function_schema(look).spec
    assert spec.description == "Look.\n\nFar and wide."
    assert " ".join(spec.parameters["properties"]["sku"]["description"].split()) == "As printed, on the shelf."
    assert spec.parameters["properties"]["n"]["description"] == "How many."


def test_a_docstring_without_sections_is_not_parsed():
    code = (
        "import sys; from glm_agent.schema import function_schema\n"
        "def f(a: int):\n  '''One line.\n\n  And another: here.'''\n"
        "assert function_schema(f).spec.description == 'One line.\\n\\nAnd another: here.'\n"
        "assert 'griffe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_descriptions_from_field_and_annotated_win_over_the_docstring():
    def f(a: Annotated[int, "plain"], b: Annotated[int, Field(description="field", ge=1)], c: int = Field(4, le=5)):
        """F.

        Args:
            a: docstring
            b: docstring
            c: docstring
        """

    properties = shown(f)["properties"]
    assert properties["a"] == {"type": "integer", "description": "plain"}
    assert properties["b"] == {"type": "integer", "description": "field", "minimum": 1}
    assert properties["c"] == {"type": "integer", "description": "docstring", "maximum": 5, "default": 4}
    assert parsed(f, '{"a": 1, "b": 2}') == {"a": 1, "b": 2, "c": 4}


def test_types_of_every_kind_are_shown_and_read():
    def f(
        *,
        color: Color,
        day: datetime.date,
        path: pathlib.Path,
        raw: bytes,
        choice: Literal["a", "b"],
        either: str | int,
        point: Point,
        old: Old,
        node: Node,
        table: dict[str, list[int]],
    ) -> None: ...

    text = json.dumps(
        {
            "color": "blue",
            "day": "2026-01-31",
            "path": "a/b",
            "raw": "xyz",
            "choice": "b",
            "either": 3,
            "point": {"x": 1},
            "old": {"size": 1, "inner": {"label": "l", "olds": [{"size": 2}]}},
            "node": {"title": "t", "children": [{"title": "u"}]},
            "table": {"k": [1]},
        }
    )
    assert parsed(f, text) == {
        "color": Color.BLUE,
        "day": datetime.date(2026, 1, 31),
        "path": pathlib.Path("a/b"),
        "raw": b"xyz",
        "choice": "b",
        "either": 3,
        "point": Point(x=1.0),
        "old": {"size": 1, "inner": {"label": "l", "olds": [{"size": 2}]}},
        "node": Node(title="t", children=[Node(title="u")]),
        "table": {"k": [1]},
    }
    schema = shown(f)
    Draft202012Validator.check_schema(schema)
    assert "$ref" not in json.dumps(schema)
    assert schema["properties"]["old"]["required"] == ["size"]
    assert schema["properties"]["node"]["properties"]["title"] == {"type": "string"}


def test_an_optional_parameter_is_shown_with_its_one_type_and_still_takes_null():
    def f(a: Optional[int] = None, b: str = None): ...  # type: ignore[assignment]  # noqa: RUF013, UP045

    assert shown(f)["properties"] == {"a": {"type": "integer"}, "b": {"type": "string"}}
    assert parsed(f, '{"a": null, "b": null}') == {"a": None, "b": None}


def test_null_for_a_parameter_with_a_default_means_the_default():
    def f(a: int = 5): ...

    assert parsed(f, '{"a": null}') == {}


def test_a_default_that_has_no_json_form_is_left_out():
    marker = object()

    def f(a: Any = marker, b: list[int] = [1], c: Color = Color.RED): ...  # noqa: B006

    properties = shown(f)["properties"]
    assert "default" not in properties["a"]
    assert (properties["b"]["default"], properties["c"]["default"]) == ([1], "red")


def test_the_injected_parameter_is_not_shown():
    def f(a: int, context: Injected, other: Injected | None = None): ...

    schema = function_schema(f, inject=Injected)
    assert list(schema.spec.parameters["properties"]) == ["a"]
    assert schema.injected == ("context", "other")


def test_names_of_any_kind_work_as_parameters():
    def f(schema: str, self_: int, model_config: int, copy: int, json: int, _hidden: int): ...

    text = '{"schema": "s", "self_": 1, "model_config": 2, "copy": 3, "json": 4, "_hidden": 5}'
    assert parsed(f, text) == json.loads(text)


def test_a_callable_object_a_partial_and_a_method_are_functions_too():
    class Shop:
        """A shop."""

        def __call__(self, sku: str) -> int:
            return 1

        def stock(self, sku: str) -> int:
            """Stock."""
            return 1

    assert function_schema(Shop()).spec.name == "Shop"
    assert function_schema(Shop()).spec.description == "A shop."
    assert list(shown(Shop().stock)["properties"]) == ["sku"]

    def login(user: str, password: str) -> None:
        """Log in."""

    bound = function_schema(functools.partial(login, password="hunter22")).spec
    assert bound.name == "login"
    assert "hunter22" not in json.dumps(bound.parameters)
    assert list(bound.parameters["properties"]) == ["user"]


def test_a_wrapped_function_shows_what_it_wraps():
    def plain(a: int) -> int:
        """Plain."""
        return a

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    assert list(shown(wrapper)["properties"]) == ["a"]


def test_string_annotations_find_local_classes():
    class Local(BaseModel):
        z: int

    def f(a: Local, b: list[Local]) -> Frame: ...

    assert shown(f)["properties"]["a"]["properties"] == {"z": {"type": "integer"}}


def test_a_parameter_without_a_type_takes_that_of_its_default():
    assert shown(lambda a=1, b="x": (a, b), name="f")["properties"] == {
        "a": {"type": "integer", "default": 1},
        "b": {"type": "string", "default": "x"},
    }


def no_type(sku): ...  # type: ignore[no-untyped-def]
def no_class(sku: Frame): ...
def stars(*sku: int): ...
def double_stars(**sku: int): ...
def no_json(a: int, sku: Callable[[int], int]): ...
def no_schema(sku: Injected): ...


@pytest.mark.parametrize("function", [no_type, no_class, stars, double_stars, no_json, no_schema])
def test_what_cannot_be_shown_is_refused_by_the_parameters_name(function: Callable[..., Any]):
    with pytest.raises(ConfigurationError, match="sku"):
        function_schema(function)


@pytest.mark.parametrize("name", ["<lambda>", "a b", "ü", "x" * 65])
def test_a_name_that_glm_refuses_is_refused_first(name: str):
    def f() -> None: ...

    f.__name__ = name
    with pytest.raises(ConfigurationError, match="name="):
        function_schema(f)
    assert function_schema(f, name="fine").spec.name == "fine"


# -- any JSON Schema ----------------------------------------------------------------------------------


def test_references_are_inlined_and_titles_stripped_but_not_a_property_named_title():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Order",
        "type": "object",
        "properties": {
            "title": {"title": "Title", "type": "string"},
            "item": {"$ref": "#/$defs/Item", "description": "What"},
            "$ref": {"type": "integer"},
        },
        "$defs": {"Item": {"title": "Item", "type": "object", "properties": {"n": {"type": "integer"}}}, "Unused": {}},
    }
    assert glm_schema(schema) == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "item": {"type": "object", "properties": {"n": {"type": "integer"}}, "description": "What"},
            "$ref": {"type": "integer"},
        },
    }


def test_what_stands_beside_a_reference_never_narrows_it():
    schema = {
        "properties": {"p": {"$ref": "#/$defs/P", "description": "d", "properties": {}, "additionalProperties": False}},
        "$defs": {"P": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    assert glm_schema(schema)["properties"]["p"] == {**schema["$defs"]["P"], "description": "d"}


def test_a_recursive_schema_is_followed_twice_and_then_cut_to_its_type():
    schema = {"$ref": "#/$defs/N", "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}}}
    level: dict[str, Any] = {"type": "object"}
    assert glm_schema(schema) == {
        "type": "object",
        "properties": {"next": {"type": "object", "properties": {"next": level}}},
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"type": ["string", "null"]}),
        ({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
         {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "string", "const": "a"}, {"type": "null"}]},
         {"anyOf": [{"type": "string", "const": "a"}, {"type": "null"}]}),
        ({"anyOf": [False, {"type": "string"}]}, {"type": "string"}),
        ({"patternProperties": {"(": {}}, "additionalProperties": False}, {"patternProperties": {}}),
        ({"prefixItems": 3, "items": {"type": "string"}}, {}),
        ({"allOf": [{"type": "string"}], "description": "d"}, {"type": "string", "description": "d"}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "string"}, True]}, {}),
        ({"type": ["string"]}, {"type": "string"}),
        ({"type": None, "properties": False, "required": None}, {}),
        ({"type": "int"}, {}),
        ({"minimum": 3, "exclusiveMinimum": True}, {"minimum": 3}),
        ({"items": [{"type": "string"}], "additionalItems": {"type": "integer"}},
         {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
        ({"pattern": "("}, {}),
        ({"$ref": "https://example.com/schema.json"}, {}),
        ({"$ref": "#/nowhere"}, {}),
        ({"$ref": "#/properties/p"}, {}),
        (True, {}),
        (None, {}),
        ([], {}),
        (3, {}),
    ],
)  # fmt: skip
def test_a_sub_schema_is_repaired(before: Any, after: Any):
    assert glm_schema({"type": "object", "properties": {"p": before}})["properties"]["p"] == after


def test_a_forbidden_property_is_left_out():
    assert glm_schema({"type": "object", "properties": {"p": False, "q": {}}})["properties"] == {"q": {}}


@pytest.mark.parametrize(
    "schema", [None, True, [], "x", 3, {}, {"type": "string", "minLength": 3}, {"properties": None}]
)
def test_the_root_is_an_object_whatever_came(schema: Any):
    assert glm_schema(schema) == {"type": "object", "properties": {}}


def test_a_bomb_of_references_does_not_explode():
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, 40):
        part = {"$ref": f"#/$defs/d{n - 1}"}
        definitions[f"d{n}"] = {"type": "object", "properties": dict.fromkeys("abcdefgh", part)}
    bomb = {"$ref": "#/$defs/d39", "$defs": definitions}
    small = glm_schema(bomb)
    assert small["properties"].keys() == set("abcdefgh")
    assert len(json.dumps(small)) < 300_000


def test_depth_and_size_are_bounded():
    deep: Any = {"type": "string"}
    for _ in range(3_000):
        deep = {"type": "object", "properties": {"p": deep}}
    assert len(json.dumps(glm_schema(deep))) < 5_000
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}}
    assert glm_schema(wide) == {"type": "object", "properties": {}}
    nested: Any = []
    for _ in range(3_000):
        nested = [nested]
    assert glm_schema({"properties": {"p": {"default": nested}}})["properties"] == {"p": {}}


def _values(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "a", "b", "ab"])
    return st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


_NAMES = st.sampled_from(["a", "b", "title"])
_WORDS = st.sampled_from(
    [
        *(
            "type",
            "properties",
            "required",
            "items",
            "prefixItems",
            "anyOf",
            "oneOf",
            "allOf",
            "enum",
            "const",
            "default",
        ),
        *("$ref", "$defs", "$anchor", "title", "description", "additionalProperties", "patternProperties", "pattern"),
        *("minimum", "minLength", "maxItems", "not", "if", "then", "format"),
    ]
)
_JUNK = _values(_WORDS | _NAMES | st.sampled_from(["object", "string", "#", "#/$defs/a", "null"]))


def _schemas() -> st.SearchStrategy[Any]:
    types = st.sampled_from(["object", "string", "integer", "number", "null", "array", "boolean"])

    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.fixed_dictionaries(
            {},
            optional={
                "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
                "properties": st.dictionaries(_NAMES, inner, max_size=3),
                "required": st.lists(_NAMES, max_size=2, unique=True),
                "additionalProperties": inner,
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "("]), inner, max_size=2),
                "propertyNames": inner,
                "items": inner,
                "prefixItems": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=3),
                "oneOf": st.lists(inner, min_size=1, max_size=2),
                "allOf": st.lists(inner, min_size=1, max_size=2),
                "not": inner,
                "enum": st.lists(_values(_NAMES), min_size=1, max_size=3),
                "const": _values(_NAMES),
                "minimum": st.integers(-2, 2),
                "maxLength": st.integers(0, 2),
                "minItems": st.integers(0, 2),
                "maxProperties": st.integers(0, 3),
                "uniqueItems": st.booleans(),
                "default": _values(_NAMES),
                "title": st.just("T"),
                "description": st.just("d"),
                "$ref": st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere", "#anchor"]),
                "$defs": st.dictionaries(_NAMES, inner, max_size=2),
            },
        )

    return st.recursive(st.booleans() | st.builds(lambda kind: {"type": kind}, types), grow, max_leaves=8)


@settings(deadline=None)
@given(_JUNK | _schemas())
def test_any_json_becomes_a_valid_object_schema_and_stays_it(schema: Any):
    clean = glm_schema(schema)
    Draft202012Validator.check_schema(clean)
    assert clean["type"] == "object"
    assert isinstance(clean["properties"], dict)
    assert glm_schema(clean) == clean
    assert json.dumps(glm_schema(clean)) == json.dumps(clean)


def test_a_union_that_moves_up_stays_in_its_place():
    clean = glm_schema({"default": [], "anyOf": [{"type": "object", "anyOf": [{"type": "object"}]}]})
    assert json.dumps(glm_schema(clean)) == json.dumps(clean)


def _nodes(value: Any) -> Iterator[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    yield value
    for child in children:
        yield from _nodes(child)


def _circles(document: Any, node: Any, seen: frozenset[str]) -> bool:
    """Whether references lead back to themselves without going into the instance, where no validator ends."""
    if not isinstance(node, dict):
        return False
    beside = [part for key in ("allOf", "anyOf", "oneOf") if isinstance(node.get(key), list) for part in node[key]]
    beside.append(node.get("not"))
    if isinstance(reference := node.get("$ref"), str):
        if reference in seen:
            return True
        target = document
        for key in reference[2:].split("/") if reference[2:] else ():
            target = target.get(key) if isinstance(target, dict) else None
        beside.append(target)
        seen = seen | {reference}
    return any(_circles(document, part, seen) for part in beside)


@settings(max_examples=100, deadline=None)
@given(_schemas(), st.dictionaries(_NAMES, _values(_NAMES), max_size=3))
def test_what_the_original_accepts_is_accepted(schema: Any, instance: dict[str, Any]):
    assume(not any(_circles(schema, node, frozenset()) for node in _nodes(schema)))
    try:
        Draft202012Validator.check_schema(schema)
        accepted = Draft202012Validator(schema).is_valid(instance)
    except (SchemaError, Unresolvable, re.error):
        accepted = False
    assume(accepted)
    Draft202012Validator(glm_schema(schema)).validate(instance)


# -- arguments ----------------------------------------------------------------------------------------


class Item(BaseModel):
    price: float
    tags: list[str] = []


def order(items: list[Item], note: str = "", count: int = 1, urgent: bool = False) -> None:
    """Order."""


def two(a: int, b: str) -> None:
    """Two."""


@pytest.mark.parametrize("text", ["", "  \n", "null", "{}"])
def test_nothing_means_no_arguments(text: str):
    def f(a: int = 1): ...

    assert parsed(f, text) == {}


@pytest.mark.parametrize(
    "text",
    [
        '{"items": [{"price": 1.5, "tags": ["x"]}], "count": 2}',
        '{"items": [{"price": "1.5", "tags": ["x"]}], "count": "2"}',
        '{"items": "[{\\"price\\": 1.5, \\"tags\\": [\\"x\\"]}]", "count": 2}',
        '{"items": ["{\\"price\\": 1.5, \\"tags\\": \\"[\\\\\\"x\\\\\\"]\\"}"], "count": 2}',
        json.dumps('{"items": [{"price": 1.5, "tags": ["x"]}], "count": 2}'),
        '\ufeff{"items": [{"price": 1.5, "tags": ["x"]}], "count": 2}',
    ],
    ids=["plain", "numbers as text", "array as text", "text in text", "all as text", "byte order mark"],
)
def test_what_glm_writes_differently_is_read_the_same(text: str):
    assert parsed(order, text) == {"items": [Item(price=1.5, tags=["x"])], "count": 2}


def test_an_integer_for_a_string_keeps_its_digits_and_a_float_is_not_guessed():
    assert parsed(two, '{"a": 1, "b": 17}') == {"a": 1, "b": "17"}
    assert "wanted string" in refused(two, '{"a": 1, "b": 1.10}')
    assert "wanted string" in refused(two, '{"a": 1, "b": true}')


def flags(n: int, on: bool = False, ratios: list[float] | None = None, either: int | bool = 0, extra: Any = None): ...


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"n": true}', "arguments.n: got true (boolean), wanted integer."),
        ('{"n": 1, "ratios": [0.5, false]}', "arguments.ratios[1]: got false (boolean), wanted number."),
        ('{"n": 1, "ratios": "[true]"}', "arguments.ratios[0]: got true (boolean), wanted number."),
    ],
)
def test_true_is_no_number_for_a_call_that_changes_something(text: str, place: str):
    said = refused(flags, text)
    assert said.splitlines()[0] == place
    assert parsed(flags, said.splitlines()[-1].removeprefix("Valid arguments look like this: "))
    assert parsed(flags, text, can_repair=True)


def test_booleans_where_they_belong_and_texts_for_numbers_are_taken_for_every_call():
    assert parsed(flags, '{"n": "2", "on": true}') == {"n": 2, "on": True}
    assert parsed(flags, '{"n": "2", "either": true, "extra": [false]}') == {"n": 2, "either": True, "extra": [False]}


@pytest.mark.parametrize(
    "text",
    [
        '{"count": 1, "items": [], "count": 2}',
        json.dumps('{"items": [], "count": 1, "count": 2}'),
        '{"items": [{"price": 1, "count": 1, "count": 2}]}',
        '{"items": "[{\\"count\\": 1, \\"count\\": 2}]"}',
    ],
    ids=["at the top", "all as text", "nested", "array as text"],
)
def test_of_two_values_of_one_name_none_is_chosen_for_a_call_that_changes_something(text: str):
    said = refused(order, text)
    assert 'the name "count" stands there 2 times, with 1 and 2. Nothing was run.' in said
    assert len(said) <= 1_500


def test_of_two_values_of_one_name_the_last_is_read_where_nothing_changes():
    assert parsed(two, '{"a": 1, "b": "x", "a": 2}', can_repair=True) == {"a": 2, "b": "x"}


def test_the_error_names_path_value_and_wanted_type_and_shows_an_example():
    text = '{"items": [{"price": 1}, {"price": 1}, {"price": "abc"}], "colour": 3}'
    lines = refused(order, text).splitlines()
    assert lines[0] == 'arguments.items[2].price: got "abc" (string), wanted number.'
    assert lines[1] == "arguments.colour: no such name; valid names: items, note, count, urgent."
    example = lines[2].removeprefix("Valid arguments look like this: ")
    assert parsed(order, example) == {"items": [Item(price=1)]}


def test_a_missing_argument_says_what_is_wanted():
    assert "arguments.a: missing, wanted integer." in refused(two, "{}")
    assert "arguments.items[0].price: missing, wanted number." in refused(order, '{"items": [{}]}')


def test_what_is_checked_beyond_the_type_is_said():
    def f(n: Annotated[int, Field(gt=3)], color: Color, day: datetime.date, either: int | list[int] = 1): ...

    said = refused(f, '{"n": 1, "color": "green", "day": "tomorrow", "either": "x"}')
    assert "arguments.n: got 1 (integer), wanted more than 3." in said
    assert "wanted 'red' or 'blue'" in said or 'wanted one of "red", "blue"' in said
    assert 'arguments.day: got "tomorrow" (string), wanted' in said
    assert 'arguments.either: got "x" (string), wanted integer or array of integer.' in said


def _complaint(text: str, *, can_repair: bool) -> str:
    try:
        parse_arguments(text, _ORDER, can_repair=can_repair)
    except ArgumentsError as error:
        return str(error)
    return ""


_ORDER = function_schema(order).validator


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=3_000) | st.lists(st.dictionaries(st.text(max_size=5), st.integers()), max_size=99).map(json.dumps)
)
def test_an_error_is_short_whatever_came(text: str):
    for can_repair in (False, True):
        for wrapped in (text, json.dumps({"items": text, text: 1}), json.dumps({"items": [{"price": text}] * 50})):
            assert len(_complaint(wrapped, can_repair=can_repair)) <= 1_500


@settings(deadline=None)
@given(st.recursive(st.integers(0, 9), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)))
def test_the_example_fits_the_schema_it_was_made_from(value: Any):
    def f(
        given: Any,
        n: Annotated[int, Field(ge=7, le=9)],
        when: datetime.datetime,
        xs: Annotated[list[str], Field(min_length=2)],
    ): ...

    said = refused(f, json.dumps({"n": value}))
    assert parsed(f, said.partition("look like this: ")[2])


BROKEN = [
    "{'a': 2, 'b': \"it's\"}",
    '{"a": 2, "b": "it\'s",}',
    '```json\n{"a": 2, "b": "it\'s"}\n```',
    '{"a": 2, "b": "it\'s"}{"a": 2, "b": "it\'s"}',
    '{"a": 2, "b": "it\'s"',
    '{a: 2, b: "it\'s"}',
    "{'a': 2, 'b': 'it\\'s'}",
    "<arg_key>a</arg_key><arg_value>2</arg_value>\n<arg_key>b</arg_key><arg_value>it's</arg_value>",
]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_json_is_read_for_reading_tools_and_never_for_others(text: str):
    assert parsed(two, text, can_repair=True) == {"a": 2, "b": "it's"}
    assert "Nothing was run" in refused(two, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"b": "x", "a": 2',  # 2 may be the beginning of 23
        '{"a": 2, "b": "x',
        '{"a": 2,',
        '{"a": 2',
        '{"a": 2, "b": "x"}{"a": 3, "b": "x"}',
        '{"a": 2, "a": 3, "b": "x"',
        '{"a": 2, "b": "x"} and more',
        '{"a": 2 "b": "x"}',
        "<arg_key>a</arg_key><arg_value>2</arg_value><arg_key>b</arg_key><arg_value>x",
        "<arg_key>a</arg_key><arg_value>2<arg_key>b</arg_key><arg_value>x</arg_value>",
        "{" * 5_000,
        '{"a": ' + "1" * 6_000 + "}",
        '{"a": 1, "b": "\\ud800"}',
        '{"a": 1, "b": "\ud800"}',
    ],
)
def test_what_would_be_a_guess_is_refused_for_reading_tools_too(text: str):
    refused(two, text, can_repair=True)


def test_a_last_brace_is_added_only_where_no_argument_can_be_missing():
    def f(a: str, limit: int = 5): ...

    refused(f, '{"a": "x"', can_repair=True)
    assert parsed(f, '{"limit": 3, "a": "x"', can_repair=True) == {"limit": 3, "a": "x"}


_ARGUMENTS = st.fixed_dictionaries(
    {"a": st.integers(), "b": st.text()},
    optional={
        "c": st.lists(st.integers() | st.text(), max_size=3),
        "d": st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        "e": st.booleans(),
        "f": st.none() | st.integers(),
    },
)


@settings(max_examples=150, deadline=None)
@given(_ARGUMENTS, st.booleans(), st.randoms(use_true_random=False))
def test_arguments_cut_anywhere_never_become_other_arguments(arguments: dict[str, Any], ascii: bool, random: Any):
    names = list(arguments)
    random.shuffle(names)
    text = json.dumps({name: arguments[name] for name in names}, ensure_ascii=ascii)
    for end in range(1, len(text)):
        for can_repair in (False, True):
            try:
                assert parse_arguments(text[:end], _CUT, can_repair=can_repair) == arguments
            except ArgumentsError:
                continue


def cut(
    a: int,
    b: str,
    *,
    c: list[int | str] | None = None,
    d: dict[str, float] | None = None,
    e: bool = False,
    f: int | None = None,
): ...


_CUT = function_schema(cut).validator


@settings(deadline=None)
@given(_ARGUMENTS)
def test_what_can_be_repaired_is_repaired_to_the_same(arguments: dict[str, Any]):
    whole = parse_arguments(json.dumps(arguments), _CUT)
    assert whole == arguments
    for broken in (json.dumps(arguments) * 2, f"```\n{json.dumps(arguments)}\n```", json.dumps(arguments)[:-1] + ",}"):
        assert parse_arguments(broken, _CUT, can_repair=True) == whole


# -- markup in the name -------------------------------------------------------------------------------

SPECS = {
    "add": ToolSpec(
        name="add",
        description="",
        parameters={"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string"}}},
        effect="read",
    ),
    "pay": ToolSpec(name="pay", description="", parameters={"type": "object", "properties": {}}),
}


@pytest.mark.parametrize(
    ("name", "arguments", "meant"),
    [
        ("add<arg_key>a</arg_key><arg_value>2</arg_value>", "", '{"a": 2}'),
        ("add<arg_key>s</arg_key>\n<arg_value>2</arg_value>", "{}", '{"s": "2"}'),
        ("<tool_call>add\n<arg_key>a</arg_key><arg_value>2</arg_value></tool_call>", "", '{"a": 2}'),
        ("add</arg_value>", '{"a": 1}', '{"a": 1}'),
    ],
)
def test_a_name_with_markup_is_recovered(name: str, arguments: str, meant: str):
    call = ToolCall(id="1", name=name, arguments=arguments)
    assert recover_call(call, SPECS) == ToolCall(id="1", name="add", arguments=meant)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("pay<arg_key>a</arg_key><arg_value>2</arg_value>", ""),
        ("no<arg_key>a</arg_key><arg_value>2</arg_value>", ""),
        ("add<arg_key>a</arg_key><arg_value>2", ""),
        ("add<arg_key>a</arg_key><arg_value>2</arg_value>", '{"a": 3}'),
        ("add<script>", ""),
        ("ad", ""),
    ],
)
def test_any_other_name_stays_what_it_is(name: str, arguments: str):
    call = ToolCall(id="1", name=name, arguments=arguments)
    assert recover_call(call, SPECS) is call
