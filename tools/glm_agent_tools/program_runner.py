"""Runs a model's program in the sandbox: ``python -I program_runner.py PROGRAM CALLS ANSWERS``.

Needs the standard library alone: it is copied to where the sandbox lets it be read. Any name that Python
does not know is a tool; its call goes out as a line of JSON on the descriptor CALLS, and what came of it
comes back on ANSWERS.
"""

from __future__ import annotations

import builtins
import json
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

NAME = "program"


class ToolError(Exception):
    """A tool failed; its message says how."""


class Names(dict[str, Any]):
    """The program's global names: what is not there is a tool."""

    def __init__(self, line: Line) -> None:
        self.update(__name__="__main__", __builtins__=builtins, ToolError=ToolError)
        self._line = line

    def __missing__(self, name: str) -> Callable[..., Any]:
        if hasattr(builtins, name) or name.startswith("__"):
            raise KeyError(name)

        def tool(*values: Any, **arguments: Any) -> Any:
            if values:
                raise TypeError(f"{name}() takes arguments by name only, such as {name}(argument=…)")
            return self._line.call(name, arguments)

        tool.__name__ = tool.__qualname__ = name
        self[name] = tool
        return tool


class Line:
    """Calls go out, results come back, one at a time."""

    def __init__(self, calls: int, answers: int) -> None:
        self._calls = os.fdopen(calls, "w", encoding="utf-8")
        self._answers = os.fdopen(answers, encoding="utf-8")

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """The result, read as JSON where it is; raises ``ToolError`` where the tool failed."""
        self._calls.write(json.dumps({"name": name, "arguments": arguments}) + "\n")
        self._calls.flush()
        answer = json.loads(self._answers.readline() or '{"error": "nobody answers any more"}')
        if "error" in answer:
            raise ToolError(answer["error"])
        try:
            return json.loads(answer["content"])
        except ValueError:
            return answer["content"]


def show(error: BaseException) -> None:
    """Print what went wrong and the program's own lines that led to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    sys.stdout.flush()
    for line in [*traceback.format_list(frames)[-3:], *traceback.format_exception_only(error)]:
        sys.stderr.write(line.replace("__main__.ToolError", "ToolError"))


def main() -> None:
    """Run the program; of what it leaves uncaught its last lines are printed, and the exit code is 1."""
    with open(sys.argv[1], encoding="utf-8") as file:
        code = file.read()
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    try:
        exec(compile(code, NAME, "exec"), Names(Line(int(sys.argv[2]), int(sys.argv[3]))))
    except SystemExit:
        raise
    except BaseException as error:
        show(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
