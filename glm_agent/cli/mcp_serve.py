"""``glm-agent mcp serve``: Python tools, or a whole agent, as an MCP server."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glm_agent.cli.exits import fail, leave, reporting, say

if TYPE_CHECKING:
    from mcp.server import Server

    from glm_agent.registry import Tools


def serve(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Tools as for `tools list`: files, ./file.py, ./folder …"),
    ] = None,
    *,
    task: Annotated[str | None, typer.Option("--task", help="Serve the agent of this task file, as one tool.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The agent's model; with --task.")] = None,
    name: Annotated[str, typer.Option("--name", help="What clients are told.")] = "glm-agent",
    permissions: Annotated[str | None, typer.Option("--permissions", help="A YAML file; what asks is refused.")] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--as-task", help="Glob on tools whose calls may outlive their request.")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP; else standard input and output.")] = False,
    host: Annotated[str, typer.Option("--host", help="Any other than this machine needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 8930,
    token_env: Annotated[
        str | None, typer.Option("--token-env", help="Name of the variable with the token that clients must send.")
    ] = None,
) -> None:
    """Serve Python tools, or the agent of a task file, to any MCP client.

    Examples: glm-agent mcp serve files ./my_tools.py

      TOKEN=… glm-agent mcp serve --task TASK.md --http --host 0.0.0.0 --token-env TOKEN
    """
    from glm_agent.cli.foreground import Foreground, Interrupted

    if not http and _is_nowhere(1):
        fail("standard output is closed, or leads nowhere: no client can read the answers. --http serves over HTTP")
    with reporting():
        server = _server(sources, task, model, name=name, permissions=permissions, tasks=tasks or [])
        token = _token(token_env)
        try:
            with Foreground(running=list) as foreground:
                foreground.play(lambda: _listen(server, is_http=http, host=host, port=port, token=token))
        except Interrupted as interrupted:
            leave(interrupted.exit_code)


def _server(
    sources: list[str] | None,
    task: str | None,
    model: str | None,
    *,
    name: str,
    permissions: str | None,
    tasks: list[str],
) -> Server[object]:
    from glm_agent.agent.names import policy
    from glm_agent.registry.permitted import PermittedTools
    from glm_agent.serve.server import ToolServer

    if task and sources:
        fail("give tools or --task, not both: the agent of a task file has its own tools")
    tools: Tools = _agent(task, model) if task else _tools(sources)
    if permissions:
        tools = PermittedTools(tools, policy(permissions))
    # An agent works for minutes: its calls may always outlive their request.
    return ToolServer(tools, name=name, tasks=["*"] if task else tasks).server


def _tools(sources: list[str] | None) -> Tools:
    from glm_agent.plugins import available, load_tools
    from glm_agent.registry import ToolRegistry

    if not sources:
        # Nothing is served unasked: a shell is among what is installed.
        names = ", ".join(sorted(plugin.name for plugin in available("tools")))
        fail(f"say what to serve: ./tools.py, a folder, --task TASK.md, or some of {names}")
    loaded = load_tools(sources)
    for broken in loaded.broken:
        say(f"warning: {broken}")
    if not loaded.tools:
        fail(f"there is no tool in {', '.join(sources)}")
    return ToolRegistry(loaded.tools)


def _agent(path: str, model: str | None) -> Tools:
    from glm_agent.agent import Agent
    from glm_agent.agent.task import load_task
    from glm_agent.cli.options import DEFAULT_MODEL
    from glm_agent.registry import ToolRegistry
    from glm_agent.serve.agent_tool import AgentTool

    task = load_task(path)
    given = task.agent_arguments()
    chosen = model or given.pop("model", None) or DEFAULT_MODEL
    arguments: dict[str, Any] = {**given, "model": chosen}
    agent = Agent(**arguments)
    return ToolRegistry([AgentTool(agent, name="run", description=f"Let an agent work. {task.prompt[:400]}".strip())])


def _is_nowhere(descriptor: int) -> bool:
    """Whether what is written there is lost: the process was started without it, or with the null device."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))
    except OSError:
        return False


def _token(variable: str | None) -> str:
    if variable is None:
        return ""
    token = os.environ.get(variable, "")
    if not token:
        fail(f"the variable {variable!r} of --token-env is not set, or empty")
    return token


async def _listen(server: Server[object], *, is_http: bool, host: str, port: int, token: str) -> None:
    from glm_agent.serve.listen import serve_http, serve_stdio

    if is_http:
        await serve_http(server, host=host, port=port, token=token, on_ready=lambda url: say(f"listening on {url}"))
    else:
        if sys.stdin.isatty():
            say("speaking MCP on standard input and output, to a program that starts it; --http serves over HTTP")
        await serve_stdio(server)
