"""Conversations x hosts: the body of every request as a snapshot, and a turn against every host's server.

``SNAPSHOTS=write python -m pytest tests/test_dialects.py`` writes the snapshots anew; read the difference.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from glm_agent import Agent, WebSearch, tool
from glm_agent.messages import (
    ImagePart,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from glm_agent.models.catalog import lookup
from glm_agent.simulate import SimulatorServer
from glm_agent.simulate.service import check
from glm_agent.wire.dialects import DIALECTS
from glm_agent.wire.encode import encode_request

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from hosts import ANSWERS, THOUGHT, HostServer

SNAPSHOTS = Path(__file__).parent / "snapshots" / "requests"

ADD = ToolSpec(
    name="add",
    description="The sum.",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
)
ASKED = UserMessage(text="What is 2 + 3?")


def called(*names: str, model: str = "glm-4.6", **more: Any) -> ModelResponse:
    calls = tuple(ToolCall(id=f"call_{at}", name=name, arguments='{"a": 2, "b": 3}') for at, name in enumerate(names))
    return ModelResponse(
        text="\n", reasoning=THOUGHT, tool_calls=calls, finish_reason="tool_calls", model=model, **more
    )


def asked(
    *messages: Any, model: str = "glm-4.6", tools: tuple[ToolSpec, ...] = (ADD,), **settings: Any
) -> ModelRequest:
    return ModelRequest(
        model=model,
        instructions="Be brief.",
        messages=(ASKED, *messages),
        tools=tools,
        settings=ModelSettings(**settings),
    )


RESULT = ToolResult(call_id="call_0", name="add", content="5")
PICTURE = ImagePart(url="https://x.example/a.png")
CONVERSATIONS: dict[str, ModelRequest] = {
    "plain": asked(tools=()),
    "a tool": asked(),
    "a call and its result": asked(called("add"), RESULT),
    "two calls at once": asked(called("add", "add"), RESULT, ToolResult(call_id="call_1", name="add", content="5")),
    "the next turn": asked(called("add"), RESULT, ModelResponse(text="5", model="glm-4.6"), UserMessage(text="And 4?")),
    "another model's thinking": asked(called("add", model="glm-5.3"), RESULT),
    "broken arguments in the history": asked(
        ModelResponse(tool_calls=(ToolCall(id="call_0", name="add", arguments='{"a": 2, "b'),)), RESULT
    ),
    "a picture": asked(UserMessage(text="", attachments=(PICTURE,)), model="glm-4.6v", tools=()),
    "a tool's picture": asked(
        called("add", model="glm-4.6v"), ToolResult(call_id="call_0", attachments=(PICTURE,)), model="glm-4.6v"
    ),
    "every setting": asked(
        temperature=0.5,
        top_p=0.5,
        do_sample=True,
        max_tokens=100,
        stop=("END",),
        response_format="json_object",
        tool_stream=True,
        user_id="user-1",
        watermark_enabled=True,
        sensitive_word_check=True,
    ),
    "no thinking": asked(thinking=False),
    "no thinking on 5.3": asked(model="glm-5.3", thinking=False),
    "medium effort on 5.3": asked(model="glm-5.3", reasoning_effort="medium"),
    "xhigh effort on 5.2": asked(model="glm-5.2", reasoning_effort="xhigh"),
    "thinking of earlier turns cleared": asked(clear_thinking=True),
    "an unknown model": asked(model="glm-9-ultra"),
    "a hosted search": asked(tools=(), hosted_tools=(WebSearch(count=3).entry,)),
}


def body(conversation: str, dialect: str) -> dict[str, Any]:
    request = CONVERSATIONS[conversation]
    capabilities = lookup(request.model).capabilities
    sent: dict[str, Any] = json.loads(encode_request(request, capabilities=capabilities, dialect=DIALECTS[dialect]))
    return sent


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_host_is_asked_in_its_own_words(dialect: str) -> None:
    bodies = {name: body(name, dialect) for name in CONVERSATIONS}
    path = SNAPSHOTS / f"{dialect}.json"
    if os.environ.get("SNAPSHOTS") == "write":
        path.write_text(json.dumps(bodies, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name, sent in bodies.items():
        assert sent == kept[name], name
    assert kept.keys() == bodies.keys()


@pytest.mark.parametrize("dialect", [name for name, one in DIALECTS.items() if one.is_native])
@pytest.mark.parametrize("conversation", [name for name in CONVERSATIONS if name != "an unknown model"])
def test_zhipus_own_servers_refuse_none_of_it(conversation: str, dialect: str) -> None:
    check(body(conversation, dialect), is_coding=dialect.startswith("coding"))


@pytest.mark.parametrize("dialect", [name for name, one in DIALECTS.items() if not one.is_native])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_no_other_host_sees_a_field_of_zhipus(conversation: str, dialect: str) -> None:
    zhipus = {"thinking", "do_sample", "request_id", "user_id", "watermark_enabled", "sensitive_word_check", "meta"}
    assert not body(conversation, dialect).keys() & (zhipus | {"tool_stream", "tool_choice"})


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("conversation", ["a call and its result", "two calls at once"])
def test_the_prompt_only_grows(conversation: str, dialect: str) -> None:
    whole, request = body(conversation, dialect), CONVERSATIONS[conversation]
    for length in range(1, len(request.messages)):
        shorter = ModelRequest(
            model=request.model,
            instructions=request.instructions,
            messages=request.messages[:length],
            tools=request.tools,
            settings=request.settings,
        )
        before = json.loads(
            encode_request(shorter, capabilities=lookup(request.model).capabilities, dialect=DIALECTS[dialect])
        )
        assert whole["messages"][: len(before["messages"])] == before["messages"]


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


@pytest.mark.anyio
@pytest.mark.parametrize("host", ANSWERS)
async def test_a_turn_runs_at_every_host(host: str) -> None:
    with HostServer(host) as server:
        agent = Agent(f"{host}:z-ai/glm-4.6", api_key="host-key", base_url=server.base_url, tools=[add])
        result = await agent.run("What is 2 + 3?")
    assert (result.output, result.stop_reason, result.steps) == ("It is 5.", "end_turn", 2)
    assert result.usage.input_tokens == 22
    first, second = (message for message in result.messages if isinstance(message, ModelResponse))
    assert first.reasoning == second.reasoning == THOUGHT
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 2, "b": 3})
    assert [len(sent["messages"]) for sent in server.bodies] == [1, 3]


@pytest.mark.anyio
@pytest.mark.parametrize(("provider", "prefix"), [("zai", "paas"), ("bigmodel", "paas"), ("coding", "coding/paas")])
async def test_a_turn_runs_at_zhipus_own_endpoints(provider: str, prefix: str) -> None:
    with SimulatorServer() as server:
        url = f"{server.address}/api/{prefix}/v4"
        agent = Agent(f"{provider}:glm-5.3", api_key="k.s", base_url=url, tools=[add])
        result = await agent.run('think Both are small.\ncall add {"a": 2, "b": 3}')
    assert (result.stop_reason, result.steps) == ("end_turn", 2)
    assert "5" in result.output
    replayed = server.requests[1]["messages"][1]
    assert replayed["reasoning_content"] == "Both are small."
