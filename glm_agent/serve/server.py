"""A registry as a server of the SDK, in both eras of the protocol; what listens is in ``listen``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import version as installed_version
from typing import Any

from mcp import MCPError, types
from mcp.server import Server
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from glm_agent.registry import Tools
from glm_agent.serve.offers import Context, Offer, Request, TaskSupport, offers
from glm_agent.serve.tasks import TASKS, Task, TaskParams, TaskStore, TaskUpdateParams, missing, offers_tasks

_CACHED: tuple[CacheableMethod, ...] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
_EXTENSION_VERSIONS = "2026"


class ToolServer:
    """The tools of a registry, and whatever else is offered beside them, as MCP.

    ``tasks`` are globs on names of tools whose calls may outlive their request, for clients that know how.
    ``extra`` are tools that speak the protocol themselves; ``handlers`` are handlers of the SDK's server for
    resources, prompts and completion.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        name: str = "glm-agent",
        instructions: str | None = None,
        tasks: Iterable[str] = (),
        extra: Iterable[Offer] = (),
        handlers: Mapping[str, Any] | None = None,
    ) -> None:
        self._tools, self._globs = tools, tuple(tasks)
        self._extra = {offer.tool.name: offer for offer in extra}
        self._tasks = TaskStore()
        self.server: Server[Any] = Server(
            name,
            version=installed_version("glm-agent"),
            instructions=instructions,
            on_list_tools=self._list,
            on_call_tool=self._call,
            cache_hints=dict.fromkeys(_CACHED, CacheHint(ttl_ms=0, scope="private")),
            **(handlers or {}),
        )
        security = RequestStateSecurity.ephemeral()
        self.server.middleware.append(RequestStateBoundary(security, default_audience=name))
        self._add_tasks()

    def _add_tasks(self) -> None:
        if not self._globs and all(offer.tasks == "never" for offer in self._extra.values()):
            return
        self.server.extensions[TASKS] = {}
        self.server.add_request_handler("tasks/get", TaskParams, _modern(self._tasks.get))
        self.server.add_request_handler("tasks/update", TaskUpdateParams, _modern(self._tasks.update))
        self.server.add_request_handler("tasks/cancel", TaskParams, _modern(self._tasks.cancel))

    @property
    def running(self) -> Mapping[str, Task]:
        """The tasks that are kept, by their ids."""
        return self._tasks.kept

    async def offers(self) -> dict[str, Offer]:
        """Everything that is offered; a tool of the registry comes before one beside it."""
        return {**self._extra, **await offers(self._tools, tasks=self._support)}

    def _support(self, name: str) -> TaskSupport:
        return "may" if any(fnmatchcase(name, glob) for glob in self._globs) else "never"

    async def _list(self, _context: Context, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[offer.tool for offer in (await self.offers()).values()])

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> Any:
        offer = (await self.offers()).get(params.name)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        request = Request(context=context, params=params)
        knows_tasks = context.protocol_version >= _EXTENSION_VERSIONS and offers_tasks(context)
        if offer.tasks == "must" and not knows_tasks:
            raise missing()
        if offer.tasks != "never" and knows_tasks:
            asked = offer.before(request) if offer.before else None
            return asked or self._tasks.create(offer, context, params)
        return await offer.run(request)


def _modern(handle: Callable[..., Any]) -> Callable[..., Any]:
    """A method that only clients of the newer protocol have."""

    async def handler(context: Context, params: Any) -> Any:
        if context.protocol_version < _EXTENSION_VERSIONS:
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
        return await handle(context, params)

    return handler
