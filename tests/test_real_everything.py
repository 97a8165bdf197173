"""The protocol's reference server, all that it has: called by an agent over each of the three transports."""

import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.sources import read_servers
from glm_agent.messages import ImagePart, ToolCall, ToolProgress
from glm_agent.registry import ToolContext
from glm_agent.registry.asking import DISMISSED, Question

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from real import Call, agent, answers, everything, lines

SECONDS = 300
pytestmark = pytest.mark.anyio

TOUR: dict[str, tuple[Call, str]] = {
    "a text": (("echo", {"message": "Grüße 🙂"}), r"^Echo: Grüße 🙂$"),
    "a number": (("get-sum", {"a": 2, "b": 3}), r"is 5"),
    "content with annotations": (
        ("get-annotated-message", {"messageType": "error", "includeImage": True}),
        r"(?s)Error: .*\[image of type image/png",
    ),
    "a picture between two texts": (("get-tiny-image", {}), r"(?s)requested.*\[image.*logo"),
    "structured content": (("get-structured-content", {"location": "Chicago"}), r'^\{"temperature": ?\d+'),
    "links to resources": (("get-resource-links", {"count": 2}), r"(?s)\[link demo://.*\[link demo://"),
    "a resource of text": (
        ("get-resource-reference", {"resourceType": "Text", "resourceId": 1}),
        r"(?s)\[resource demo://resource/dynamic/text/1\]\nResource 1",
    ),
    "a resource of bytes": (
        ("gzip-file-as-resource", {"name": "a.gz", "data": "data:text/plain,hello", "outputType": "resource"}),
        r"\[resource demo://resource/session/a.gz of type application/gzip, \d+ bytes: cannot be shown\]",
    ),
    "a resource of bytes that are text": (
        ("get-resource-reference", {"resourceType": "Blob", "resourceId": 2}),
        r"(?s)\[resource demo://resource/dynamic/blob/2\]\nResource 2",
    ),
    "a link to what was just made": (
        ("gzip-file-as-resource", {"name": "b.gz", "data": "data:text/plain,hello"}),
        r"\[link demo://resource/session/b.gz \(application/gzip\)\]",
    ),
    "an operation with steps": (
        ("trigger-long-running-operation", {"duration": 0.1, "steps": 4}),
        r"completed. Duration: 0.1 seconds, Steps: 4",
    ),
    "a question to our model": (
        ("trigger-sampling-request", {"prompt": "\nsay Sampled.", "maxTokens": 50}),
        r'(?s)"role": "assistant".*Sampled\.',
    ),
    "its logging": (("toggle-simulated-logging", {}), r"Started simulated"),
    "its updates": (("toggle-subscriber-updates", {}), r"Started simulated"),
    "a list of resources": (("list_resources", {}), r"demo://resource/static/document/architecture.md"),
    "a resource by its address": (("read_resource", {"uri": "demo://resource/dynamic/text/7"}), r"Resource 7"),
    "a list of prompts": (("list_prompts", {}), r'"name": "args-prompt"'),
    "a prompt, filled in": (("get_prompt", {"name": "args-prompt", "arguments": {"city": "Rome"}}), r"weather in Rome"),
    "a prompt with a resource in it": (
        ("get_prompt", {"name": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "1"}}),
        r"(?s)Text resource with id: 1.*\[resource demo://",
    ),
}


@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_everything_is_called_and_understood(transport: str) -> None:
    async with agent(everything(transport, resources=True, sampling=True)) as client:
        with anyio.fail_after(SECONDS):
            found = await answers(client, *(call for call, _ in TOUR.values()))
    wrong = {
        what: result.content
        for (what, (_, pattern)), result in zip(TOUR.items(), found, strict=True)
        if result.is_error or not re.search(pattern, result.content)
    }
    assert wrong == {}
    pictures = dict(zip(TOUR, found, strict=True))["a picture between two texts"].attachments
    assert [type(part) for part in pictures] == [ImagePart]
    assert all(result.is_untrusted for result in found[:12])


@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_progress_arrives_and_a_call_that_is_given_up_leaves_the_server_usable(transport: str) -> None:
    long = ("trigger-long-running-operation", {"duration": 600, "steps": 1200})  # a step takes half a second
    seen: list[float] = []
    async with agent(everything(transport)) as client:
        with anyio.fail_after(SECONDS):
            async with client.stream(lines([long])) as events:
                async for event in events:
                    if isinstance(event, ToolProgress):
                        assert event.total == 1200
                        seen.append(event.done)
                        if event.done >= 3:
                            break
            (after,) = await answers(client, ("echo", {"message": "still here"}))
    assert seen == sorted(set(seen))
    assert 3 <= seen[-1] < 20, "each as it was made: a machine that halts may join some, never all"
    assert after.content == "Echo: still here"


async def test_a_call_over_its_time_is_an_error_and_the_next_one_works() -> None:
    long = ("trigger-long-running-operation", {"duration": 600, "steps": 1})
    async with agent(everything("stdio", timeout_seconds=3)) as client:
        with anyio.fail_after(SECONDS):
            late, after = await answers(client, long, ("get-sum", {"a": 1, "b": 1}))
    assert late.is_error
    assert "3 s" in late.content
    assert "is 2" in after.content


async def test_what_was_not_allowed_is_not_offered_and_keys_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "very-secret")
    async with agent(everything("stdio")) as client:
        with anyio.fail_after(SECONDS):
            asked, environment = await answers(client, ("trigger-sampling-request", {"prompt": "x"}), ("get-env", {}))
    assert asked.is_error
    assert "PATH" in environment.content
    assert "very-secret" not in environment.content


async def test_arguments_that_the_server_does_not_take_are_an_error_that_names_them() -> None:
    async with agent(everything("stdio")) as client:
        with anyio.fail_after(SECONDS):
            missing, misfit, unknown = await answers(
                client, ("echo", {}), ("get-sum", {"a": "x", "b": 1}), ("nothing-of-that-name", {})
            )
    assert missing.is_error
    assert "message" in missing.content
    assert misfit.is_error
    assert unknown.is_error
    assert "nothing-of-that-name" in unknown.content


class Person:
    """Fills in forms as told, and goes to addresses or not."""

    def __init__(self, *said: Any) -> None:
        self.said, self.asked = list(said), list[Question]()

    async def __call__(self, question: Question) -> Any:
        self.asked.append(question)
        return self.said.pop(0)


async def test_a_form_is_put_to_the_person_and_the_answer_reaches_the_server() -> None:
    ask = Person({"name": "Ada", "email": "ada@example.com", "integer": 7}, None, DISMISSED)
    form = ("trigger-elicitation-request", dict[str, Any]())
    async with agent(everything("stdio"), ask=ask) as client:
        with anyio.fail_after(SECONDS):
            accepted, declined, dismissed = await answers(client, form, form, form)
    assert "- Name: Ada" in accepted.content
    assert "- Favorite Integer: 7" in accepted.content
    assert "declined" in declined.content
    assert "cancelled" in dismissed.content
    assert ask.asked[0].server == "s"
    assert ask.asked[0].schema["required"] == ["name"]
    assert len(ask.asked[0].schema["properties"]) == 13


async def test_an_answer_that_does_not_fit_is_asked_for_again() -> None:
    ask = Person({"name": "Ada", "integer": 1000}, {"name": "Ada", "integer": 9})
    async with agent(everything("stdio"), ask=ask) as client:
        with anyio.fail_after(SECONDS):
            (result,) = await answers(client, ("trigger-elicitation-request", {}))
    assert "- Favorite Integer: 9" in result.content
    assert "integer" in ask.asked[1].problem


@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_a_person_is_sent_to_an_address_before_or_during_a_call(transport: str) -> None:
    ask = Person(True, True, True, None)
    tool, message = "trigger-url-elicitation", "Please agree."
    async with agent(everything(transport), ask=ask) as client:
        with anyio.fail_after(SECONDS):
            during, before, refused = await answers(
                client,
                (tool, {"url": "https://example.com/1", "message": message}),
                (tool, {"url": "https://example.com/2", "message": message, "errorPath": True}),
                (tool, {"url": "https://example.com/3", "message": message}),
            )
    assert [question.url for question in ask.asked] == [
        "https://example.com/1",
        "https://modelcontextprotocol.io",
        "https://example.com/2",
        "https://example.com/3",
    ]
    assert '"accept"' in during.content
    assert '"accept"' in before.content
    assert '"decline"' in refused.content


async def test_a_server_is_told_the_folders_that_it_may_work_in(tmp_path: Path) -> None:
    callbacks = Callbacks(roots=(tmp_path,))
    configs, _ = read_servers([{"mcpServers": {"s": everything("stdio")}}])
    async with MCPServers(configs, callbacks=callbacks) as servers:
        with anyio.fail_after(SECONDS):
            (tool,) = [tool for tool in await servers.tools() if tool.spec.name == "s__get-roots-list"]
            call = ToolCall(id="c", name=tool.spec.name, arguments="{}")
            result = await tool.run(call, ToolContext(call=call))
    assert tmp_path.as_uri() in result.content


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_call_that_runs_as_a_task_is_polled_and_its_question_answered(transport: str) -> None:
    ask = Person({"interpretation": "historical"})
    async with agent(everything(transport), ask=ask) as client:
        with anyio.fail_after(SECONDS):
            (report,) = await answers(client, ("simulate-research-query", {"topic": "glass", "ambiguous": True}))
    assert not report.is_error
    assert "glass (historical)" in report.content
    assert "multiple interpretations" in ask.asked[0].text
