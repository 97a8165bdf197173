"""Servers that are out to hurt their client: what the model and a person get to see of each, and what it costs.

Every one is met by a real process, and asked twice: what it does may cost the call or the server, and nothing else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from glm_agent.errors import MCPServerError
from glm_agent.mcp.servers import MCPServers
from glm_agent.messages import Event, Notice, ToolCall, ToolResult
from glm_agent.registry import ToolContext, ToolRegistry

HOSTILE = str(Path(__file__).parent / "servers" / "hostile.py")
SECONDS = 120
CALL = '{"n": 2}'


class Met:
    """A server that has been started: its tools, and what was said about it."""

    def __init__(self, registry: ToolRegistry, events: list[Event]) -> None:
        self.registry, self._events = registry, events

    @property
    def names(self) -> list[str]:
        return [tool.spec.name for tool in self.registry]

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self._events if isinstance(event, Notice) and event.level == "warning"]

    async def call(self, arguments: str = CALL, name: str = "s__good") -> ToolResult:
        asked = ToolCall(id="c", name=name, arguments=arguments)
        return await self.registry.call(asked, ToolContext(call=asked))


@asynccontextmanager
async def met(way: str, **settings: object) -> AsyncGenerator[Met]:
    entry = {"name": "s", "command": sys.executable, "args": [HOSTILE, way], "timeout": SECONDS, **settings}
    events: list[Event] = []
    with anyio.fail_after(SECONDS):
        async with MCPServers.read([entry], on_event=events.append) as servers:
            yield Met(ToolRegistry(await servers.tools()), events)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "way",
    ["twice", "binary", "words", "brackets", "logs", "changes", "progress", "requests", "nonsense", "stderr", "itself"],
)
async def test_what_a_server_throws_at_its_client_costs_nothing_but_its_time(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with met(way) as server:
        for _ in range(2):
            assert (await server.call()).content == CALL
        assert len(server.warnings) <= 5
    assert capfd.readouterr().err == "", "the SDK's own loggers are quiet"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("way", "names", "said"),
    [
        ("deep", ["s__good", "s__bad"], []),
        ("bomb", ["s__good", "s__bad"], []),
        ("cycle", ["s__good"], ["it offers several tools named 'good'"]),
        ("huge", ["s__good"], ['the tool "bad" was left out: its definition has more than 256 KiB']),
        ("same", ["s__good"], ["it offers several tools named 'good'; the first one of a name is used"]),
        ("nameless", ["s__good"], ["a tool without a name was left out"] * 5 + ["45 more of its tools are like that"]),
        ("by_name", ["s__good"], ["its tool list is an object, and was read as a list"]),
        ("no_list", [], ["its answer to tools/list has no list of tools"]),
    ],
)
async def test_a_tool_that_cannot_be_used_costs_that_tool_and_a_sentence(
    way: str, names: list[str], said: list[str]
) -> None:
    async with met(way) as server:
        assert server.names == names
        assert len(server.warnings) == len(said)
        assert all(words in warning for words, warning in zip(said, server.warnings, strict=True))
        for name in names:
            assert (await server.call(name=name)).content == CALL


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("too_deep", "the call ran, but its answer cannot be read: it is nested too deeply."),
        ("too_many_digits", "the call ran, but its answer cannot be read: it has a number that is too long."),
        ("torn", "the call ran, but its answer cannot be read: Expecting ',' delimiter."),
        ("long_error", "the server refused the call: eee"),
        ("blocks", f"{CALL}\n" * 9_999 + f"{CALL}\n[20,000 more blocks were left out]"),
        ("contradicts", CALL),
    ],
)
async def test_an_answer_that_is_none_is_said_at_once(way: str, said: str) -> None:
    async with met(way) as server:
        for _ in range(2):
            content = (await server.call()).content
            assert content == said if said.endswith(("]", "}")) else content.startswith(said)
            assert len(content) < 600 or way == "blocks"


@pytest.mark.anyio
async def test_an_answer_to_a_call_that_was_given_up_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with met("late", timeout=1) as server:
        assert "no answer within 1 s" in (await server.call('{"n": 1}')).content
    async with met("late") as server:
        with anyio.move_on_after(0.5):
            await server.call('{"n": 1}')
        assert (await server.call()).content == CALL


@pytest.mark.anyio
async def test_a_server_that_leaves_between_its_greeting_and_its_tools_says_why() -> None:
    with pytest.raises(MCPServerError, match=r"ended before it was ready; it exited with code 5.*\n  license expired"):
        async with met("leaves"):
            raise AssertionError


@pytest.mark.anyio
async def test_a_server_that_does_not_list_its_tools_says_why() -> None:
    with pytest.raises(MCPServerError, match="it does not list its tools: the database is down"):
        async with met("refuses"):
            raise AssertionError


@pytest.mark.anyio
async def test_a_signal_of_ours_is_not_taken_for_the_end_of_a_server() -> None:
    async with met("shuts_up") as server:
        said = (await server.call()).content
    assert "the connection was lost." in said
    assert "signal" not in said
