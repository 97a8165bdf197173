"""What servers ask of us: a person, the model, folders; and skills, resources and prompts beside their tools."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError, types
from mcp.server import MCPServer

from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.elicitation import accept_defaults, address
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.sampling import Sampler
from glm_agent.mcp.server import ServerConnection, ToolTimeout
from glm_agent.mcp.servers import MCPServers
from glm_agent.mcp.skills import Skill, SkillFile, front_matter, read_skills, verified
from glm_agent.messages import ModelRequest, ModelResponse, ToolCall, Usage
from glm_agent.registry import ToolContext, ToolRegistry
from glm_agent.registry.asking import Question
from glm_agent.serve.offers import Offer
from glm_agent.serve.server import ToolServer

sys.path.insert(0, str(Path(__file__).parent / "conformance"))
from server import OFFERS, REGISTRY


def config(**settings: Any) -> ServerConfig:
    instance = ToolServer(REGISTRY, extra=OFFERS, tasks=["slow_compute"]).server
    return ServerConfig(name="s", transport="memory", instance=instance, **settings)


class Model:
    """Answers every question with one word, and remembers them."""

    def __init__(self, tokens: int = 10) -> None:
        self.asked: list[ModelRequest] = []
        self.tokens = tokens

    async def ask(self, request: ModelRequest) -> ModelResponse:
        self.asked.append(request)
        return ModelResponse(text="Paris", usage=Usage(input_tokens=self.tokens))


@asynccontextmanager
async def connected(callbacks: Callbacks, **settings: Any) -> AsyncIterator[ServerConnection]:
    server = ServerConnection(config(**settings), callbacks=callbacks)
    try:
        yield server
    finally:
        await server.aclose()


async def text(server: ServerConnection, name: str) -> str:
    return str((await server.call(name, {})).content[0].text)


@pytest.mark.anyio
async def test_a_person_is_asked_and_the_call_goes_on() -> None:
    seen: list[Question] = []

    async def elicit(question: Question) -> Any:
        seen.append(question)
        return {"name": "Ada"}

    async with connected(Callbacks(elicit=elicit)) as server:
        assert await text(server, "test_input_required_result_elicitation") == "Hello, Ada!"
    assert (seen[0].server, seen[0].text) == ("s", "What is your name?")


@pytest.mark.anyio
async def test_the_model_answers_a_server_that_is_allowed_to_ask() -> None:
    model = Model()
    callbacks = Callbacks(sampler=Sampler(model.ask, model="glm"))
    async with connected(callbacks, sampling_tokens=1000) as server:
        assert await text(server, "test_input_required_result_sampling") == "The model says: Paris"
    assert model.asked[0].settings.max_tokens == 100


@pytest.mark.anyio
async def test_a_server_that_is_not_allowed_is_offered_no_model() -> None:
    model = Model()
    async with connected(Callbacks(sampler=Sampler(model.ask, model="glm"))) as server:
        with pytest.raises(Refused):
            await server.call("test_input_required_result_sampling", {})
    assert model.asked == []


@pytest.mark.anyio
async def test_a_budget_that_is_spent_ends_the_questions() -> None:
    model = Model(tokens=80)
    sampler = Sampler(model.ask, model="glm")
    request = ModelRequest(model="")
    assert (await sampler.answer(request, server="s", max_tokens=500, budget_tokens=100)).text == "Paris"
    await sampler.answer(request, server="s", max_tokens=500, budget_tokens=100)
    assert [asked.settings.max_tokens for asked in model.asked] == [100, 20]
    with pytest.raises(Refused, match="budget of 100 tokens"):
        await sampler.answer(request, server="s", max_tokens=1, budget_tokens=100)
    await sampler.answer(request, server="other", max_tokens=1, budget_tokens=100)


@pytest.mark.anyio
async def test_folders_are_told_to_a_server(tmp_path: Path) -> None:
    async with connected(Callbacks(roots=(tmp_path,))) as server:
        assert await text(server, "test_input_required_result_list_roots") == tmp_path.as_uri()


@pytest.mark.anyio
async def test_a_conversation_with_tools_reaches_the_model_whole() -> None:
    model = Model()
    peer = Peer(replace(config(), sampling_tokens=100), Callbacks(sampler=Sampler(model.ask, model="glm")))
    params = types.CreateMessageRequestParams.model_validate(
        {
            "maxTokens": 5,
            "systemPrompt": "Be\u202e brief.",
            "tools": [{"name": "f", "inputSchema": {"type": "object"}}],
            "messages": [
                {"role": "user", "content": {"type": "text", "text": "Hi"}},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "toolUseId": "1", "content": [{"type": "text", "text": "done"}]}
                    ],
                },
            ],
        }
    )
    await peer.sample(None, params)
    (asked,) = model.asked
    assert asked.instructions == "Be brief."
    assert [message.kind for message in asked.messages] == ["user_message", "model_response", "tool_result"]
    assert [tool.name for tool in asked.tools] == ["f"]


@pytest.mark.anyio
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_person_who_has_been_where_a_server_wants_them_has_the_call_go_on(agrees: bool) -> None:
    been: list[str] = []

    async def elicit(question: Question) -> Any:
        been.append(question.url)
        return agrees

    async def run(request: Any) -> types.CallToolResult:
        if "https://login.example/x" not in been or not agrees:
            address = {"mode": "url", "message": "Log in", "url": "https://login.example/x", "elicitationId": "1"}
            raise MCPError(-32042, "a login is needed", {"elicitations": [address]})
        return types.CallToolResult(content=[types.TextContent(type="text", text="in")])

    offer = Offer(tool=types.Tool(name="enter", input_schema={"type": "object"}), run=run)
    settings = replace(config(), instance=ToolServer(ToolRegistry(), extra=[offer]).server)
    server = ServerConnection(settings, callbacks=Callbacks(elicit=elicit))
    if agrees:
        assert (await server.call("enter", {})).content[0].text == "in"
    else:
        with pytest.raises(Refused, match="a login is needed"):
            await server.call("enter", {})
    assert been == ["https://login.example/x"]
    await server.aclose()


@pytest.mark.anyio
async def test_an_address_that_is_no_web_page_is_declined_without_asking() -> None:
    async def elicit(question: Question) -> Any:
        raise AssertionError(question)

    peer = Peer(config(), Callbacks(elicit=elicit))
    for url in ("javascript:alert(1)", "file:///etc/passwd", "https://", "https://x\u202e.example/"):
        params = types.ElicitRequestURLParams(message="", url=url, elicitation_id="1")
        assert (await peer.elicit(None, params)).action == "decline"


@pytest.mark.anyio
async def test_defaults_are_taken_only_where_they_are_enough() -> None:
    schema: dict[str, Any] = {"properties": {"a": {"type": "integer", "default": 3}, "b": {"type": "string"}}}
    assert await accept_defaults(Question(server="s", text="", schema=schema)) == {"a": 3}
    schema["required"] = ["b"]
    assert await accept_defaults(Question(server="s", text="", schema=schema)) is None
    assert await accept_defaults(address("s", "", "https://x")) is None


# -- tasks


@pytest.mark.anyio
async def test_a_call_that_becomes_a_task_is_polled_to_its_end() -> None:
    async with connected(Callbacks()) as server:
        result = await server.call("slow_compute", {"seconds": 0})
        assert result.content[0].text == "computed for 0.0 s"
        failed = await server.call("failing_job", {})
        assert failed.is_error
        with pytest.raises(Refused, match="Internal error"):
            await server.call("protocol_error_job", {})


@pytest.mark.anyio
async def test_the_questions_of_a_task_are_answered() -> None:
    asked: list[str] = []

    async def elicit(question: Question) -> Any:
        asked.append(question.text)
        return {"name": "Ada"}

    async with connected(Callbacks(elicit=elicit)) as server:
        assert (await server.call("multi_input", {})).content[0].text == '["first", "second"]'
    assert sorted(asked) == ["First?", "Second?"]


@pytest.mark.anyio
async def test_a_task_that_nobody_waits_for_is_cancelled() -> None:
    offered = ToolServer(REGISTRY, tasks=["slow_compute"])
    settings = ServerConfig(name="s", transport="memory", instance=offered.server)
    server = ServerConnection(settings)
    with pytest.raises(ToolTimeout):
        await server.call("slow_compute", {"seconds": 600}, timeout_seconds=0.2)
    (task,) = offered.running.values()
    assert task.status == "cancelled"
    await server.aclose()


# -- skills

SKILL = b"---\nname: tidy\ndescription: Tidy up.\n---\nDo it.\n"


def skill(**changes: Any) -> Skill:
    import hashlib

    digest = f"sha256:{hashlib.sha256(SKILL).hexdigest()}"
    file = {"uri": "skill://tidy/SKILL.md", "size": len(SKILL), "digest": digest}
    entry = {"uri": file["uri"], "frontmatter": front_matter(SKILL), "resources": [file | changes.pop("file", {})]}
    (found,) = read_skills([entry | changes, {"no": "address"}, 7])
    return found


def test_a_skill_that_is_as_listed_is_loaded() -> None:
    assert verified(skill(), skill().uri, SKILL) == SKILL
    assert (skill().name, skill().description) == ("tidy", "Tidy up.")


@pytest.mark.parametrize(
    "changed",
    [skill(file={"size": 3}), skill(file={"digest": "sha256:00"}), skill(frontmatter={"name": "other"})],
    ids=["size", "digest", "frontmatter"],
)
def test_a_skill_that_is_not_as_listed_is_refused(changed: Skill) -> None:
    with pytest.raises(Refused):
        verified(changed, changed.uri, SKILL)


def test_a_file_that_was_not_listed_is_bounded() -> None:
    assert verified(Skill(uri="skill://x", files=(SkillFile(uri="skill://y"),)), "skill://y", b"ok") == b"ok"
    with pytest.raises(Refused, match="more than"):
        verified(Skill(uri="skill://x"), "skill://y", b"x" * (2 << 20))


# -- resources and prompts as tools


def documents() -> MCPServer:
    server = MCPServer("docs")

    @server.resource("docs://a", description="The first.")
    def first() -> str:
        return "words of a"

    @server.prompt()
    def greet(name: str) -> str:
        return f"Greet {name}."

    return server


async def asked(registry: ToolRegistry, name: str, arguments: str = "{}") -> Any:
    call = ToolCall(id="c", name=name, arguments=arguments)
    return await registry.call(call, ToolContext(call=call))


@pytest.mark.anyio
async def test_resources_and_prompts_are_tools_where_that_is_wanted() -> None:
    settings = ServerConfig(name="d", transport="memory", instance=documents(), offers_resources=True)
    async with MCPServers([settings]) as servers:
        registry = ToolRegistry(await servers.tools())
        assert "docs://a" in (await asked(registry, "d__list_resources")).content
        read = await asked(registry, "d__read_resource", '{"uri": "docs://a"}')
        assert "words of a" in read.content
        assert read.is_untrusted
        assert "greet" in (await asked(registry, "d__list_prompts")).content
        filled = await asked(registry, "d__get_prompt", '{"name": "greet", "arguments": {"name": "Ada"}}')
        assert filled.content == "Greet Ada."
        assert (await asked(registry, "d__read_resource", '{"uri": "docs://none"}')).is_error
        assert "'uri' is missing" in (await asked(registry, "d__read_resource")).content


@pytest.mark.anyio
async def test_a_server_suggests_values_for_arguments_where_it_can() -> None:
    server = documents()

    @server.completion()
    async def suggest(ref: Any, argument: Any, context: Any) -> Any:
        chosen = (context.arguments or {}) if context else {}
        found = [f"{ref.type} {argument.name} {argument.value} {chosen.get('a', '')}".strip()]
        return types.Completion(values=found)

    settings = ServerConfig(name="d", transport="memory", instance=server, offers_resources=True)
    async with MCPServers([settings]) as servers:
        registry = ToolRegistry(await servers.tools())
        given = '{"prompt": "greet", "argument": "name", "value": "A", "arguments": {"a": "b"}}'
        assert (await asked(registry, "d__complete_argument", given)).content == "ref/prompt name A b"
        given = '{"template": "docs://{x}", "argument": "x"}'
        assert (await asked(registry, "d__complete_argument", given)).content == "ref/resource x"
        wrong = await asked(registry, "d__complete_argument", '{"argument": "x"}')
        assert wrong.is_error
        assert "a prompt or a template" in wrong.content


@pytest.mark.anyio
async def test_a_server_that_suggests_nothing_is_said_so() -> None:
    settings = ServerConfig(name="d", transport="memory", instance=documents(), offers_resources=True)
    async with MCPServers([settings]) as servers:
        registry = ToolRegistry(await servers.tools())
        found = await asked(registry, "d__complete_argument", '{"prompt": "greet", "argument": "name"}')
        assert found.is_error
        assert "suggests no values" in found.content


@pytest.mark.anyio
async def test_they_are_not_offered_by_themselves() -> None:
    async with MCPServers([ServerConfig(name="d", transport="memory", instance=documents())]) as servers:
        assert await servers.tools() == ()
