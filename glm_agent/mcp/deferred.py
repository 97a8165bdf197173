"""Many tools behind two: one finds them, one calls them. A ``Tools`` around another one.

What is deferred stands in no request until a search has found it, and then in that search's result: behind the part
of the prompt that the provider keeps in its cache. A call of a tool that was found, or is known by name, is the call
of that tool for everything below: permissions, budgets and the record see the tool that runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from typing import Any

from pydantic_core import to_json

from glm_agent.mcp.search import ToolIndex
from glm_agent.messages import ApprovalRequested, ToolCall, ToolResult, ToolSpec, TurnStopped
from glm_agent.registry import Outcome, ToolContext, Tools

SEARCH, CALL = "search_tools", "call_tool"
FOUND = 5
_CHARACTERS_PER_TOKEN = 4

_CALL = ToolSpec(
    name=CALL,
    description=f"Call a tool that {SEARCH} has found.",
    parameters={
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The tool's name, as it was found."},
            "arguments": {"type": "object", "description": "Its arguments, as its schema wants them."},
        },
        "required": ["name"],
    },
    source="glm_agent",
)


def tokens(specs: tuple[ToolSpec, ...]) -> int:
    """About how many tokens the definitions cost in every request."""
    sizes = (len(spec.name) + len(spec.description) + len(to_json(spec.parameters)) for spec in specs)
    return sum(sizes) // _CHARACTERS_PER_TOKEN


class DeferredTools:
    """Offers some tools as they are, and the MCP servers' behind a search."""

    def __init__(self, tools: Tools, *, deferred: tuple[ToolSpec, ...]) -> None:
        self._tools = tools
        self._deferred = {spec.name: spec for spec in deferred}

    @cached_property
    def _index(self) -> ToolIndex:
        # Made by the first search: most turns need none.
        return ToolIndex(self._deferred.values())

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What is not deferred, then the search and the call."""
        shown = tuple(spec for spec in await self._tools.specs() if spec.name not in self._deferred)
        servers = ", ".join(sorted({spec.source.removeprefix("mcp:") for spec in self._deferred.values()}))
        search = ToolSpec(
            name=SEARCH,
            description=f"Find tools by what they do; {len(self._deferred)} more are there, of: {servers[:1000]}. "
            f"Call what is found with {CALL}.",
            parameters={
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What the tool is to do, in a few words."}},
                "required": ["query"],
            },
            effect="read",
            source="glm_agent",
        )
        return (*shown, search, _CALL)

    async def permit(self, call: ToolCall, context: ToolContext) -> ToolResult | ApprovalRequested | TurnStopped | None:
        if call.name == SEARCH:
            return None
        meant = self._meant(call)
        return meant if isinstance(meant, ToolResult) else await self._tools.permit(meant, replace(context, call=meant))

    async def call(self, call: ToolCall, context: ToolContext) -> Outcome:
        if call.name == SEARCH:
            return self._search(call)
        meant = self._meant(call)
        if isinstance(meant, ToolResult):
            return meant
        outcome = await self._tools.call(meant, replace(context, call=meant))
        return replace(outcome, name=call.name) if isinstance(outcome, ToolResult) else outcome

    def _meant(self, call: ToolCall) -> ToolCall | ToolResult:
        """The call of the tool itself; a result where the arguments name none."""
        if call.name != CALL:
            return call
        given = _object(call.arguments)
        name = given.get("name")
        if not isinstance(name, str) or name in (SEARCH, CALL):
            return _error(call, f"give 'name', a tool that {SEARCH} has found, and 'arguments'. Nothing was run.")
        arguments = given.get("arguments", {})
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return replace(call, name=name, arguments=text)

    def _search(self, call: ToolCall) -> ToolResult:
        query = _object(call.arguments).get("query")
        if not isinstance(query, str) or not query.strip():
            return _error(call, "give 'query': what the tool is to do, in a few words.")
        found = self._index.search(query, limit=FOUND)
        if not found:
            return ToolResult(call_id=call.id, name=call.name, content="No tool was found. Try other words.")
        shown = [{"name": spec.name, "description": spec.description, "parameters": spec.parameters} for spec in found]
        # Descriptions are words of the servers.
        is_untrusted = any(spec.is_untrusted for spec in found)
        content = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in shown)
        return ToolResult(call_id=call.id, name=call.name, content=content, is_untrusted=is_untrusted)


async def deferring(tools: Tools, *, context_tokens: int, share: float) -> Tools:
    """The tools as they are, or, where their definitions take more than the share of the context, behind a search.

    Only tools of MCP servers are deferred. A share of 0 defers them always, one of 1 never.
    """
    specs = await tools.specs()
    served = tuple(spec for spec in specs if spec.source.startswith("mcp:"))
    if not served or share >= 1 or tokens(specs) <= share * context_tokens:
        return tools
    return DeferredTools(tools, deferred=served)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _error(call: ToolCall, said: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=said, is_error=True)
