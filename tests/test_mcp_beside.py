"""What servers have and want beside tools: skills as tools, folders, and the trace a call belongs to."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from legacy_http import LegacyServer, legacy_server

from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.sources import read_servers
from glm_agent.messages import ToolCall
from glm_agent.registry import ToolContext, ToolRegistry

SKILL = "---\nname: tidy\ndescription: Tidy up.\n---\nDo it as in notes.md.\n"
FILES = {"skill://tidy/SKILL.md": SKILL, "skill://tidy/notes.md": "Slowly."}


@contextmanager
def skilled() -> Iterator[tuple[LegacyServer, dict[str, str]]]:
    """A server with one skill; the files that it gives, which a test may change after they were listed."""
    files = dict(FILES)
    listed = [
        {"uri": uri, "size": len(text), "digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}
        for uri, text in FILES.items()
    ]
    entry = {"uri": "skill://tidy/SKILL.md", "frontmatter": {"name": "tidy", "description": "Tidy up."}}
    with legacy_server() as server:
        server.answers["skills/list"] = lambda _: {"skills": [{**entry, "resources": listed}]}
        server.answers["resources/read"] = lambda params: {
            "contents": [{"uri": params["uri"], "text": files[params["uri"]]}]
        }
        yield server, files


async def asked(url: str, tool: str, /, **arguments: str) -> Any:
    config = ServerConfig(name="s", transport="http", url=url, offers_skills=True)
    async with MCPServers([config]) as servers:
        registry = ToolRegistry(await servers.tools())
        call = ToolCall(id="c", name=f"s__{tool}", arguments=json.dumps(arguments))
        return await registry.call(call, ToolContext(call=call))


@pytest.mark.anyio
async def test_skills_are_listed_and_loaded_by_the_model_where_that_is_wanted() -> None:
    with skilled() as (server, _):
        assert json.loads((await asked(server.url, "list_skills")).content) == {
            "name": "tidy",
            "description": "Tidy up.",
        }
        loaded = await asked(server.url, "load_skill", name="tidy")
        assert loaded.content == f"{SKILL}\n[Its other files: skill://tidy/notes.md]"
        assert loaded.is_untrusted
        assert (await asked(server.url, "load_skill", name="tidy", file="skill://tidy/notes.md")).content.startswith(
            "Slowly."
        )


@pytest.mark.anyio
async def test_a_skill_that_is_none_or_not_as_listed_is_not_loaded() -> None:
    with skilled() as (server, files):
        assert "There are 'tidy'." in (await asked(server.url, "load_skill", name="other")).content
        assert "has no file 'x'" in (await asked(server.url, "load_skill", name="tidy", file="x")).content
        files["skill://tidy/notes.md"] = "Fastly."
        changed = await asked(server.url, "load_skill", name="tidy")
        assert changed.is_error
        assert "its hash differs" in changed.content


@pytest.mark.anyio
async def test_only_what_the_configuration_asks_for_is_offered() -> None:
    with skilled() as (server, _):
        for asks, wanted in (({}, 0), ({"offers_skills": True}, 2), ({"offers_resources": True}, 5)):
            config = ServerConfig(name="s", transport="http", url=server.url, **asks)  # type: ignore[arg-type]
            async with MCPServers([config]) as servers:
                assert len(await servers.tools()) == 2 + wanted


def test_folders_that_a_server_may_work_in_are_those_of_its_entry(tmp_path: Path) -> None:
    (config,), _ = read_servers(
        [{"s": {"command": "x", "roots": [".", "deep/er", "/abs"], "skills": True}}], folder=tmp_path
    )
    assert config.roots == (str(tmp_path), str(tmp_path / "deep/er"), "/abs")
    assert config.offers_skills


@pytest.mark.anyio
async def test_a_call_carries_the_trace_that_is_active_and_no_other() -> None:
    seen: list[Any] = []

    def answer(params: Any) -> Any:
        seen.append(params.get("_meta", {}).get("traceparent"))
        return {"content": []}

    with legacy_server() as server:
        server.answers["tools/call"] = answer
        connection = ServerConnection(ServerConfig(name="s", transport="http", url=server.url))
        await connection.call("echo", {})
        with trace.use_span(NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))):
            await connection.call("echo", {})
        await connection.call("echo", {})
        await connection.aclose()
    assert seen == [None, f"00-{0xABC:032x}-{0xDEF:016x}-01", None]
