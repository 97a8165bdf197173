"""The endpoints beside chat, over real sockets against the simulated service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from glm_agent.errors import (
    AuthenticationError,
    ConfigurationError,
    ModelConnectionError,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
)
from glm_agent.messages import ModelRequest, ModelResponse, ToolSpec, UserMessage
from glm_agent.models.account import SignedKey
from glm_agent.models.endpoints import GLMClient
from glm_agent.models.endpoints import client as limits
from glm_agent.models.retry import RetryPolicy
from glm_agent.simulate import SimulatorServer

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture
async def client(anyio_backend: str) -> AsyncIterator[GLMClient]:
    with SimulatorServer("echo") as server:
        async with GLMClient(api_key="id.secret", base_url=server.base_url, retry=ONCE) as made:
            yield made


def asked(text: str, model: str = "glm-4.6") -> ModelRequest:
    return ModelRequest(model=model, messages=(UserMessage(text=text),))


async def test_a_search_gives_pages_with_their_addresses(client: GLMClient) -> None:
    found = await client.web_search("tea prices", count=3, domain="tea.example", recency="oneWeek")
    assert [hit.refer for hit in found.hits] == ["ref_1", "ref_2", "ref_3"]
    assert found.hits[0].link.startswith("https://tea.example/")
    assert found.intents[0]["intent"] == "SEARCH_ALWAYS"
    assert found.body["search_result"][0]["title"] == found.hits[0].title


async def test_a_page_is_read_as_markdown(client: GLMClient) -> None:
    page = await client.read_page("https://example.com/a")
    assert (page.url, page.content) == ("https://example.com/a", "# Content of https://example.com/a")


async def test_texts_become_vectors_in_their_order(client: GLMClient) -> None:
    made = await client.embed(["one", "two", "one"], dimensions=256)
    first, second, third = made.vectors
    assert first == third != second
    assert len(first) == 256
    assert made.usage.input_tokens > 0


async def test_documents_come_back_the_best_first(client: GLMClient) -> None:
    ranked = await client.rerank("green tea", ["black coffee", "green tea", "tea"], top=2, returns_documents=True)
    assert [(one.index, one.document) for one in ranked] == [(1, "green tea"), (2, "tea")]


async def test_tokens_are_counted_by_the_server_tools_included(client: GLMClient) -> None:
    plain = await client.count_tokens(asked("How many tokens are these?"))
    tool = ToolSpec(name="stock", description="Units in stock." * 20, parameters={"type": "object", "properties": {}})
    more = await client.count_tokens(
        ModelRequest(model="glm-4.6", messages=(UserMessage(text="How many tokens are these?"),), tools=(tool,))
    )
    assert 0 < plain.prompt_tokens < more.prompt_tokens == more.total_tokens


async def test_a_model_the_tokenizer_does_not_know_is_an_error_with_its_code(client: GLMClient) -> None:
    with pytest.raises(ModelStatusError) as caught:
        await client.count_tokens(asked("x", model="glm-5.3"))
    assert caught.value.code == "1211"


async def test_the_models_are_listed(client: GLMClient) -> None:
    assert {"glm-5.3", "glm-4.6"} <= set(await client.models())


async def test_an_answer_is_fetched_later(client: GLMClient) -> None:
    task = await client.start_chat(asked("Hello"))
    assert (task.status, task.response) == ("PROCESSING", None)
    assert (await client.chat_result(task.id)).status == "PROCESSING"
    done = await client.chat_result(task.id)
    assert done.status == "SUCCESS"
    assert done.response is not None
    assert "Hello" in done.response.text
    assert done.response.usage.input_tokens > 0
    assert done.response.extra == {}


async def test_files_are_stored_listed_read_and_deleted(client: GLMClient, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("content")
    stored = await client.upload_file(tmp_path / "a.txt", purpose="agent")
    assert (stored.filename, stored.bytes) == ("a.txt", 7)
    assert await client.files() == (stored,)
    assert await client.files(purpose="batch") == ()
    assert await client.file_content(stored.id) == b"content"
    await client.delete_file(stored.id)
    assert await client.files() == ()


async def test_a_batch_answers_every_request_under_its_name(client: GLMClient) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    seen: list[str] = []
    requests = {"a": asked("first"), "b": asked("second"), "bad": asked("third", model="glm-0")}
    answers = await client.run_batch(
        requests, poll_seconds=7, sleep=sleep, on_progress=lambda batch: seen.append(batch.status)
    )
    assert list(answers) == ["a", "b", "bad"]
    first, second, bad = answers.values()
    assert isinstance(first, ModelResponse)
    assert "first" in first.text
    assert isinstance(second, ModelResponse)
    assert "second" in second.text
    assert isinstance(bad, ModelStatusError)
    assert bad.code == "1211"
    assert set(waits) == {7}
    assert seen == ["validating", "in_progress", "completed"]


async def test_a_cancelled_batch_without_answers_is_an_error(client: GLMClient) -> None:
    stored = await client.upload_file(b"", name="b.jsonl", purpose="batch")
    batch = await client.create_batch(stored.id, metadata={"job": "1"})
    assert [one.id for one in await client.batches()] == [batch.id]
    assert (await client.cancel_batch(batch.id)).status == "cancelled"
    assert (await client.batch(batch.id)).is_over


@pytest.mark.parametrize(
    ("method", "arguments", "says"),
    [
        ("web_search", ("",), "'query' has 0 characters"),
        ("read_page", ("file:///etc/passwd",), "none of the web"),
        ("embed", ([],), "0 texts"),
        ("embed", (["x"] * 65,), "65 texts"),
        ("rerank", ("q", []), "0 documents"),
        ("rerank", ("q", ["x" * 4_097]), r"documents\[0\]"),
        ("chat_result", ("../files",), "no id"),
        ("file_content", ("a/b",), "no id"),
        ("file_content", ("..",), "no id"),
    ],
)
async def test_what_no_server_takes_is_refused_before_it_is_sent(
    client: GLMClient, method: str, arguments: tuple[object, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await getattr(client, method)(*arguments)


async def test_a_file_that_is_too_large_is_refused(client: GLMClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_LIMIT", 3)
    with pytest.raises(ConfigurationError, match="has 4 bytes"):
        await client.upload_file(b"1234", name="x", purpose="agent")


async def test_a_signed_key_is_accepted_and_not_sent(client: GLMClient) -> None:
    sent: list[str] = []

    async def see(request: httpx2.Request) -> None:
        sent.append(request.headers["authorization"])

    with SimulatorServer("echo") as server:
        async with (
            httpx2.AsyncClient(event_hooks={"request": [see]}, trust_env=False) as http,
            GLMClient(api_key=SignedKey("id.secret"), base_url=server.base_url, client=http, retry=ONCE) as made,
        ):
            await made.models()
    assert sent[0].startswith("Bearer ey")
    assert "secret" not in sent[0]


async def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    async with GLMClient(api_key="k.s", base_url="http://127.0.0.1:9/v4", retry=ONCE) as client:
        with pytest.raises(ModelConnectionError):
            await client.models()


@pytest.mark.parametrize(
    ("answers", "error", "sent"),
    [
        ([(503, "{}"), (200, '{"data": []}')], None, 2),
        ([(200, '{"error": {"code": "1302", "message": "slow"}}'), (200, '{"data": []}')], None, 2),
        ([(401, '{"error": {"code": "1000", "message": "id.secret"}}')], AuthenticationError, 1),
        ([(429, '{"error": {"code": "1113", "message": "x"}}')], ModelError, 1),
        ([(200, "<html>")], ModelProtocolError, 1),
    ],
)
async def test_failures_are_tried_again_where_that_helps(
    answers: list[tuple[int, str]], error: type[Exception] | None, sent: int
) -> None:
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        status, body = left.pop(0)
        return httpx2.Response(status, text=body)

    policy = RetryPolicy(base_seconds=0, throttled_base_seconds=0)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        client = GLMClient(api_key="id.secret", base_url="http://x/v4", client=http, retry=policy)
        if error is None:
            assert await client.models() == ()
        else:
            with pytest.raises(error) as caught:
                await client.models()
            assert "secret" not in str(caught.value)
    assert len(answers) - len(left) == sent


async def test_what_may_have_been_done_is_not_done_twice() -> None:
    left = [500, 200]

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(left.pop(0), json={"id": "batch_1"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        client = GLMClient(api_key="k.s", base_url="http://x/v4", client=http, retry=RetryPolicy(base_seconds=0))
        with pytest.raises(ModelStatusError):
            await client.create_batch("file-1")
    assert left == [200]


def test_a_host_without_these_endpoints_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'openrouter' has no such endpoints"):
        GLMClient(api_key="x", provider="openrouter")
