"""The process of one isolated call: ``python -m glm_agent.registry.isolated_child``, started by ``isolated``.

Reads its order from stdin, answers in lines of JSON on what was stdout, and ends with its whole process group
when stdin closes: so also when the agent is no more. What the tool prints goes to stderr.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from types import ModuleType
from typing import Any, BinaryIO, NoReturn, cast

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token

from glm_agent.errors import ToolError
from glm_agent.messages import (
    Event,
    JsonObject,
    ToolCall,
    ToolProgress,
    ToolResult,
    fact_from_json,
    fact_to_json,
)
from glm_agent.registry.asking import Question
from glm_agent.registry.failure import describe_failure
from glm_agent.registry.function import FunctionTool
from glm_agent.registry.seams import ToolContext


def main() -> NoReturn:
    """Run the call that stdin orders."""
    heard, said = _own_pipes()
    line = _Line(heard, said)
    order = json.loads(heard.readline())
    sys.path[:] = order["path"]
    try:
        tool = _tool(order["home"])
        result = anyio.run(_run, tool, order, line)
        line.say({"result": fact_to_json(result).decode()})
    except ToolError as error:
        line.say({"tool_error": str(error)})
    except BaseException as error:
        text = describe_failure(error).removeprefix(f"{type(error).__name__}: ")
        line.say({"error": "" if text == type(error).__name__ else text, "type": type(error).__name__})
    # At once: a thread of the tool that hangs must not hold the end.
    os._exit(0)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes to the agent, out of reach of the tool: its stdin is empty, its stdout is stderr."""
    heard, said = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return heard, said


async def _run(tool: FunctionTool[..., Any], order: JsonObject, line: _Line) -> ToolResult:
    line.listen()
    call = ToolCall(**order["call"])
    context = ToolContext(call=call, emit=line.show, asker=line.ask, caller=line.call_tool)
    if handed := pickle.loads(base64.b64decode(order["context"])):
        context.deps, context.messages, context.session, context.idempotency_key = handed
    return await tool.run_here(call, context)


# -- the function -----------------------------------------------------------------------------------------


def _tool(home: JsonObject) -> FunctionTool[..., Any]:
    module = _module(home["module"], home["file"], home["packages"])
    found = getattr(module, home["name"])
    return cast("FunctionTool[..., Any]", found) if isinstance(found, FunctionTool) else FunctionTool(found)


def _module(name: str, file: str, packages: list[tuple[str, list[str]]]) -> ModuleType:
    """The module by its name where that leads to its file, else from its file."""
    for package, folders in packages:
        _stand_in(package, folders)
    spec = _spec(name)
    if spec is None or spec.origin is None or not os.path.samefile(spec.origin, file):
        # As for scripts that ``multiprocessing`` starts: what is only for the main module does not run.
        spec = importlib.util.spec_from_file_location(name if packages else "__mp_main__", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{file}' is no Python file")
    if spec.name not in sys.modules:
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[spec.name]


def _stand_in(package: str, folders: list[str]) -> None:
    """A package that only the agent's process knows, such as a folder of plugins."""
    if package not in sys.modules and _spec(package) is None:
        module = sys.modules[package] = ModuleType(package)
        module.__path__ = folders


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):
        return None


# -- the line to the agent --------------------------------------------------------------------------------


class _Line:
    """Says things to the agent, and waits for its answers."""

    def __init__(self, heard: BinaryIO, said: BinaryIO) -> None:
        self._heard, self._said = heard, said
        self._saying = threading.Lock()
        self._waiting: dict[int, tuple[anyio.Event, list[JsonObject]]] = {}

    def say(self, message: JsonObject) -> None:
        with self._saying:
            self._said.write(json.dumps(message).encode() + b"\n")
            self._said.flush()

    def listen(self) -> None:
        """Take the agent's answers in a thread; when the agent is gone, so is everything here."""
        threading.Thread(target=self._listen, args=(current_token(),), daemon=True).start()

    def show(self, event: Event) -> None:
        if isinstance(event, ToolProgress):
            self.say({"progress": {key: value for key, value in asdict(event).items() if key != "kind"}})

    async def ask(self, question: Question) -> Any:
        return await self._want({"question": asdict(question)})

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        result = fact_from_json(json.dumps(await self._want({"tool": name, "arguments": dict(arguments)})))
        assert isinstance(result, ToolResult)
        return result

    async def _want(self, asked: JsonObject) -> Any:
        number = len(self._waiting)
        arrived, answers = self._waiting[number] = anyio.Event(), []
        self.say({"wanted": number, **asked})
        await arrived.wait()
        if "tool_error" in answers[0]:
            raise ToolError(answers[0]["tool_error"])
        return answers[0]["value"]

    def _listen(self, token: Any) -> None:
        for line in self._heard:
            answer = json.loads(line)
            arrived, answers = self._waiting[answer["answer"]]
            answers.append(answer)
            anyio.from_thread.run_sync(arrived.set, token=token)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
