"""A list of what is to be done, kept where everything is kept: in the conversation."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from glm_agent import ToolContext, ToolError, tool

_MARKS: Final = {"open": "[ ]", "doing": "[>]", "done": "[x]", "dropped": "[-]"}


class Todo(TypedDict):
    """One thing to do."""

    task: Annotated[str, Field(min_length=1, max_length=500, description="What is to be done, in one line.")]
    state: Literal["open", "doing", "done", "dropped"]


@tool(read_only=True)
def write_todos(context: ToolContext, todos: Annotated[list[Todo], Field(max_length=100)]) -> str:
    """Write down what is to be done, and keep it up to date; the list replaces the one before.

    Use it for work of three steps and more. One thing is "doing" at a time; mark it "done" as soon as it is.

    Args:
        todos: The whole list, in order, with what is done already.
    """
    doing = [todo["task"] for todo in todos if todo["state"] == "doing"]
    if len(doing) > 1:
        raise ToolError(f"{len(doing)} things are 'doing' at once: let one be, and the others 'open'")
    done = sum(todo["state"] in ("done", "dropped") for todo in todos)
    context.progress(doing[0] if doing else "", done=done, total=len(todos))
    lines = [f"{_MARKS[todo['state']]} {' '.join(todo['task'].split())}" for todo in todos]
    return "\n".join((*lines, f"[{done} of {len(todos)} done]"))
