"""Clients that we did not write, against the simulated service: zai-sdk and openai, streaming and not, with tools."""

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from glm_agent.simulate import SimulatorServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import zai
    from zai.core import APIAuthenticationError, APIRequestFailedError

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "stock",
            "description": "Units in stock.",
            "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
        },
    }
]
INVENTORY = {"A-17": 3, "B-3": 40}
SCENARIO = {
    "steps": [
        {
            "think": "Two articles: I ask for both at once.",
            "say": "Let me look.",
            "calls": [{"stock": {"sku": "A-17"}}, {"stock": {"sku": "B-3"}}],
        },
        {"say": "A-17: {{ all_results.stock[0] }}, B-3: {{ results.stock }}, total {{ all_results.stock | sum }}."},
    ]
}
Create = Callable[..., Any]


@pytest.fixture(params=["zai", "openai"])
def create(request: pytest.FixtureRequest) -> Iterator[Callable[[SimulatorServer], Create]]:
    """``chat.completions.create`` of an official client of the given server."""
    clients: list[Any] = []

    def connect(server: SimulatorServer, *, key: str = "id.secret") -> Create:
        kind = zai.ZaiClient if request.param == "zai" else openai.OpenAI
        clients.append(kind(api_key=key, base_url=server.base_url, max_retries=0))
        return clients[-1].chat.completions.create

    yield connect
    for client in clients:
        client.close()


def _called(calls: Any) -> list[dict[str, Any]]:
    """The results of calls, as tool messages."""
    return [
        {"role": "tool", "tool_call_id": call.id, "content": str(INVENTORY[json.loads(call.function.arguments)["sku"]])}
        for call in calls
    ]


def test_a_loop_without_streaming(create: Any) -> None:
    with SimulatorServer(SCENARIO) as server:
        ask = create(server)
        messages: list[Any] = [{"role": "user", "content": "How many A-17 and B-3?"}]
        first = ask(model="glm-5.3-flash", messages=messages, tools=TOOLS, tool_choice="auto")
        message = first.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        second = ask(model="glm-5.3-flash", messages=[*messages, *_called(message.tool_calls)], tools=TOOLS)
        server.assert_done()
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.reasoning_content == "Two articles: I ask for both at once."
    assert second.choices[0].message.content == "A-17: 3, B-3: 40, total 43."
    assert second.usage.prompt_tokens_details.cached_tokens == first.usage.prompt_tokens
    assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens


@pytest.mark.parametrize("tool_stream", [False, True])
def test_a_loop_with_streaming(create: Any, tool_stream: bool) -> None:
    with SimulatorServer(SCENARIO) as server:
        ask = create(server)
        messages: list[Any] = [{"role": "user", "content": "How many A-17 and B-3?"}]
        more = {"extra_body": {"tool_stream": tool_stream}}
        first = _gathered(ask(model="glm-5.3", messages=messages, tools=TOOLS, stream=True, **more))
        results = [
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "content": str(INVENTORY[json.loads(call["function"]["arguments"])["sku"]]),
            }
            for call in first["tool_calls"]
        ]
        second = _gathered(
            ask(model="glm-5.3", messages=[*messages, first, *results], tools=TOOLS, stream=True, **more)
        )
    assert first["reasoning_content"] == "Two articles: I ask for both at once."
    assert first["content"] == "Let me look."
    assert second["content"] == "A-17: 3, B-3: 40, total 43."


def _gathered(stream: Any) -> dict[str, Any]:
    """The message that a stream's deltas make, as a client's author would write it."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": []}
    finish = None
    for chunk in stream:
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        message["content"] += choice.delta.content or ""
        message["reasoning_content"] += getattr(choice.delta, "reasoning_content", None) or ""
        for call in choice.delta.tool_calls or ():
            if call.id:
                function = {"name": call.function.name, "arguments": ""}
                message["tool_calls"].append({"id": call.id, "type": "function", "function": function})
            message["tool_calls"][call.index]["function"]["arguments"] += call.function.arguments or ""
    assert finish == ("tool_calls" if message["tool_calls"] else "stop")
    return {key: value for key, value in message.items() if value or key == "content"}


def test_a_refusal_is_the_clients_own_error(create: Any) -> None:
    with SimulatorServer("echo") as server:
        ask = create(server)
        with pytest.raises((APIRequestFailedError, openai.BadRequestError)) as refused:
            ask(model="glm-4.9", messages=[{"role": "user", "content": "Hi"}])
        assert json.loads(refused.value.response.content)["error"]["code"] == "1211"
        with pytest.raises((APIAuthenticationError, openai.AuthenticationError)):
            create(server, key="a b")(model="glm-4.7", messages=[{"role": "user", "content": "Hi"}])


def test_zai_sdk_with_everything_it_can_send() -> None:
    with SimulatorServer("echo") as server, zai.ZaiClient(api_key="id.secret", base_url=server.base_url) as client:
        response = client.chat.completions.create(
            model="glm-5.2",
            messages=[{"role": "user", "content": "Hi"}],
            request_id="request-0001",
            user_id="user-01",
            temperature=0,
            top_p=1,
            max_tokens=100,
            seed=5,
            stop=["END"],
            tools=TOOLS,
            tool_choice="auto",
            thinking={"type": "enabled", "clear_thinking": False},
            response_format={"type": "json_object"},
            reasoning_effort="high",
        )
    assert response.request_id == "request-0001"
    assert response.choices[0].message.content == "Hi"


def test_zai_sdk_signs_a_token_where_it_is_told_to() -> None:
    with SimulatorServer("echo") as server:
        key = "id.a-secret-of-thirty-two-characters!"
        with zai.ZaiClient(api_key=key, base_url=server.base_url, disable_token_cache=False) as client:
            response = client.chat.completions.create(model="glm-4.7", messages=[{"role": "user", "content": "Hi"}])
    assert response.choices[0].message.content == "Hi"


def test_retries_of_a_client_meet_the_answer() -> None:
    with SimulatorServer({"steps": [{"say": "Hi", "fault": {"status": 429, "code": "1302"}}]}) as server:
        client = openai.OpenAI(api_key="id.secret", base_url=server.base_url, max_retries=1)
        with client:
            response = client.chat.completions.create(model="glm-4.7", messages=[{"role": "user", "content": "Hi"}])
    assert response.choices[0].message.content == "Hi"


@pytest.mark.anyio
async def test_the_asynchronous_openai_client_and_its_list_of_models() -> None:
    with SimulatorServer("directive") as server:
        async with openai.AsyncOpenAI(api_key="id.secret", base_url=server.base_url) as client:
            models = [model.id async for model in client.models.list()]
            stream = await client.chat.completions.create(
                model=models[0],
                messages=[{"role": "user", "content": "say Good morning."}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Good morning."
    assert chunks[-1].usage is not None
