"""What a server offers, asked page by page: tools, resources, prompts, skills.

Every list is bounded: a server that never ends one must not hold the start. Imports the SDK.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp import Client, types
from pydantic import Field, TypeAdapter

from glm_agent.mcp.callbacks import Note
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.skills import Skill, content_bytes, read_skills, verified
from glm_agent.mcp.translation import translated
from glm_agent.messages import JsonObject

MAX_PAGES = 100
MAX_TOOLS = 2000
"""Bounds of a list."""

MAX_SUGGESTIONS = 100
"""What the protocol allows in one answer."""

_REFERENCE: TypeAdapter[types.PromptReference | types.ResourceTemplateReference] = TypeAdapter(
    types.PromptReference | types.ResourceTemplateReference
)


class _SkillsResult(types.Result):
    skills: list[Any] = Field(default_factory=list[Any])
    next_cursor: str | None = None


class _ListSkills(types.Request[types.PaginatedRequestParams | None, str]):
    method: str = "skills/list"
    params: types.PaginatedRequestParams | None = None


@dataclass(frozen=True, slots=True)
class ToolList:
    """The tools of a server at one moment."""

    tools: tuple[types.Tool, ...]
    ttl_seconds: float | None = None
    """For how long the server says that it holds; None where it says nothing."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What one session offers. Every method raises ``Lost``, ``SessionLost`` or ``Refused``."""

    client: Client
    is_over: Callable[[], bool]
    note: Note
    """Takes what had to be left out."""

    async def tools(self) -> ToolList:
        """Every tool, under the server's own names."""
        try:
            with translated(self.is_over):
                return await self._tools()
        except Refused as error:
            if type(error) is not Refused:
                raise
            raise Refused(f"it does not list its tools: {error}") from None

    async def resources(self) -> list[JsonObject]:
        """The resources and their templates, in the protocol's words."""
        if self.client.server_capabilities.resources is None:
            return []
        found = await self._pages(self.client.list_resources, "resources")
        try:
            templates = await self._pages(self.client.list_resource_templates, "resource_templates")
        except Refused:
            templates = []  # Templates are not part of the capability.
        return [*found, *templates]

    async def prompts(self) -> list[JsonObject]:
        """The prompts, in the protocol's words."""
        if self.client.server_capabilities.prompts is None:
            return []
        return await self._pages(self.client.list_prompts, "prompts")

    async def read_resource(self, uri: str) -> types.CallToolResult:
        """One resource, as the content of a result."""
        with translated(self.is_over):
            read = await self.client.read_resource(uri)
        blocks: list[Any] = [types.EmbeddedResource(type="resource", resource=part) for part in read.contents]
        return types.CallToolResult(content=blocks)

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> types.CallToolResult:
        """One prompt's messages, as the content of a result."""
        with translated(self.is_over):
            got = await self.client.get_prompt(name, arguments)
        return types.CallToolResult(content=[message.content for message in got.messages])

    async def complete(self, ref: JsonObject, name: str, value: str, given: dict[str, str]) -> list[str]:
        """What a server suggests for an argument of a prompt or of a resource template; ``given`` are the others."""
        if self.client.server_capabilities.completions is None:
            raise Refused("it suggests no values for arguments")
        known = _REFERENCE.validate_python(ref)
        with translated(self.is_over):
            found = await self.client.complete(known, {"name": name, "value": value}, given or None)
        return found.completion.values[:MAX_SUGGESTIONS]

    async def skills(self) -> tuple[Skill, ...]:
        """The skills, of which nothing is read yet."""
        found: list[Any] = []
        cursor: str | None = None
        with translated(self.is_over):
            for _ in range(MAX_PAGES):
                params = types.PaginatedRequestParams(cursor=cursor, _meta={})
                page = await self.client.session.send_request(_ListSkills(params=params), _SkillsResult)
                found += page.skills
                cursor = page.next_cursor
                if not cursor:
                    break
        return read_skills(found)

    async def skill_file(self, skill: Skill, uri: str) -> bytes:
        """One file of a skill, checked against its list: ``Refused`` where it differs."""
        with translated(self.is_over):
            read = await self.client.read_resource(uri)
        return verified(skill, uri, content_bytes(read.contents))

    async def _tools(self) -> ToolList:
        found: dict[str, types.Tool] = {}
        repeated: dict[str, None] = {}
        cursor: str | None = None
        seen = set[str]()
        ttl: list[int] = []
        for _ in range(MAX_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            ttl += [page.ttl_ms] if "ttl_ms" in page.model_fields_set else []
            for tool in page.tools:
                if tool.name in found:
                    repeated[tool.name] = None
                found.setdefault(tool.name, tool)
            cursor = page.next_cursor
            if len(found) > MAX_TOOLS:
                self.note(f"it offers more than {MAX_TOOLS} tools; the rest was left out")
                break
            if not cursor or cursor in seen:  # a server that gives the same cursor again would be read for ever
                break
            seen.add(cursor)
        else:
            self.note(f"its tool list has more than {MAX_PAGES} pages; the rest was left out")
        if repeated:
            names = ", ".join(repr(name[:100]) for name in [*repeated][:5])
            self.note(f"it offers several tools named {names}; the first one of a name is used")
        return ToolList(tuple(found.values())[:MAX_TOOLS], ttl_seconds=min(ttl) / 1000 if ttl else None)

    async def _pages(self, ask: Callable[..., Awaitable[Any]], key: str) -> list[JsonObject]:
        found: list[JsonObject] = []
        cursor: str | None = None
        with translated(self.is_over):
            for _ in range(MAX_PAGES):
                page = await ask(cursor=cursor)
                found += [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in getattr(page, key)]
                if not page.next_cursor or page.next_cursor == cursor or len(found) > MAX_TOOLS:
                    break
                cursor = page.next_cursor
        return found[:MAX_TOOLS]
