"""The types of a function's parameters, as objects: strings resolved, odd spellings made readable. Pure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import GenericAlias, SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from typing_extensions import TypedDict as PortableTypedDict

from glm_agent.errors import ConfigurationError
from glm_agent.schema.shapes import is_array


def resolve(function: Callable[..., Any], parameter: inspect.Parameter, *, known: dict[str, Any]) -> Any:
    """The parameter's type. ``known`` holds names that count as imported where the function's module lacks them.

    Raises:
        ConfigurationError: The annotation names something that is not there.
    """
    target = _definition(function)
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    module = getattr(target, "__globals__", {})
    closure = _closure(target)
    try:
        hints = get_type_hints(holder, globalns=module, localns={**known, **module, **closure}, include_extras=True)
    except NameError:
        hints = _resolve_in_frames(holder, target, {**known, **closure}, parameter.name)
    except (TypeError, SyntaxError) as error:
        raise _unresolved(target, parameter.name, error) from error
    return portable(hints[parameter.name])


def _resolve_in_frames(holder: Any, target: Any, known: dict[str, Any], name: str) -> dict[str, Any]:
    module = getattr(target, "__globals__", {})
    try:
        local = {**known, **module, **_enclosing_locals(target)}
        return get_type_hints(holder, globalns=module, localns=local, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise _unresolved(target, name, error) from error


def _unresolved(target: Any, name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the type of parameter {name!r} of {target.__qualname__!r} cannot be resolved ({error}):"
        " import or define it in the function's module, not under TYPE_CHECKING"
    )


def _definition(function: Any) -> Any:
    """Where the annotations were written: under partials, wrappers, and in a callable object's ``__call__``."""
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = type(function).__call__
    return inspect.unwrap(function)


def _closure(target: Any) -> dict[str, Any]:
    try:
        return dict(inspect.getclosurevars(target).nonlocals)
    except (TypeError, ValueError):
        return {}


def _enclosing_locals(target: Any) -> dict[str, Any]:
    """The local names of the functions that a local function was written in, as long as they still run."""
    outer = target.__qualname__.split(".<locals>")[:-1]
    names = {".<locals>".join(outer[: end + 1]) for end in range(len(outer))}
    found: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_qualname in names and frame.f_globals is target.__globals__:
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


# -- typing.TypedDict, which pydantic refuses before Python 3.12 ------------------------------------------


def portable(annotation: Any) -> Any:
    """The same type, with every ``typing.TypedDict`` in it replaced by that of ``typing_extensions``."""
    return annotation if sys.version_info >= (3, 12) else _convert(annotation, {})


def _convert(annotation: Any, seen: dict[Any, Any]) -> Any:
    if isinstance(annotation, type) and type(annotation) is type(_Probe):
        return _typed_dict(annotation, seen)
    arguments = get_args(annotation)
    if not arguments or get_origin(annotation) is Literal:
        return annotation
    converted = tuple(
        [_convert(item, seen) for item in argument] if is_array(argument) else _convert(argument, seen)
        for argument in arguments
    )
    same = all(new is old or new == old for new, old in zip(converted, arguments, strict=True))
    return annotation if same else _rebuild(annotation, converted)


def _rebuild(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        return Annotated[arguments]
    if origin in (Union, UnionType):
        return Union[arguments]  # noqa: UP007
    if isinstance(annotation, GenericAlias):
        return origin[arguments]
    return annotation.copy_with(arguments)


_NEW_TYPED_DICT: Any = PortableTypedDict


class _Probe(TypedDict):
    pass


def _typed_dict(annotation: Any, seen: dict[Any, Any]) -> Any:
    if annotation in seen:
        return seen[annotation]
    twin = _NEW_TYPED_DICT(annotation.__name__, {})
    seen[annotation] = twin
    twin.__doc__, twin.__module__ = annotation.__doc__, annotation.__module__
    hints = get_type_hints(annotation, include_extras=True)
    twin.__annotations__ = {name: _field(annotation, name, hint, seen) for name, hint in hints.items()}
    twin.__required_keys__ = annotation.__required_keys__
    twin.__optional_keys__ = annotation.__optional_keys__
    return twin


def _field(annotation: Any, name: str, hint: Any, seen: dict[Any, Any]) -> Any:
    origin = get_origin(hint)
    if origin in (Required, NotRequired):
        return origin[_convert(get_args(hint)[0], seen)]
    return (Required if name in annotation.__required_keys__ else NotRequired)[_convert(hint, seen)]
