"""Servers that others wrote, as entries of a configuration, and an agent that calls their tools one after the other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from node import Unavailable, node, package

from glm_agent import Agent
from glm_agent.messages import ToolResult

Call = tuple[str, dict[str, Any]]
BESIDE = Path(sys.executable).parent
EVERYTHING = "@modelcontextprotocol/server-everything"
PATIENT = {"startup_timeout_seconds": 300}
"""Some import for seconds, and several are started at once."""


def node_entry(name: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """The entry of a server from npm; skips the test where it cannot be had."""
    try:
        return {"command": node(), "args": [str(package(name) / "dist" / "index.js"), *arguments], **PATIENT, **more}
    except Unavailable as error:
        pytest.skip(str(error))


def everything(transport: str, **more: Any) -> dict[str, Any]:
    """The protocol's reference server, over ``stdio``, ``http`` or ``sse``; over HTTP it is started for us."""
    if transport == "stdio":
        return {**node_entry(EVERYTHING, "stdio"), **more}
    argument, path = {"http": ("streamableHttp", "mcp"), "sse": ("sse", "sse")}[transport]
    port = {"env": {"PORT": "${port}"}, "url": f"http://127.0.0.1:${{port}}/{path}"}
    return {**node_entry(EVERYTHING, argument), **port, **more}


def python_entry(program: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """The entry of a server from PyPI, which the extra ``test`` installs."""
    return {"command": str(BESIDE / program), "args": list(arguments), **PATIENT, **more}


def agent(entry: dict[str, Any], **settings: Any) -> Agent:
    """An agent whose model obeys lines; the server's tools begin with ``s__``."""
    return Agent("simulate:directive", mcp_servers=[{"mcpServers": {"s": entry}}], max_steps=60, **settings)


def lines(calls: list[Call]) -> str:
    """A prompt that has the simulated model make these calls, each when the one before it has ended."""
    return "\nthen ".join(f"call s__{name} {json.dumps(arguments)}" for name, arguments in calls)


async def answers(agent: Agent, *calls: Call) -> list[ToolResult]:
    """The results of the calls, in their order."""
    result = await agent.run(lines(list(calls)))
    assert result.stop_reason == "end_turn", result.detail
    return [message for message in result.messages if isinstance(message, ToolResult)]
