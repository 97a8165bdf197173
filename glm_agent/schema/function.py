"""A Python function -> what the model is shown of it, and a compiled validator of its arguments. Pure.

Knows nothing of running a function: no threads, no results, no permissions. ``pydantic`` is imported with the
first function that is read (40 ms), and not before.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from glm_agent.errors import ConfigurationError
from glm_agent.messages import Effect, ToolSpec
from glm_agent.schema.docstring import describe
from glm_agent.schema.validator import FunctionSchema

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def function_schema(
    function: Callable[..., Any],
    *,
    inject: type | None = None,
    name: str = "",
    description: str = "",
    effect: Effect = "write",
    is_untrusted: bool = False,
    needs_approval: bool = False,
) -> FunctionSchema:
    """Read a function's name, docstring and type hints.

    ``inject`` is the type of the parameters the model does not see. Types may be anything pydantic reads;
    a parameter without one takes that of its default.

    Raises:
        ConfigurationError: A parameter's type is missing, unknown to pydantic or not resolvable; the
            function takes ``*args`` or ``**kwargs``; or the name is not one GLM accepts.
    """
    name = name or _name(function)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be a tool's name: give one with name=, of letters, digits, '_' and '-', at most 64"
        )
    from glm_agent.schema.signature import compiled, read

    said, described = describe(_docstring(function))
    parameters = read(function, name, inject, described)
    validator = compiled(name, parameters)
    spec = ToolSpec(
        name=name,
        description=description or said,
        parameters=validator.schema,
        effect=effect,
        is_untrusted=is_untrusted,
        needs_approval=needs_approval,
        source=_source(function),
    )
    return FunctionSchema(
        spec=spec,
        validator=validator,
        injected=tuple(parameters.injected),
        positional=tuple(parameters.positional),
    )


def _inner(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _name(function: Any) -> str:
    inner = _inner(function)
    return getattr(inner, "__name__", "") or type(inner).__name__


def _source(function: Any) -> str:
    inner = _inner(function)
    home = inner if hasattr(inner, "__qualname__") else cast("Any", type(inner))
    return f"{home.__module__}:{home.__qualname__}"


def _docstring(function: Any) -> str | None:
    inner = _inner(function)
    if inspect.isroutine(inner) or inspect.isclass(inner):
        return inspect.getdoc(inner)
    kind = cast("Any", type(inner))
    return inspect.getdoc(kind.__call__ if kind.__call__.__doc__ else kind)
