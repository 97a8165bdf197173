"""A server's resources and prompts as tools, for servers whose configuration asks for it: five names, one class."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from glm_agent.errors import MCPServerError, ToolError
from glm_agent.mcp import names, sanitize
from glm_agent.mcp.arguments import read_arguments
from glm_agent.mcp.content import read_content
from glm_agent.mcp.server import ServerConnection
from glm_agent.messages import JsonObject, ToolCall, ToolResult, ToolSpec
from glm_agent.registry import Tool, ToolContext

if TYPE_CHECKING:
    from mcp.types import CallToolResult


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the five tools."""

    name: str
    description: str
    run: Callable[[ServerConnection, JsonObject], Awaitable[CallToolResult | list[JsonObject] | list[str]]]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    """What may be given beside that."""
    takes_arguments: bool = False


def _complete(server: ServerConnection, given: JsonObject) -> Awaitable[list[str]]:
    prompt, template = given.get("prompt"), given.get("template")
    if (prompt is None) == (template is None):
        raise ToolError("name a prompt or a template, one of them. Nothing was asked.")
    ref = {"type": "ref/prompt", "name": str(prompt)} if template is None else {"type": "ref/resource", "uri": template}
    name, value = str(given["argument"]), str(given.get("value") or "")
    return server.complete(ref, name, value, _texts(given.get("arguments")))


_KINDS = (
    _Kind("list_resources", "List what can be read from the server {server!r}.", lambda server, _: server.resources()),
    _Kind(
        "read_resource",
        "Read a resource of the server {server!r} by its address.",
        lambda server, given: server.read_resource(str(given["uri"])),
        needs=("uri",),
    ),
    _Kind("list_prompts", "List the prompts of the server {server!r}.", lambda server, _: server.prompts()),
    _Kind(
        "get_prompt",
        "Get a prompt of the server {server!r}, filled in.",
        lambda server, given: server.get_prompt(str(given["name"]), _texts(given.get("arguments"))),
        needs=("name",),
        takes_arguments=True,
    ),
    _Kind(
        "complete_argument",
        "Values that the server {server!r} suggests for an argument of one of its prompts, or of the address of a "
        "resource template, that begins with value; arguments are those that are chosen already.",
        _complete,
        needs=("argument",),
        takes=("prompt", "template", "value"),
        takes_arguments=True,
    ),
)


class ResourceTool(Tool):
    """Lists or reads what a server has beside its tools."""

    # The connection bounds every request itself.
    timeout_seconds: float | None = None

    def __init__(self, server: ServerConnection, kind: _Kind, *, name: str) -> None:
        self._server, self._kind = server, kind
        self._spec = ToolSpec(
            name=name,
            description=kind.description.format(server=server.config.name),
            parameters=_parameters(kind),
            effect="read",
            is_untrusted=not server.config.is_trusted,
            source=f"mcp:{server.config.name}",
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:  # noqa: ARG002
        """Ask the server; what it refuses is an error that says so."""
        given = read_arguments(call.arguments, self._spec.parameters)
        for needed in self._kind.needs:
            if not isinstance(given.get(needed), str):
                raise ToolError(f"the argument {needed!r} is missing. Nothing was asked.")
        try:
            found = await self._kind.run(self._server, given)
        except MCPServerError as error:
            raise ToolError(str(error)) from None
        if isinstance(found, list):
            text = "\n".join(sanitize.content(_line(item)) for item in found)
            return ToolResult(call_id=call.id, content=text or "(there are none)")
        text, parts = read_content(found)
        return ToolResult(call_id=call.id, content=text, attachments=parts)


def resource_tools(server: ServerConnection, *, taken: frozenset[str]) -> tuple[ResourceTool, ...]:
    """The five tools of a server; a name that one of its own tools has stays that tool's."""
    named = [(kind, names.offered(server.config.tool_prefix, kind.name)) for kind in _KINDS]
    return tuple(ResourceTool(server, kind, name=name) for kind, name in named if name not in taken)


def _parameters(kind: _Kind) -> JsonObject:
    properties: dict[str, Any] = {name: {"type": "string"} for name in (*kind.needs, *kind.takes)}
    if kind.takes_arguments:
        properties["arguments"] = {"type": "object", "additionalProperties": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": list(kind.needs)}


def _line(item: object) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: str(item) for name, item in cast("JsonObject", value).items()}
