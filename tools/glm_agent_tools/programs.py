"""A program of the model that calls its other tools: dozens of calls for one step, and only what it prints to read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import anyio
from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools import program_runner
from glm_agent_tools.sandbox import Command, Outcome, run, sandbox_of, temporary_folder
from glm_agent_tools.shell import Seconds

_MEMORY_BYTES = 2**30
_MAX_LINE_BYTES = 16 * 2**20
_MAX_ERROR = 3_000


@tool(destructive=True, timeout_seconds=640, max_output_tokens=10_000)
async def run_python(
    context: ToolContext,
    code: Annotated[str, Field(min_length=1, max_length=200_000)],
    timeout_seconds: Seconds = 120,
) -> str:
    """Run a Python program that calls your other tools as functions, and return what it prints.

    Use it for many calls at once: loops, filters, sums, joins. Every other tool is a function of the same
    name that takes its arguments by name and returns the result, read as JSON where it is JSON. A tool that
    fails raises ToolError. Only what you print comes back, so print no more than you need. The program has
    the standard library, no network, and no files but a temporary folder.

    Example: print(sum(stock(sku=s) for s in ["A-17", "B-3"]))

    Args:
        code: The program.
        timeout_seconds: When to stop it.
    """
    with temporary_folder() as temporary, _pipes() as pipes:
        calls = _Calls(context, pipes)
        outcome: Outcome | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls.answer, tasks.cancel_scope)
            # Whatever commands may do elsewhere: a program acts through tools alone.
            sandbox = replace(sandbox_of(context), network=False, read=(), write=())
            try:
                outcome = await run(
                    _command(code, temporary, pipes, timeout_seconds), sandbox=sandbox, temporary=temporary
                )
            except ToolError as error:
                calls.stopped = str(error)
            tasks.cancel_scope.cancel()
    if outcome is None:
        raise ToolError(f"the program was stopped after {calls.made} calls: {calls.stopped}")
    return _said(outcome, calls.made)


def _command(code: str, temporary: Path, pipes: _Pipes, timeout_seconds: float) -> Command:
    runner, program = temporary / "runner.py", temporary / "program.py"
    runner.write_bytes(Path(program_runner.__file__).read_bytes())
    program.write_text(code, encoding="utf-8", errors="replace")
    return Command(
        words=[sys.executable, "-I", "-B", str(runner), str(program), str(pipes.calls_in), str(pipes.answers_out)],
        folder=temporary,
        workspace=temporary,
        timeout_seconds=timeout_seconds,
        memory_bytes=_MEMORY_BYTES,
        descriptors=(pipes.calls_in, pipes.answers_out),
    )


def _said(outcome: Outcome, calls: int) -> str:
    """What the program printed; where it failed, a ``ToolError`` with its last words."""
    note = f"[{calls} tool calls; {outcome.sandbox.replace('the workspace', 'a temporary folder')}]"
    if outcome.stopped or outcome.exit_code != 0:
        why = outcome.stopped or f"failed with exit code {outcome.exit_code}"
        parts = (f"the program {why}", outcome.stderr[-_MAX_ERROR:].strip(), outcome.stdout.strip(), note)
        raise ToolError("\n".join(filter(None, parts)))
    return "\n".join(filter(None, (outcome.stdout.rstrip("\n"), outcome.stderr[-_MAX_ERROR:].strip(), note)))


# -- calls of the program ---------------------------------------------------------------------------------


class _Pipes(NamedTuple):
    """Two pipes; the program has the end where calls go in and the one where answers come out."""

    calls_out: int
    calls_in: int
    answers_out: int
    answers_in: int


@contextmanager
def _pipes() -> Generator[_Pipes]:
    pipes = _Pipes(*os.pipe(), *os.pipe())
    os.set_blocking(pipes.calls_out, False)
    os.set_blocking(pipes.answers_in, False)
    try:
        yield pipes
    finally:
        for descriptor in pipes:
            os.close(descriptor)


class _Calls:
    """Makes the program's calls and writes what came of them."""

    def __init__(self, context: ToolContext, pipes: _Pipes) -> None:
        self._context, self._pipes = context, pipes
        self.made = 0
        self.stopped = ""
        """Why the program cannot go on."""

    async def answer(self, scope: anyio.CancelScope) -> None:
        """Make calls until the program ends; one that could not even be tried (the turn has ended) stops it."""
        try:
            async with aclosing(self._lines()) as lines:
                async for line in lines:
                    await self._make(line)
        except ToolError as error:
            self.stopped = str(error)
            scope.cancel()

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        held = b""
        while True:
            await anyio.wait_readable(self._pipes.calls_out)
            with suppress(BlockingIOError):
                held += os.read(self._pipes.calls_out, 65_536)
            *whole, held = held.split(b"\n")
            for line in whole:
                yield line
            if len(held) > _MAX_LINE_BYTES:
                raise ToolError("the program's arguments are longer than 16 MiB")

    async def _make(self, line: bytes) -> None:
        name, arguments = _read(line)
        self.made += 1
        result = await self._context.call_tool(name, **arguments)
        await self._write({"error" if result.is_error else "content": result.content})

    async def _write(self, answer: dict[str, str]) -> None:
        left = memoryview(json.dumps(answer).encode() + b"\n")
        while left:
            await anyio.wait_writable(self._pipes.answers_in)
            with suppress(BlockingIOError):
                left = left[os.write(self._pipes.answers_in, left) :]


def _read(line: bytes) -> tuple[str, dict[str, Any]]:
    # The program may write to its end of the pipe itself.
    try:
        said = json.loads(line)
        return str(said["name"]), dict(said["arguments"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ToolError("the program wrote what is no call to the line of its calls") from error
