"""The text of a call -> checked arguments, or an error that the model can act on. Pure.

Text that is valid JSON takes one compiled pass. What comes after it is for what GLM really sends: nested
objects as JSON strings, numbers as text and text as numbers, ``null`` for what may be left out. Those lose
nothing, so they hold for every tool. Broken JSON is read only for tools that change nothing; for the others
``true`` is no 1 either, and of two values of one name none is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, cast

from pydantic_core import ErrorDetails, ValidationError, from_json, to_json

from glm_agent.messages import ToolCall, ToolSpec
from glm_agent.schema.exact import Ambiguous, refuse_repeats, taken_for_numbers
from glm_agent.schema.explain import explain, got, located, with_example
from glm_agent.schema.lenient import read_lenient, read_markup
from glm_agent.schema.shapes import is_array, is_object
from glm_agent.schema.validator import ArgumentsValidator

_MAX_ROUNDS = 6
_CONTAINER_WANTED = {
    *("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
    *("list_type", "tuple_type", "set_type", "frozen_set_type"),
    *("union_tag_not_found", "union_tag_invalid"),
}


class ArgumentsError(ValueError):
    """The arguments do not fit; the message tells the model what came, what is wanted, and an example."""


def parse_arguments(text: str, validator: ArgumentsValidator, *, can_repair: bool = False) -> dict[str, Any]:
    """The function's keyword arguments. Empty text and ``null`` mean none.

    ``can_repair`` lets broken JSON through where reading it invents nothing, ``true`` for a number, and the last
    of two values of one name; give it for ``read`` tools only.

    Raises:
        ArgumentsError: With a message of at most 1,500 characters.
    """
    if can_repair:
        return _parsed(text, validator, can_repair=True)
    try:
        refuse_repeats(text)
        return _parsed(text, validator, can_repair=False)
    except Ambiguous as error:
        said = f"arguments: got {got(text)}: {error}. Nothing was run. Send the call again with each name once."
        raise ArgumentsError(with_example(said, validator.schema, fits=partial(_fits, validator))) from None


def _parsed(text: str, validator: ArgumentsValidator, *, can_repair: bool) -> dict[str, Any]:
    try:
        return _checked(text, validator, can_repair=can_repair)
    except ValidationError:
        tree = _tree(text, validator, can_repair=can_repair)
        return _validated(tree, validator, can_repair=can_repair)


def _checked(text: str | bytes, validator: ArgumentsValidator, *, can_repair: bool) -> dict[str, Any]:
    arguments = cast("dict[str, Any]", validator.core.validate_json(text))
    if not can_repair and (wrong := taken_for_numbers(text, validator.core)):
        raise _wrong(wrong, from_json(text), validator)
    return arguments


def _wrong(details: list[ErrorDetails], tree: Any, validator: ArgumentsValidator) -> ArgumentsError:
    text, places = explain(details, tree, validator.schema)
    return ArgumentsError(with_example(text, validator.schema, fits=partial(_fits, validator), also=places))


def _tree(text: str, validator: ArgumentsValidator, *, can_repair: bool) -> Any:
    text = text.removeprefix("\ufeff")
    try:
        tree = _read(text, can_repair=can_repair) if text.strip() else None
        # The whole object, once more wrapped as a string.
        if isinstance(tree, str) and tree.lstrip()[:1] == "{":
            tree = _read(tree, can_repair=can_repair)
    except Ambiguous:
        raise
    except ValueError as error:
        if not can_repair:
            _refuse(text, validator, str(error))
        tree = _repaired(text, validator, error)
    return {} if tree is None else tree


def _read(text: str, *, can_repair: bool) -> Any:
    if not can_repair:
        refuse_repeats(text)
    # As bytes, since a lone surrogate in a string is a TypeError for pydantic and no ValueError.
    return from_json(text.encode(errors="surrogatepass"))


def _repaired(text: str, validator: ArgumentsValidator, error: ValueError) -> Any:
    try:
        if "<arg_key>" in text:
            return read_markup(text, properties=validator.properties)
        return read_lenient(text, names=validator.properties)
    except ValueError as unreadable:
        _refuse(text, validator, f"{unreadable}; {error}")


def _refuse(text: str, validator: ArgumentsValidator, reason: str) -> NoReturn:
    said = f"arguments: got {got(text)}, which is not valid JSON: {reason[:400]}. Nothing was run."
    said = f"{said} Send the call again with one complete JSON object."
    raise ArgumentsError(with_example(said, validator.schema, fits=partial(_fits, validator)))


def _fits(validator: ArgumentsValidator, text: str) -> bool:
    try:
        validator.core.validate_json(text)
    except ValueError:
        return False
    return True


def _validated(tree: Any, validator: ArgumentsValidator, *, can_repair: bool) -> dict[str, Any]:
    for attempt in range(_MAX_ROUNDS + 1):
        try:
            return _checked(to_json(tree, inf_nan_mode="constants"), validator, can_repair=can_repair)
        except ValidationError as error:
            details = error.errors(include_url=False)
            # A list, so that every place is mended before the next check.
            mended = [_mend(tree, detail, validator, can_repair=can_repair) for detail in details]
            if not any(mended) or attempt == _MAX_ROUNDS:
                raise _wrong(details, tree, validator) from None
        except ArgumentsError:
            raise
        except ValueError as error:
            _refuse(str(tree), validator, str(error))
    raise AssertionError("the last round raises")


def _mend(tree: Any, detail: ErrorDetails, validator: ArgumentsValidator, *, can_repair: bool) -> bool:
    """Undo one of the model's habits at the place of an error; whether there was one to undo."""
    path = located(tree, detail["loc"])
    if not path or detail["type"] in ("missing", "extra_forbidden"):
        return False
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    key = path[-1]
    if parent[key] is None and parent is tree and key not in validator.required:
        del parent[key]
        return True
    better = _undo(detail["type"], parent[key], can_repair=can_repair)
    if better is None:
        return False
    parent[key] = better
    return True


def _undo(problem: str, value: Any, *, can_repair: bool) -> Any:
    """The value the model meant, where nothing is lost on the way; else None."""
    if problem == "string_type" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if problem in _CONTAINER_WANTED and isinstance(value, str):
        try:
            inner = _read(value, can_repair=can_repair)
        except Ambiguous:
            raise
        except ValueError:
            return None
        return inner if is_object(inner) or is_array(inner) else None
    return None


# -- markup in the tool's name ----------------------------------------------------------------------------


def recover_call(call: ToolCall, specs: Mapping[str, ToolSpec]) -> ToolCall:
    """The call that is meant where GLM's markup ran into the tool's name; any other call as it is.

    Known forms: ``name<arg_key>k</arg_key><arg_value>v</arg_value>`` and ``name</arg_value>``, also after
    ``<tool_call>``. Only calls of ``read`` tools are recovered. Whoever decides about a call by its name has
    to decide about the recovered one.

    Source: zai-org/GLM-5 issue 84 (2026-06), fw-ai-external/python-sdk issue 119 (2026-07).
    """
    if call.name in specs or "<" not in call.name:
        return call
    name, mark, rest = call.name.strip().removeprefix("<tool_call>").partition("<")
    spec = specs.get(name.strip())
    if spec is None or spec.effect != "read":
        return call
    try:
        arguments = read_markup(mark + rest, properties=spec.parameters.get("properties", {}))
    except ValueError:
        return call
    if arguments and call.arguments.strip() not in ("", "{}"):
        return call
    text = json.dumps(arguments, ensure_ascii=False) if arguments else call.arguments
    return replace(call, name=spec.name, arguments=text)
