"""Commands: a program with its arguments, in the workspace, confined."""

from __future__ import annotations

from typing import Annotated, TypedDict

from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools.sandbox import Command, Outcome, run, sandbox_of, temporary_folder
from glm_agent_tools.workspace import workspace_of

Seconds = Annotated[float, Field(gt=0, le=600)]


class Finished(TypedDict):
    """What came of a command."""

    exit_code: int
    stdout: str
    stderr: str
    stopped: str | None
    sandbox: str


@tool(destructive=True, open_world=True, timeout_seconds=640, max_output_tokens=30_000)
async def run_command(
    context: ToolContext,
    command: Annotated[list[str], Field(min_length=1, max_length=1000)],
    folder: str = ".",
    input: str = "",
    timeout_seconds: Seconds = 60,
) -> Finished:
    """Run a program in the workspace and return what it printed.

    There is no shell in between: the command is a list, each argument as it is, without quotes, pipes,
    variables and wildcards. It can change files of the workspace only and, unless allowed, has no network; "sandbox" in
    the result says what held. It and all it started end when it returns or takes too long.

    Args:
        command: The program and its arguments, such as ["git", "log", "--oneline"].
        folder: Folder to run it in, relative to the workspace.
        input: Text for its standard input.
        timeout_seconds: When to stop it.
    """
    if not command[0] or any("\0" in word for word in command):
        raise ToolError("the command is empty or holds a null character: give a program and its arguments")
    workspace = workspace_of(context)
    asked = Command(
        words=command,
        folder=workspace.folder(folder),
        workspace=workspace.root,
        timeout_seconds=timeout_seconds,
        input=input,
    )
    with temporary_folder() as temporary:
        return finished(await run(asked, sandbox=sandbox_of(context), temporary=temporary))


def finished(outcome: Outcome) -> Finished:
    """An outcome as the model reads it."""
    return Finished(
        exit_code=outcome.exit_code,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        stopped=outcome.stopped or None,
        sandbox=outcome.sandbox,
    )
