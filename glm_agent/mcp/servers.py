"""Several servers as one list of tools: started side by side, closed in any order.

A server whose tools are not known yet and that cannot start fails the start of a run, since an agent that silently
lacks its tools does something else than it was asked to; one that its configuration calls ``optional`` only gives a
notice. Where the tools are known, by the lock file or from the last time, the run begins at once: a server that then
does not start is a notice, and its calls are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

import anyio

from glm_agent.errors import MCPServerError
from glm_agent.mcp.callbacks import Callbacks, log_notice
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.definition import Listed
from glm_agent.mcp.lock import read as read_lock
from glm_agent.mcp.remembered import Memory
from glm_agent.mcp.resources import ResourceTool, resource_tools
from glm_agent.mcp.sampling import Sampler, whole_response
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.sources import read_servers
from glm_agent.mcp.tools import MCPTool, offer
from glm_agent.messages import Event, Notice
from glm_agent.models.model import Model

Served = MCPTool | ResourceTool


class MCPServers:
    """The servers of an agent. Nothing is started before the tools are asked for."""

    def __init__(
        self,
        configs: Iterable[ServerConfig],
        *,
        warnings: Iterable[str] = (),
        on_event: Callable[[Event], None] = log_notice,
        callbacks: Callbacks | None = None,
        use_locks: bool = True,
        memory: Memory | None = None,
    ) -> None:
        """``memory`` keeps what the servers were like, so that a later run need not wait for them."""
        self._on_event = on_event
        wanted = [config for config in configs if not config.is_disabled]
        paths = {config.lock for config in wanted if config.lock and use_locks}
        locks = {path: read_lock(Path(path)) for path in paths}
        self._warnings = tuple(warnings)
        self._offered: dict[ServerConnection, tuple[MCPTool, ...]] = {}
        self.connections = tuple(
            ServerConnection(
                config,
                on_event=self._emit,
                callbacks=callbacks,
                locked=locks.get(config.lock, {}).get(config.name),
                memory=memory,
            )
            for config in wanted
        )

    @classmethod
    def read(
        cls,
        sources: Iterable[object],
        *,
        environ: Mapping[str, str] | None = None,
        folder: str | Path | None = None,
        on_event: Callable[[Event], None] = log_notice,
    ) -> MCPServers:
        """The servers that files, commands, addresses, dicts and objects name. Raises ``ConfigurationError``."""
        configs, warnings = read_servers(sources, environ=environ, folder=folder)
        return cls(configs, warnings=warnings, on_event=on_event)

    def watch(self, on_event: Callable[[Event], None]) -> None:
        """Send notices there from now on."""
        self._on_event = on_event

    def answer_with(self, model: Model) -> None:
        """Let this model answer the questions of servers whose configuration allows that."""
        sampler = Sampler(partial(whole_response, model), model=model.name)
        for connection in self.connections:
            connection.callbacks = replace(connection.callbacks, sampler=sampler)

    async def start(self) -> None:
        """Start all servers, side by side, and wait for them. Raises ``MCPServerError``; the others keep running."""
        failed: dict[ServerConnection, MCPServerError] = {}

        async def begin(connection: ServerConnection) -> None:
            try:
                await connection.start()
            except MCPServerError as error:
                failed[connection] = error

        async with anyio.create_task_group() as tasks:
            for connection in self.connections:
                tasks.start_soon(begin, connection)
        self._judge(failed)

    async def tools(self) -> tuple[Served, ...]:
        """The tools of all servers, in the order of the configuration; starts what is not running.

        Raises ``MCPServerError`` when a server that is not optional cannot start. The others keep running.
        """
        for warning in self._warnings:
            self._emit(Notice(text=warning, level="warning", source="mcp"))
        self._warnings = ()
        found: dict[ServerConnection, tuple[MCPTool, ...]] = {}
        failed: dict[ServerConnection, MCPServerError] = {}

        async def ask(connection: ServerConnection) -> None:
            try:
                promised = connection.promised_tools()
                if promised is not None:
                    # The server starts beside the first model request.
                    connection.start_soon()
                found[connection] = self._offer(connection, await connection.tools() if promised is None else promised)
            except MCPServerError as error:
                failed[connection] = error

        async with anyio.create_task_group() as tasks:
            for connection in self.connections:
                tasks.start_soon(ask, connection)
        self._judge(failed)
        return self._merged(found)

    async def aclose(self) -> None:
        """Stop all servers, side by side; the next use starts them again."""
        async with anyio.create_task_group() as tasks:
            for connection in self.connections:
                tasks.start_soon(connection.aclose)

    async def __aenter__(self) -> MCPServers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _offer(self, connection: ServerConnection, listed: tuple[Listed, ...]) -> tuple[MCPTool, ...]:
        """The tools of a list; of the same list as last time the same tools, since each has its schema read."""
        tools = self._offered.get(connection, ())
        if tuple(tool.listed for tool in tools) != listed:
            tools = self._offered[connection] = offer(connection, listed)
        return tools

    def _emit(self, event: Event) -> None:
        self._on_event(event)

    def _judge(self, failed: Mapping[ServerConnection, MCPServerError]) -> None:
        for connection, error in failed.items():
            if connection.config.is_optional:
                source = f"mcp:{connection.config.name}"
                self._emit(Notice(text=f"going on without it: {error}", level="warning", source=source))
        needed = [error for connection, error in failed.items() if not connection.config.is_optional]
        if needed:
            raise MCPServerError("\n".join(str(error) for error in needed), server=needed[0].server)

    def _merged(self, found: Mapping[ServerConnection, tuple[MCPTool, ...]]) -> tuple[Served, ...]:
        """All tools; one whose name an earlier server has gets another one."""
        merged: list[Served] = []
        taken = set[str]()
        for connection in self.connections:
            tools = found.get(connection, ())
            if taken & {tool.spec.name for tool in tools}:
                tools = offer(connection, tuple(tool.listed for tool in tools), taken=frozenset(taken))
            merged += tools
            taken |= {tool.spec.name for tool in tools}
            if connection in found:
                beside = resource_tools(connection, taken=frozenset(taken))
                merged += beside
                taken |= {tool.spec.name for tool in beside}
        return tuple(merged)
