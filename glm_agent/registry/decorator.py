"""``@tool``: a function or a method becomes a tool where it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from glm_agent.errors import ConfigurationError
from glm_agent.messages import Effect
from glm_agent.registry.function import FunctionTool

P = ParamSpec("P")
R = TypeVar("R")


class ToolOptions(TypedDict, total=False):
    """What ``@tool(…)`` takes."""

    name: str
    """Instead of the function's."""
    description: str
    """Instead of the docstring's text."""
    effect: Effect
    """What a repeated call does; else from the hints below, else ``write``."""
    read_only: bool
    """It changes nothing: effect ``read``."""
    destructive: bool | None
    """What it changes may be lost."""
    idempotent: bool
    """The same call again changes nothing more: effect ``idempotent``."""
    open_world: bool
    """It deals with the outside world, whose text is not to be trusted."""
    untrusted: bool | None
    """Whether results may hold text of strangers; None: as ``open_world`` says."""
    timeout_seconds: float | None
    """60 where nothing is said; None: no bound."""
    max_output_tokens: int
    """25,000 where nothing is said."""
    needs_approval: bool
    """A person has to agree to every call, unless an allow rule has the tool's own name."""
    isolated: bool
    """Run each call in a process of its own, which is ended with all it started when the call ends in any way."""
    retries: int
    """How often a failed call is repeated at once; not for effect ``write``."""
    reconcile: Callable[..., Any] | None
    """Called with the call's arguments when an earlier process began it: returns what came of it, or None."""


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a function a tool: ``@tool`` or ``@tool(read_only=True, …)``. It stays callable as what it is.

    Its name, docstring and type hints are what the model is shown; a parameter of type ``ToolContext`` is
    filled in at the call. In a class, each object's method is a tool of its own.

    Raises:
        ConfigurationError: The function cannot be a tool as it is; the message names the parameter.
    """
    if function is None:
        return partial(_tool, options=options)
    return _tool(function, options=options)


def _tool(function: Any, *, options: ToolOptions) -> Any:
    if isinstance(function, str):
        raise ConfigurationError(f"@tool takes its options by name: write @tool(name={function!r})")
    if isinstance(function, staticmethod):
        return FunctionTool(cast("Any", function).__func__, **options)
    if isinstance(function, classmethod) or _is_method(function):
        return ToolMethod(function, options)
    return FunctionTool(function, **options)


def _is_method(function: Any) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()), None) if inspect.isfunction(function) else None
    if first is not None and first.name == "cls" and first.annotation is first.empty:
        raise ConfigurationError(f"{function.__qualname__!r} takes the class: write @tool above @classmethod")
    outside = function.__qualname__.rpartition(".")[0] if first is not None else ""
    is_in_class = bool(outside) and not outside.endswith("<locals>")
    return first is not None and first.name == "self" and (is_in_class or first.annotation is first.empty)


class ToolMethod:
    """A decorated method: its tool is made for each object, or for the class where it takes that."""

    def __init__(self, method: Any, options: ToolOptions) -> None:
        self._method, self._options = method, options
        self._function: Any = getattr(method, "__func__", method)

    def __str__(self) -> str:
        return repr(self._function.__qualname__)

    @property
    def example(self) -> str:
        """What to write instead of ``Class.method``."""
        owner, _, name = self._function.__qualname__.rpartition(".")
        return f"{owner.rpartition('.')[2]}(…).{name}"

    def __get__(self, instance: Any, owner: type) -> Any:
        if isinstance(self._method, classmethod):
            return FunctionTool(MethodType(self._function, owner), **self._options)
        if instance is None:
            return self
        bound = FunctionTool(MethodType(self._function, instance), **self._options)
        # Found before this descriptor the next time, so that one object has one tool.
        with suppress(AttributeError):
            instance.__dict__[self._function.__name__] = bound
        return bound
