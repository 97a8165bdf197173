"""What every mapping of the scenario format shares: strict keys, and texts that are checked when they are read."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from glm_agent.simulate.json_values import is_array, is_object
from glm_agent.simulate.templates import check_expression, check_template

JsonSchema = dict[str, Any]


def _template(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        check_template(value)
    return value


def _expression(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, str):
        check_expression(value)
    return value


def _templates(value: Any) -> Any:
    """Every text inside a JSON value is a template."""
    if isinstance(value, str):
        check_template(value)
    elif is_object(value):
        for key, item in value.items():
            _templates(key)
            _templates(item)
    elif is_array(value):
        for item in value:
            _templates(item)
    return value


def _pattern(value: Any) -> Any:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"the regular expression {value!r} cannot be read: {error}") from error
    return value


def as_list(value: Any) -> Any:
    """A list, also where one thing stands for a list of it."""
    return [value] if isinstance(value, str | dict | bool) else value


_Scalar = str | bool | int | float
Template = Annotated[str, BeforeValidator(_template, json_schema_input_type=_Scalar)]
Expression = Annotated[str, BeforeValidator(_expression, json_schema_input_type=_Scalar)]
Pattern = Annotated[str, BeforeValidator(_pattern)]
Filled = Annotated[dict[str, Any], BeforeValidator(_templates)]
Arguments = Annotated[dict[str, Any] | list[Any] | str, BeforeValidator(_templates)]


class Strict(BaseModel):
    """A mapping of the format: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if is_object(value):
            for key in value:
                if key not in cls.model_fields:
                    raise unknown_key(str(key), list(cls.model_fields))
        return value


def unknown_key(key: str, known: list[str]) -> PydanticCustomError:
    """An error that names the nearest known key."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
    return PydanticCustomError("unknown_key", "unknown key '{key}'; {hint}", {"key": key, "hint": hint})


def either(schema: JsonSchema, *shorter: JsonSchema) -> JsonSchema:
    """A JSON Schema that takes the full form or a shorter one."""
    return {"anyOf": [schema, *shorter]}
