"""Many tools behind a search: what is found, what is called, and what stands in the prompt."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import Agent, Policy, ToolContext, ToolRegistry
from glm_agent.mcp.deferred import CALL, SEARCH, DeferredTools, deferring, tokens
from glm_agent.mcp.search import ToolIndex
from glm_agent.messages import ToolCall, ToolResult, ToolSpec
from glm_agent.registry import Tool
from glm_agent.registry.permitted import PermittedTools

TOOLS = {
    "git__git_status": "Shows the working tree status",
    "git__git_log": "Shows the commit logs",
    "git__git_create_branch": "Creates a new branch from an optional base branch",
    "git__git_checkout": "Switches branches",
    "time__convert_time": "Convert time between timezones",
    "sheets__create_chart": "Insert a line, bar or pie chart into a worksheet",
    "sheets__mergeCells": "Combine a range into one cell",
    "sheets__sort_range": "Order the rows of a range by one or more columns",
    "files__move_file": "Move or rename files and directories",
    "files__directory_tree": "A recursive tree view of files and directories as JSON",
    "web__take_screenshot": "Capture the visible part of the page as an image",
    "web__press_key": "Press a key or a combination of keys on the keyboard",
    "memory__create_entities": "Create new entities in the knowledge graph",
    "papers__download_paper": "Download a paper by its identifier",
    "papers__citation_graph": "Papers that a paper cites and that cite it",
}
QUESTIONS = {
    "convert a time between time zones": "time__convert_time",
    "draw a bar chart": "sheets__create_chart",
    "merge cells": "sheets__mergeCells",
    "sorting rows": "sheets__sort_range",
    "rename a file": "files__move_file",
    "folder structure as a tree": "files__directory_tree",
    "press Enter on the keyboard": "web__press_key",
    "who cites this paper": "papers__citation_graph",
    "switch to another branch": "git__git_checkout",
    "git_create_branch": "git__git_create_branch",
}


class Fake(Tool):
    """Says its name and what it got."""

    def __init__(self, name: str, description: str) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        source = f"mcp:{name.split('__', maxsplit=1)[0]}" if "__" in name else "here"
        self._spec = ToolSpec(
            name=name, description=description, parameters=schema, source=source, is_untrusted="__" in name
        )

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        return ToolResult(call_id=call.id, content=f"{self.spec.name} {call.arguments}")


SERVED = [Fake(name, description) for name, description in TOOLS.items()]
SPECS = tuple(tool.spec for tool in SERVED)


def deferred(policy: Policy | None = None) -> DeferredTools:
    registry = ToolRegistry([Fake("own", "Ours."), *SERVED])
    return DeferredTools(PermittedTools(registry, policy or Policy()), deferred=SPECS)


async def run(tools: DeferredTools, name: str, arguments: Any) -> Any:
    call = ToolCall(id="c", name=name, arguments=json.dumps(arguments))
    context = ToolContext(call=call)
    return await tools.permit(call, context) or await tools.call(call, context)


@pytest.mark.parametrize(("question", "name"), QUESTIONS.items())
def test_the_tool_is_among_the_first_three(question: str, name: str) -> None:
    assert name in [spec.name for spec in ToolIndex(SPECS).search(question, limit=3)]


@given(st.text(max_size=200))
def test_no_query_breaks_the_index(query: str) -> None:
    assert len(ToolIndex(SPECS[:3]).search(query)) <= 3


@pytest.mark.anyio
async def test_only_our_own_tools_and_two_more_stand_in_the_prompt() -> None:
    assert [spec.name for spec in await deferred().specs()] == ["own", SEARCH, CALL]


@pytest.mark.anyio
async def test_what_is_found_can_be_called() -> None:
    tools = deferred()
    found = await run(tools, SEARCH, {"query": "convert time"})
    assert json.loads(found.content.splitlines()[0])["name"] == "time__convert_time"
    assert found.is_untrusted
    result = await run(tools, CALL, {"name": "time__convert_time", "arguments": {"n": 3}})
    assert (result.content, result.name) == ('time__convert_time {"n": 3}', CALL)
    assert (await run(tools, "time__convert_time", {"n": 3})).content == 'time__convert_time {"n": 3}'


@pytest.mark.anyio
async def test_arguments_written_as_text_are_taken() -> None:
    result = await run(deferred(), CALL, {"name": "own", "arguments": '{"n": 1}'})
    assert result.content == 'own {"n": 1}'


@pytest.mark.anyio
async def test_permissions_see_the_tool_that_runs() -> None:
    result = await run(deferred(Policy(deny=("git__*",))), CALL, {"name": "git__git_log"})
    assert result.is_error
    asked = await run(deferred(Policy(ask=("git__*",))), CALL, {"name": "git__git_log"})
    assert asked.name == "git__git_log"


@pytest.mark.anyio
@pytest.mark.parametrize("arguments", [{}, {"name": 3}, {"name": CALL}, {"name": SEARCH}, []])
async def test_a_call_that_names_no_tool_says_what_is_missing(arguments: Any) -> None:
    result = await run(deferred(), CALL, arguments)
    assert result.is_error
    assert "'name'" in result.content


@pytest.mark.anyio
async def test_nothing_is_deferred_within_the_share() -> None:
    registry = ToolRegistry(SERVED)
    cost = tokens(SPECS)
    assert await deferring(registry, context_tokens=cost * 10, share=0.1) is registry
    assert isinstance(await deferring(registry, context_tokens=cost * 10 - 10, share=0.1), DeferredTools)
    assert await deferring(registry, context_tokens=1, share=1) is registry
    assert isinstance(await deferring(registry, context_tokens=10**9, share=0), DeferredTools)
    own = ToolRegistry([Fake("own", "Ours.")])
    assert await deferring(own, context_tokens=1, share=0) is own


@pytest.mark.anyio
async def test_an_agent_finds_a_tool_and_calls_it() -> None:
    from mcp.server import MCPServer

    server = MCPServer("calc")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    agent = Agent("simulate:directive", mcp_servers=[server], tool_search=0)
    prompt = 'call call_tool {"name": "calc__add", "arguments": {"a": 20, "b": 3}}'
    result = await agent.run(prompt)
    assert any(isinstance(message, ToolResult) and message.content == "23" for message in result.messages)


@pytest.mark.anyio
async def test_what_is_found_is_appended_and_what_was_sent_stays_as_it_was() -> None:
    from mcp.server import MCPServer

    from glm_agent.simulate.server import SimulatorServer

    server = MCPServer("calc")
    for number in range(30):
        server.add_tool(lambda a, b: a + b, name=f"add_{number}", description=f"Add numbers the {number}th way")

    async with SimulatorServer("directive") as provider:
        client: Any = {"base_url": provider.base_url, "api_key": provider.api_key}
        agent = Agent("glm-5.3-flash", mcp_servers=[server], tool_search=0, **client)
        search, call = f'call {SEARCH} {{"query": "add the 7th way"}}', f'call {CALL} {{"name": "calc__add_7"}}'
        first = await agent.run(f"{search}\nthen {call}")
        await agent.run(f"{search}\nthen {search}", messages=first.messages)
        bodies = provider.requests
    assert len(bodies) == 6
    assert "calc__add_7" in json.dumps(bodies[1]["messages"])
    for before, after in pairwise(bodies):
        assert json.dumps(after["tools"]) == json.dumps(before["tools"])
        assert json.dumps(after["messages"][: len(before["messages"])]) == json.dumps(before["messages"])
