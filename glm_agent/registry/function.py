"""A Python function as a tool, and how it runs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from functools import partial, update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast, get_args

import anyio

from glm_agent.errors import ConfigurationError, ToolError
from glm_agent.messages import Effect, ToolCall, ToolResult, ToolSpec
from glm_agent.registry.isolated import home_of, run_isolated
from glm_agent.registry.output import raw_text, shorten, to_result
from glm_agent.registry.seams import Tool, ToolContext
from glm_agent.registry.threads import Threads
from glm_agent.schema import function_schema, parse_arguments

P = ParamSpec("P")
R = TypeVar("R")

_RETRY_SECONDS = 0.1
_PROGRESS_TOKENS = 100
_WANTED: Final = {
    "timeout_seconds": "it takes seconds, more than 0, or None for no bound",
    "max_output_tokens": "it takes a number from 1 on",
    "retries": "it takes a number from 0 on",
    "reconcile": "it takes a function",
}


class FunctionTool(Tool, Generic[P, R]):
    """A function with type hints, as a tool. Called like the function it is that function.

    Synchronous functions run in a thread. Of a generator, each yielded value is shown as progress; the result
    is what it returns or, where that is nothing, what it yielded last.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str = "",
        description: str = "",
        effect: Effect | None = None,
        read_only: bool = False,
        destructive: bool | None = None,
        idempotent: bool = False,
        open_world: bool = False,
        untrusted: bool | None = None,
        timeout_seconds: float | None = 60.0,
        max_output_tokens: int = 25_000,
        needs_approval: bool = False,
        retries: int = 0,
        isolated: bool = False,
        reconcile: Callable[..., Any] | None = None,
    ) -> None:
        update_wrapper(self, function)
        self.function = function
        schema = function_schema(
            function,
            inject=ToolContext,
            name=name,
            description=description,
            effect=_effect(effect, read_only=read_only, destructive=destructive, idempotent=idempotent),
            is_untrusted=open_world if untrusted is None else untrusted,
            needs_approval=needs_approval,
        )
        if retries and schema.spec.effect == "write":
            raise ConfigurationError(
                f"tool {schema.spec.name!r} has effect 'write' and is not repeated:"
                " leave out retries=, or say read_only=True or idempotent=True if that is so"
            )
        _check(schema.spec.name, timeout_seconds, max_output_tokens, retries, reconcile)
        self.schema = schema
        self.timeout_seconds = timeout_seconds
        self.max_output_tokens = max_output_tokens
        self.destructive, self.open_world = destructive, open_world
        self._retries = retries
        self._reconcile = reconcile
        self._threads = Threads()
        self._is_instant = _is_instant(function)
        self._home = home_of(function) if isolated else None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __reduce__(self) -> str:
        return self.function.__qualname__  # by its name, as functions are: a pool of processes takes it for one

    def __repr__(self) -> str:
        return f"<tool {self.spec.name!r} from {self.spec.source!r}>"

    @property
    def spec(self) -> ToolSpec:
        return self.schema.spec

    @property
    def is_hung(self) -> bool:  # type: ignore[override]
        return self._threads.hung > 0

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Check the arguments, call the function, show what it returns."""
        arguments = self._arguments(call)
        for attempt in range(self._retries):
            try:
                return await self._attempt(arguments, call, context)
            except ToolError:
                raise
            except Exception:
                await anyio.sleep(_RETRY_SECONDS * 2**attempt)
        return await self._attempt(arguments, call, context)

    async def run_here(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """The whole result from this very process, also of an isolated tool: its own process calls this."""
        value = await self._call(self._arguments(call), context)
        return to_result(value, call, max_tokens=sys.maxsize)

    async def reconcile(self, call: ToolCall, context: ToolContext) -> ToolResult | None:
        """Ask the ``reconcile`` hook, where there is one, with the call's arguments."""
        hook = self._reconcile
        if hook is None:
            return None
        known = self._arguments(call) | dict.fromkeys((*self.schema.injected, "context", "ctx"), context)
        value = await self._value(_with_known(hook, known), context, is_instant=_is_instant(hook))
        return None if value is None else to_result(value, call, max_tokens=self.max_output_tokens, keep=context.keep)

    def _arguments(self, call: ToolCall) -> dict[str, Any]:
        return parse_arguments(call.arguments, self.schema.validator, can_repair=self.spec.effect == "read")

    async def _attempt(self, arguments: dict[str, Any], call: ToolCall, context: ToolContext) -> ToolResult:
        if self._home is not None:
            return await run_isolated(self._home, call, context, needs_context=bool(self.schema.injected))
        value = await self._call(arguments, context)
        return to_result(value, call, max_tokens=self.max_output_tokens, keep=context.keep)

    async def _call(self, arguments: dict[str, Any], context: ToolContext) -> Any:
        named = arguments | dict.fromkeys(self.schema.injected, context)
        ordered = [named.pop(name) for name in self.schema.positional if name in named]
        function = cast("Callable[..., Any]", self.function)
        return await self._value(partial(function, *ordered, **named), context, is_instant=self._is_instant)

    async def _value(self, function: Callable[[], Any], context: ToolContext, *, is_instant: bool) -> Any:
        """What the function makes, whichever kind of function it is."""
        value = function() if is_instant else await self._threads.run(function)
        if inspect.isawaitable(value):
            value = await value
        if inspect.isgenerator(value):
            return await self._threads.run(partial(_drain, cast("_Yielding", value), context))
        if inspect.isasyncgen(value):
            return await _drain_async(cast("_YieldingAsync", value), context)
        return value


_Yielding: TypeAlias = Generator[Any, None, Any]
_YieldingAsync: TypeAlias = AsyncGenerator[Any, None]


def _drain(generator: _Yielding, context: ToolContext) -> Any:
    last = None
    while not context.cancelled.is_set():
        try:
            last = next(generator)
        except StopIteration as stop:
            return last if stop.value is None else stop.value
        _show(last, context)
    generator.close()
    return last


async def _drain_async(generator: _YieldingAsync, context: ToolContext) -> Any:
    last = None
    async with aclosing(generator) as values:
        async for last in values:
            _show(last, context)
    return last


def _show(value: Any, context: ToolContext) -> None:
    context.progress(shorten(raw_text(value), max_tokens=_PROGRESS_TOKENS))


def _is_instant(function: Any) -> bool:
    """Whether calling it only makes an awaitable or a generator, so that no thread is needed for the call itself."""
    while isinstance(function, partial):
        function = cast("Any", function).func
    candidates = (function, getattr(cast("Any", type(function)), "__call__", None))  # noqa: B004
    checks = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return any(check(candidate) for check in checks for candidate in candidates)


def _with_known(hook: Callable[..., Any], known: dict[str, Any]) -> Callable[[], Any]:
    """The hook with what it has parameters for."""
    parameters = inspect.signature(hook).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return partial(hook, **known)
    return partial(
        hook, **{parameter.name: known[parameter.name] for parameter in parameters if parameter.name in known}
    )


def _check(name: str, timeout_seconds: Any, max_output_tokens: Any, retries: Any, reconcile: Any) -> None:
    wrong = (
        ("timeout_seconds", timeout_seconds, timeout_seconds is None or _is_number(timeout_seconds, above=0)),
        ("max_output_tokens", max_output_tokens, _is_number(max_output_tokens, above=0)),
        ("retries", retries, _is_number(retries, above=-1)),
        ("reconcile", reconcile, reconcile is None or callable(reconcile)),
    )
    for option, given, is_right in wrong:
        if not is_right:
            raise ConfigurationError(f"tool {name!r} cannot have {option}={given!r}: {_WANTED[option]}")


def _is_number(given: Any, *, above: int) -> bool:
    return isinstance(given, int | float) and given > above


def _effect(effect: Effect | None, *, read_only: bool, destructive: bool | None, idempotent: bool) -> Effect:
    if read_only and destructive:
        raise ConfigurationError("a tool cannot be read_only and destructive at once: leave out one of them")
    if effect not in (None, *get_args(Effect)):
        raise ConfigurationError(f"a tool cannot have effect={effect!r}: write 'read', 'idempotent' or 'write'")
    hinted: Effect | None = "read" if read_only else "idempotent" if idempotent else None
    if effect is not None and hinted is not None and effect != hinted:
        raise ConfigurationError(f"effect={effect!r} and the hints, which say {hinted!r}, contradict: leave out one")
    return effect or hinted or "write"
