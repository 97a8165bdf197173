"""Tools that the provider runs: what is sent of their settings, what is refused, and where secrets stay."""

from __future__ import annotations

from typing import Any

import pytest

from glm_agent import Agent, HostedMCP, Retrieval, WebSearch, tool
from glm_agent.errors import ConfigurationError
from glm_agent.messages import TurnStarted
from glm_agent.simulate import ScriptedModel, SimulatorServer
from glm_agent.simulate.service import check


@tool
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


EVERY_OPTION = WebSearch(
    engine="search_pro_sogou",
    query="tea",
    always=True,
    count=20,
    domain="tea.example",
    recency="oneWeek",
    content_size="high",
    sequence="before",
    requires_results=True,
    prompt="From {search_result}:",
)


def test_every_option_of_the_search_is_sent_in_the_providers_words() -> None:
    assert EVERY_OPTION.entry == {
        "type": "web_search",
        "web_search": {
            "enable": True,
            "search_engine": "search_pro_sogou",
            "search_query": "tea",
            "search_intent": "false",
            "count": 20,
            "search_domain_filter": "tea.example",
            "search_recency_filter": "oneWeek",
            "content_size": "high",
            "result_sequence": "before",
            "search_result": True,
            "require_search": True,
            "search_prompt": "From {search_result}:",
        },
    }


def test_what_is_not_set_is_not_sent() -> None:
    assert WebSearch().entry["web_search"].keys() == {"enable", "search_engine", "search_result"}
    assert Retrieval(knowledge_id="k").entry == {"type": "retrieval", "retrieval": {"knowledge_id": "k"}}
    assert HostedMCP(label="s").entry["mcp"] == {"server_label": "s", "transport_type": "streamable-http"}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: WebSearch(count=51), "1 to 50"),
        (lambda: WebSearch(count=0), "1 to 50"),
        (lambda: WebSearch(engine="search_pro_sogou", count=15), "10, 20, 30, 40, 50"),
        (lambda: WebSearch(engine="search_pro_quark", domain="x.example"), "cannot be held to a domain"),
        (lambda: Retrieval(knowledge_id=""), "needs a knowledge_id"),
        (lambda: HostedMCP(label=""), "needs a label"),
    ],
)
def test_what_the_provider_refuses_is_refused_here(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize(
    "hosted",
    [WebSearch(), EVERY_OPTION, Retrieval(knowledge_id="k"), HostedMCP(label="s", url="https://x.example/mcp")],
)
def test_the_service_takes_each(hosted: WebSearch | Retrieval | HostedMCP) -> None:
    check({"model": "glm-4.6", "messages": [{"role": "user", "content": "Q"}], "tools": [hosted.entry]})


@pytest.mark.anyio
async def test_an_agent_takes_them_beside_its_own_tools() -> None:
    model = ScriptedModel(["ok"])
    await Agent(model, tools=[WebSearch(count=5), add]).run("Q")
    (request,) = model.requests
    assert [spec.name for spec in request.tools] == ["add"]
    assert request.settings.hosted_tools == (WebSearch(count=5).entry,)


@pytest.mark.anyio
async def test_a_secret_of_a_hosted_server_is_sent_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_TOKEN", "s3cr3t")
    server_of_theirs = HostedMCP(
        label="s", url="https://x.example/mcp", headers={"Authorization": "Bearer ${SERVER_TOKEN}"}
    )
    seen: list[Any] = []
    with SimulatorServer("echo") as server:
        agent = Agent("glm-4.6", api_key="k.s", base_url=server.base_url, tools=[server_of_theirs])
        await agent.run("Q", observers=[seen.append])
        assert server.requests[0]["tools"][0]["mcp"]["headers"] == {"Authorization": "Bearer s3cr3t"}
    started = next(event for event in seen if isinstance(event, TurnStarted))
    assert "s3cr3t" not in repr(started)
    assert "${SERVER_TOKEN}" in repr(started)
