"""The registry: finds the tool of a call, runs it within its bounds, and folds whatever happens into a result.

It asks nobody for permission: that is what wrappers are for. It knows no kind of tool but the ``Tool`` protocol.
"""

from __future__ import annotations

import asyncio
import difflib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import anyio

from glm_agent.errors import ConfigurationError, ToolError
from glm_agent.messages import ToolCall, ToolResult, ToolSpec
from glm_agent.registry.bound import Bound
from glm_agent.registry.decorator import ToolMethod
from glm_agent.registry.failure import describe_failure
from glm_agent.registry.function import FunctionTool
from glm_agent.registry.output import shorten
from glm_agent.registry.seams import Tool, ToolContext
from glm_agent.schema import ArgumentsError, recover_call

_MAX_LISTED = 50

_UNKNOWN_OUTCOME = (
    "unknown outcome: an earlier process began this very call and ended before its outcome was kept, so it may or"
    " may not have taken effect. It was not run again. Check before you repeat it."
)
_MAY_HAVE_HAPPENED = "It may or may not have taken effect: check before you repeat it."


class ToolRegistry:
    """Tools under their names. It is a ``Tools``."""

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        *,
        secrets: Iterable[str] = (),
        expose_errors: bool = True,
    ) -> None:
        """Register ``tools``; a plain function becomes a ``FunctionTool``.

        ``secrets`` never stand in an error that the model reads, besides those of the environment;
        ``expose_errors=False`` keeps the messages of exceptions back altogether.

        Raises:
            ConfigurationError: Two tools have one name, or something given is no tool.
        """
        self._tools: dict[str, Tool] = {}
        self._specs: dict[str, ToolSpec] = {}
        self._secrets = tuple(secrets)
        self._expose_errors = expose_errors
        for item in tools:
            self._add(as_tool(item))

    def _add(self, tool: Tool) -> None:
        spec = tool.spec
        if (other := self._specs.get(spec.name)) is not None:
            raise ConfigurationError(
                f"two tools are named {spec.name!r}: one from {other.source!r}, one from {spec.source!r};"
                " rename one with @tool(name=…)"
            )
        self._tools[spec.name] = tool
        self._specs[spec.name] = spec

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def get(self, name: str) -> Tool | None:
        """The tool of this name."""
        return self._tools.get(name)

    def knows(self, call: ToolCall) -> bool:
        """Whether the call means a tool that is here."""
        return self._find(call) is not None

    @property
    def hung(self) -> tuple[str, ...]:
        """Names of tools of which a call that was given up still runs in a thread."""
        return tuple(name for name, tool in self._tools.items() if tool.is_hung)

    # -- Tools

    async def specs(self) -> tuple[ToolSpec, ...]:
        """All of them, in the order they were given."""
        return tuple(self._specs.values())

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | None:  # noqa: ARG002
        """Only a call of a tool that does not exist is turned away: nothing of it needs to be on record."""
        return None if self.knows(call) else self._not_found(call)

    async def call(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one call. Raises nothing but cancellation and, in the main thread, ``KeyboardInterrupt``."""
        meant = self._find(call)
        if meant is None:
            return self._not_found(call)
        tool, spec = self._tools[meant.name], self._specs[meant.name]
        result = await self._run(tool, meant, context)
        return ToolResult(
            call_id=call.id,
            name=spec.name,
            content=shorten(result.content, max_tokens=tool.max_output_tokens, keep=context.keep),
            attachments=result.attachments,
            is_error=result.is_error,
            is_untrusted=result.is_untrusted or spec.is_untrusted,
        )

    def _find(self, call: ToolCall) -> ToolCall | None:
        meant = recover_call(call, self._specs)
        return meant if meant.name in self._specs else None

    def _not_found(self, call: ToolCall) -> ToolResult:
        names = list(self._specs)
        close = difflib.get_close_matches(call.name[:100], names, n=3)
        others = [name for name in names if name not in close]
        said = f"there is no tool {call.name[:100]!r}, nothing was run."
        if close:
            said += f" Did you mean {' or '.join(repr(name) for name in close)}?"
        if names:
            said += f" The tools are: {', '.join([*close, *others][:_MAX_LISTED])}"
            said += f" and {len(names) - _MAX_LISTED} more." if len(names) > _MAX_LISTED else "."
        return ToolResult(call_id=call.id, name=call.name, content=said, is_error=True)

    # -- one call, bounded

    async def _run(self, tool: Tool, call: ToolCall, context: ToolContext) -> ToolResult:
        is_repeat = context.was_started and self._specs[call.name].effect == "write"
        work = tool.reconcile if is_repeat else tool.run
        context.bound = Bound(tool.timeout_seconds)
        scope = context.bound.scope
        context.is_unknown = is_repeat  # until it is found out
        try:
            with scope:
                found = await work(call, context)
                context.is_unknown = found is None
                return found or _error(_UNKNOWN_OUTCOME)
        except (ToolError, ArgumentsError) as error:
            context.is_unknown = False
            return _error(str(error) or "the tool failed, and did not say why")
        except (Exception, SystemExit) as error:
            if not scope.cancel_called:
                said = describe_failure(error, secrets=self._secrets, is_exposed=self._expose_errors)
                return _error(f"{_UNKNOWN_OUTCOME} (Finding out failed: {said})" if is_repeat else said)
        except KeyboardInterrupt:
            # Ctrl-C reaches the main thread alone: elsewhere it is the tool's own.
            if threading.current_thread() is threading.main_thread():
                raise
            return _error("the tool raised KeyboardInterrupt")
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return _error("the tool's own work was cancelled from within")
        finally:
            context.cancelled.set()
        # Here the scope has ended the work, or the work made something else of being ended.
        said = f"timed out after {tool.timeout_seconds:g} seconds"
        return _error(f"{said}. {_MAY_HAVE_HAPPENED}" if self._specs[call.name].effect == "write" else said)


def as_tool(item: Any) -> Tool:
    """The tool itself, or the function as one; ``ConfigurationError`` for anything else."""
    if hasattr(item, "spec") and hasattr(item, "run"):
        return cast("Tool", item)
    if isinstance(item, ToolMethod):
        raise ConfigurationError(f"{item} is a method, whose tool is that of an object: give {item.example}")
    if callable(item):
        return FunctionTool(item)
    raise ConfigurationError(f"{item!r} is no tool: give a function with type hints, or an object with spec and run")


def _error(content: str) -> ToolResult:
    return ToolResult(call_id="", content=content, is_error=True)


def _is_cancelled() -> bool:
    """Whether a cancellation that reached us was meant for us, and not made up by the tool."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        # Another event loop than asyncio's, which marks its cancellations by another exception.
        return False
    return task is None or task.cancelling() > 0
