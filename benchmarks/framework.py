"""Ours, through the public face alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import tools
from glm_agent import Agent, tool

Functions = dict[str, Callable[..., Any]]


class Framework:
    """Typed tools, events, usage and permissions, as anyone would use them."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._open: list[Agent] = []

    def build(self, model: str, functions: Functions, **settings: Any) -> Agent:
        return Agent(
            model,
            instructions=tools.INSTRUCTIONS,
            # Read-only tools may start before the response is complete, as the baseline starts all of them.
            tools=[tool(read_only=True)(function) for function in functions.values()],
            base_url=self._base_url,
            api_key="x.y",
            **{"max_steps": 1_000_000, **settings},
        )

    async def run(self, agent: Agent) -> str:
        await self._keep_open(agent)
        return str((await agent.run(tools.PROMPT)).output)

    async def stream(self, agent: Agent, on_text: Callable[[str], None], on_arguments: Callable[[str], None]) -> str:
        await self._keep_open(agent)
        async with agent.stream(tools.PROMPT) as events:
            async for event in events:
                if event.kind == "text_delta":
                    on_text(event.text)
                elif event.kind == "tool_call_delta":
                    on_arguments(event.arguments)
        return str(events.result.output)

    @asynccontextmanager
    async def served(self, model: str, command: list[str], **settings: Any) -> AsyncGenerator[Agent, None]:
        """An agent whose only tools are those of an MCP server."""
        servers = {"mcpServers": {"echo": {"command": command[0], "args": command[1:]}}}
        model = model.replace(".techo", ".techo__echo")
        async with self.build(model, {}, mcp_servers=[servers], **settings) as agent:
            yield agent

    async def _keep_open(self, agent: Agent) -> None:
        if agent not in self._open:
            self._open.append(agent)
            await agent.__aenter__()

    async def aclose(self) -> None:
        while self._open:
            await self._open.pop().__aexit__(None, None, None)


@asynccontextmanager
async def served_call(command: list[str]) -> AsyncGenerator[Callable[..., Any], None]:
    """``await call(tool, arguments)`` -> text, by the way a turn takes: the registry and the server's tools."""
    import json

    from glm_agent.mcp.servers import MCPServers
    from glm_agent.messages import ToolCall
    from glm_agent.registry import ToolContext, ToolRegistry

    servers = MCPServers.read([{"mcpServers": {"echo": {"command": command[0], "args": command[1:]}}}])
    try:
        registry = ToolRegistry(await servers.tools())

        async def call(name: str, arguments: dict[str, Any]) -> str:
            asked = ToolCall(id="call_0", name=f"echo__{name}", arguments=json.dumps(arguments))
            return (await registry.call(asked, ToolContext(call=asked))).content

        yield call
    finally:
        await servers.aclose()
