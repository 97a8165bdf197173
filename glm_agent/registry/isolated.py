"""A function that runs in a process of its own, which is ended with all it started: on timeout, cancel and return.

The process imports the function from where it was defined (``isolated_child``), gets the call as JSON and the
context's data pickled, and talks back in lines of JSON: progress, questions, calls of other tools, the
result. It has the rights of this process: isolation is for what hangs or crashes, not for what attacks.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, nullcontext, suppress
from dataclasses import asdict, dataclass
from types import FunctionType
from typing import Any, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process, TaskGroup

from glm_agent.errors import ConfigurationError, ToolError
from glm_agent.messages import JsonObject, ToolCall, ToolProgress, ToolResult, fact_from_json
from glm_agent.registry.asking import DISMISSED, Question
from glm_agent.registry.seams import ToolContext

_CHILD = "glm_agent.registry.isolated_child"


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where another process finds a function."""

    module: str
    """As an ``import`` statement writes it; of a script, its name as a module or empty."""
    file: str
    """The module's file, for modules that cannot be imported by name."""
    name: str
    """The function's place in the module, with dots."""
    packages: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The packages above the module, outermost first, with the folders they search."""


class ProcessDied(Exception):
    """The process ended without a result."""


def home_of(function: Callable[..., Any]) -> Home:
    """Where the function is defined; ``ConfigurationError`` where no other process can find it."""
    name = getattr(function, "__qualname__", "")
    if not isinstance(function, FunctionType) or "<" in name or "." in name:
        raise ConfigurationError(
            f"{name or function!r} cannot be isolated: another process imports it, so it has to be"
            " a function at the top of a file, no method, partial, lambda or inner function"
        )
    module = sys.modules.get(function.__module__)
    file = getattr(module, "__file__", None)
    spec = getattr(module, "__spec__", None)
    known = spec.name if spec is not None else "" if function.__module__ == "__main__" else function.__module__
    if not file:
        raise ConfigurationError(f"{name!r} cannot be isolated: it is in no file that another process could import")
    return Home(module=known, file=os.path.abspath(file), name=name, packages=_packages(known))


def _packages(module: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    parts = module.split(".")[:-1]
    names = [".".join(parts[: end + 1]) for end in range(len(parts))]
    return tuple((name, tuple(getattr(sys.modules.get(name), "__path__", ()))) for name in names)


async def run_isolated(home: Home, call: ToolCall, context: ToolContext, *, needs_context: bool) -> ToolResult:
    """The call's result, from a process that is gone when this returns or raises."""
    order = _order(home, call, context, needs_context=needs_context)
    process = await _start()
    answers: list[ToolResult] = []
    try:
        async with anyio.create_task_group() as tasks:
            conversation = _Conversation(process, context, tasks)
            await conversation.send(order)
            answers.append(await conversation.result())
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        await _end(process)
    return answers[0]


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _order(home: Home, call: ToolCall, context: ToolContext, *, needs_context: bool) -> JsonObject:
    handed = (context.deps, context.messages, context.session, context.idempotency_key) if needs_context else ()
    try:
        pickled = pickle.dumps(handed)
    except Exception as error:
        raise ToolError(
            f"deps of type {type(context.deps).__name__!r} cannot be handed to {call.name!r}, which runs in a"
            f" process of its own: {error}"
        ) from error
    return {
        "path": sys.path,
        "home": asdict(home),
        "call": {"id": call.id, "name": call.name, "arguments": call.arguments},
        "context": base64.b64encode(pickled).decode(),
    }


async def _start() -> Process:
    pipe = subprocess.PIPE
    # stderr stays ours, so that what the tool says there is seen.
    return await anyio.open_process(
        [sys.executable, "-P", "-m", _CHILD], stdin=pipe, stdout=pipe, stderr=None, start_new_session=True
    )


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()
        await process.aclose()


class _Conversation:
    """What the process says, and what it is answered."""

    def __init__(self, process: Process, context: ToolContext, tasks: TaskGroup) -> None:
        self._process, self._context, self._tasks = process, context, tasks
        self._sending = anyio.Lock()

    async def send(self, message: JsonObject) -> None:
        async with self._sending:
            with suppress(anyio.BrokenResourceError):  # why it died is said where its end is read
                await cast("ByteSendStream", self._process.stdin).send(json.dumps(message).encode() + b"\n")

    async def result(self) -> ToolResult:
        async with aclosing(_lines(cast("ByteReceiveStream", self._process.stdout))) as lines:
            async for line in lines:
                match cast("JsonObject", json.loads(line)):
                    case {"progress": shown}:
                        self._context.emit(ToolProgress(**shown))
                    case {"result": result}:
                        return cast("ToolResult", fact_from_json(result))
                    case {"tool_error": text}:
                        raise ToolError(text)
                    case {"error": text, "type": name}:
                        # Told to the model by its type and message, as if it had been raised here.
                        raise cast("Exception", type(name, (Exception,), {})(text))
                    case asked:
                        self._tasks.start_soon(self._answer, asked)
        raise ProcessDied(f"the tool's process ended without a result ({_how(await self._process.wait())})")

    async def _answer(self, asked: JsonObject) -> None:
        number = asked["wanted"]
        try:
            await self.send({"answer": number, "value": await self._value(asked)})
        except ToolError as error:
            await self.send({"answer": number, "tool_error": str(error)})

    async def _value(self, asked: JsonObject) -> Any:
        context = self._context
        if "question" in asked:
            with context.bound.paused() if context.bound is not None else nullcontext():
                question = Question(**asked["question"])
                said = None if context.asker is None else await context.asker(question)
                return None if said is DISMISSED else said
        return asdict(await context.call_tool(asked["tool"], **asked["arguments"]))


async def _lines(stream: ByteReceiveStream) -> AsyncGenerator[bytes, None]:
    held: list[bytes] = []
    async for block in stream:
        first, *others = block.split(b"\n")
        held.append(first)
        for other in others:
            yield b"".join(held)
            held = [other]


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
