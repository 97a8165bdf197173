"""Python: a script in a process of its own, confined and bounded."""

from __future__ import annotations

import sys
from typing import Annotated

from pydantic import Field

from glm_agent import ToolContext, tool
from glm_agent_tools.sandbox import Command, run, sandbox_of, temporary_folder
from glm_agent_tools.shell import Finished, Seconds, finished
from glm_agent_tools.workspace import workspace_of

_MEMORY_BYTES = 2 * 2**30


@tool(destructive=True, open_world=True, timeout_seconds=640, max_output_tokens=30_000)
async def python_script(
    context: ToolContext,
    code: Annotated[str, Field(min_length=1, max_length=500_000)],
    arguments: Annotated[list[str] | None, Field(max_length=100)] = None,
    input: str = "",
    timeout_seconds: Seconds = 60,
) -> Finished:
    """Run a Python script in the workspace and return what it printed.

    Print what you want to see. The script starts fresh each time, in the top folder of the workspace, with at
    most 2 GiB of memory. It can change files of the workspace only and, unless allowed, has no network;
    "sandbox" in the result says what held.

    Args:
        code: The script.
        arguments: What stands in sys.argv[1:].
        input: Text for its standard input.
        timeout_seconds: When to stop it.
    """
    workspace = workspace_of(context).root
    with temporary_folder() as temporary:
        script = temporary / "script.py"
        script.write_text(code, encoding="utf-8", errors="replace")
        asked = Command(
            words=[sys.executable, "-I", "-B", str(script), *(arguments or ())],
            folder=workspace,
            workspace=workspace,
            timeout_seconds=timeout_seconds,
            input=input,
            memory_bytes=_MEMORY_BYTES,
        )
        return finished(await run(asked, sandbox=sandbox_of(context), temporary=temporary))
