"""What a server has beside its tools as tools, where its configuration asks for it: resources, prompts, skills."""

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
    """One of the tools."""

    name: str
    description: str
    run: Callable[[ServerConnection, JsonObject], Awaitable[CallToolResult | list[JsonObject] | list[str]]]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    """What may be given beside that."""
    takes_arguments: bool = False
    needs_skills: bool = False
    """Whether it is offered with the skills, else with resources and prompts."""


async def _skills(server: ServerConnection, _: JsonObject) -> list[JsonObject]:
    return [{"name": skill.name, "description": skill.description} for skill in await server.skills()]


async def _load_skill(server: ServerConnection, given: JsonObject) -> list[str]:
    """The text of a skill, or of one of its files; all of them are checked against the list first."""
    skills = await server.skills()
    skill = next((skill for skill in skills if skill.name == given["name"]), None)
    if skill is None:
        known = ", ".join(repr(skill.name) for skill in skills) or "none"
        raise ToolError(f"there is no skill {given['name']!r}. There are {known}.")
    files = await server.load_skill(skill)
    wanted = str(given.get("file") or skill.uri)
    if wanted not in files:
        raise ToolError(f"the skill has no file {wanted!r}. It has {', '.join(map(repr, files))}.")
    others = [uri for uri in files if uri != wanted]
    more = [f"[Its other files: {', '.join(others)}]"] if others else []
    return [files[wanted].decode("utf-8", "replace"), *more]


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
    _Kind("list_skills", "List the skills of the server {server!r}.", _skills, needs_skills=True),
    _Kind(
        "load_skill",
        "Load the instructions of a skill of the server {server!r}, or another file of it.",
        _load_skill,
        needs=("name",),
        takes=("file",),
        needs_skills=True,
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
    """What the configuration asks for; a name that one of the server's own tools has stays that tool's."""
    config = server.config
    wanted = [kind for kind in _KINDS if (config.offers_skills if kind.needs_skills else config.offers_resources)]
    named = [(kind, names.offered(config.tool_prefix, kind.name)) for kind in wanted]
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
