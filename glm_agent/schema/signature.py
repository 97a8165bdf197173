"""A function's signature -> the types of its arguments, compiled by pydantic. Imported with the first function."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, SchemaValidator, to_jsonable_python
from typing_extensions import TypedDict

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject
from glm_agent.schema.annotations import resolve
from glm_agent.schema.classes import ClassSchemas
from glm_agent.schema.glm import glm_schema
from glm_agent.schema.validator import ArgumentsValidator

_NEW_TYPED_DICT: Any = TypedDict
_GUESSABLE = (bool, int, float, str, list, tuple, set, dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """A signature, taken apart."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """Name to type, for a ``TypedDict``."""
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
    injected: list[str] = field(default_factory=list[str])
    positional: list[str] = field(default_factory=list[str])


def read(function: Any, name: str, inject: type | None, described: dict[str, str]) -> Parameters:
    """The parameters of the function that will be tool ``name``; ``ConfigurationError`` names one that cannot be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name!r} cannot be a tool: its parameters cannot be read ({error})") from error
    # What a partial has bound is settled; showing it as a default might show a secret.
    bound = _bound(function)
    found = Parameters()
    for parameter in signature.parameters.values():
        if parameter.name not in bound:
            annotation = _annotation(function, name, parameter, inject)
            if inject is not None and _is_injected(annotation, inject):
                found.injected.append(parameter.name)
            else:
                _add(found, parameter, annotation, described.get(parameter.name, ""))
    return found


def _bound(function: Any) -> set[str]:
    names = set[str]()
    while isinstance(function, partial):
        names |= function.keywords.keys()
        function = function.func
    return names


def _add(found: Parameters, parameter: Parameter, annotation: Any, described: str) -> None:
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        found.positional.append(parameter.name)
    found.fields[parameter.name] = _field(annotation, parameter.default, described)
    if parameter.default is not Parameter.empty and not isinstance(parameter.default, FieldInfo):
        found.defaults[parameter.name] = parameter.default


def _annotation(function: Any, name: str, parameter: Parameter, inject: type | None) -> Any:
    if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is Parameter.VAR_POSITIONAL else "**"
        raise ConfigurationError(
            f"tool {name!r} takes '{stars}{parameter.name}', which the model cannot be shown: name each parameter"
        )
    if parameter.annotation is not Parameter.empty:
        known = {inject.__name__: inject} if inject is not None else {}
        return resolve(function, parameter, known=known)
    if type(parameter.default) in _GUESSABLE:
        return cast("Any", type(parameter.default))
    raise ConfigurationError(
        f"parameter {parameter.name!r} of tool {name!r} has no type:"
        f" write '{parameter.name}: str', or whatever it is, so that the model knows what to send"
    )


def _is_injected(annotation: Any, inject: type) -> bool:
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(_is_injected(argument, inject) for argument in get_args(annotation))
    kind = origin or annotation  # of ``ToolContext[Shelf]``, ``ToolContext``
    return isinstance(kind, type) and issubclass(kind, inject)


def _field(annotation: Any, default: Any, described: str) -> Any:
    """The parameter as a ``TypedDict``'s field, described by ``Field``, a plain string, or the docstring."""
    metadata: list[Any] = [default] if isinstance(default, FieldInfo) else []
    if default is None:
        annotation = annotation | None if _takes_or(annotation) else Union[annotation, None]  # noqa: UP007
    known = [*_metadata(annotation), *metadata]
    plain = next((item for item in known if isinstance(item, str)), "")
    has_description = any(isinstance(item, FieldInfo) and item.description for item in known)
    if (plain or described) and not has_description:
        metadata.insert(0, Field(description=plain or described))
    if metadata:
        annotation = Annotated[(annotation, *metadata)]
    is_required = default is Parameter.empty or (isinstance(default, FieldInfo) and default.is_required())
    return (Required if is_required else NotRequired)[annotation]


def _takes_or(annotation: Any) -> bool:
    return isinstance(annotation, type | UnionType)


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return annotation.__metadata__ if get_origin(annotation) is Annotated else ()


# -- compiled -----------------------------------------------------------------------------------------


def compiled(name: str, parameters: Parameters) -> ArgumentsValidator:
    """Their types as JSON Schema and as one compiled check."""
    try:
        return _build(name, parameters)
    except _UNREADABLE as error:
        raise _unreadable(name, parameters, error) from error


_UNREADABLE = (PydanticUserError, PydanticSchemaGenerationError, TypeError, ValueError, NameError, RecursionError)


def _build(name: str, parameters: Parameters) -> ArgumentsValidator:
    arguments = _NEW_TYPED_DICT(name, parameters.fields)
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    adapter = TypeAdapter[Any](arguments)
    schema = adapter.json_schema(schema_generator=ClassSchemas)
    _show_defaults(schema, parameters.defaults)
    return ArgumentsValidator(core=cast("SchemaValidator", adapter.validator), schema=glm_schema(schema))


def _unreadable(name: str, parameters: Parameters, error: Exception) -> ConfigurationError:
    """The error, with the parameter that causes it: the one that fails alone."""
    for parameter, annotation in parameters.fields.items():
        try:
            _build(name, Parameters(fields={parameter: annotation}))
        except _UNREADABLE as alone:
            reason = str(alone).partition("\n")[0]
            return ConfigurationError(
                f"the type of parameter {parameter!r} of tool {name!r} has no JSON form: {reason};"
                " use plain types, dataclasses, TypedDicts or pydantic models"
            )
    return ConfigurationError(f"the parameters of tool {name!r} cannot be described: {error}")


def _show_defaults(schema: JsonObject, defaults: dict[str, Any]) -> None:
    for name, default in defaults.items():
        shown = schema["properties"].get(name, {})
        if default is None and "anyOf" in shown:
            # Leaving it out says the same as null, and GLM writes a value best where there is one type.
            shown["anyOf"] = [branch for branch in shown["anyOf"] if branch.get("type") != "null"]
        elif default is not None:
            with suppress(PydanticSerializationError, ValueError, TypeError):
                shown.setdefault("default", _plain(default))


def _plain(default: Any) -> Any:
    if isinstance(default, BaseModel):
        return default.model_dump(mode="json")
    return to_jsonable_python(default, inf_nan_mode="strings")
