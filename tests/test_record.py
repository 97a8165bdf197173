"""What was sent is on record: with the facts before it, every request's body can be made again, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import Agent, Endings, HostedMCP, tool
from glm_agent.journal import Journal
from glm_agent.messages import Message, ModelRequest, ModelResponse, ToolCall, ToolResult, UserMessage
from glm_agent.models.catalog import lookup
from glm_agent.models.model import ModelEvent
from glm_agent.models.record import MOST_TOKENS, asked_again, body_hash, sent
from glm_agent.simulate import ScriptedModel
from glm_agent.turn import pending, rebuild, receive
from glm_agent.wire.dialects import DIALECTS
from glm_agent.wire.encode import encode_parts

pytestmark = pytest.mark.anyio


SAID = st.one_of(
    st.builds(UserMessage, text=st.text(min_size=1)),
    st.builds(ModelResponse, text=st.text(), finish_reason=st.just("stop"), reasoning=st.text()),
)
INSTRUCTIONS = st.sampled_from(["", "Be brief."])


@given(st.lists(SAID, min_size=1, max_size=6), st.lists(st.tuples(st.integers(1, 6), INSTRUCTIONS, SAID), max_size=6))
def test_the_hash_that_grows_with_a_conversation_is_that_of_the_body(
    said: list[Message], then: list[tuple[int, str, Message]]
) -> None:
    first, *rest = said
    for kept, instructions, new in [(len(said), "", first), *then]:
        # Longer, shorter and changed in the middle: the same first message every time.
        rest = [*rest[: kept - 1], new]
        request = ModelRequest(model="glm-5.3", instructions=instructions, messages=(first, *rest))
        parts = encode_parts(request)
        assert sent(request, parts, model="glm-5.3", dialect="zai").hash == body_hash(parts)


def test_hashes_of_a_long_conversation_read_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()

    class Counting:
        """SHA-256 that counts what it reads."""

        def __init__(self, data: bytes = b"") -> None:
            read.append(len(data))

        def update(self, data: bytes) -> None:
            read.append(len(data))

        def copy(self) -> Counting:
            return self

        def hexdigest(self) -> str:
            return ""

    monkeypatch.setattr(hashlib, "sha256", Counting)
    messages = tuple(UserMessage(text=f"{number}" + "x" * 1_000) for number in range(100))
    for count in range(1, 101):
        request = ModelRequest(model="glm-5.3", messages=messages[:count])
        sent(request, encode_parts(request), model="glm-5.3", dialect="zai")
    assert sum(read) < 2 * sum(len(message.text) for message in messages)


@tool(read_only=True)
def stock(sku: str) -> int:
    """Units in stock."""
    return len(sku)


class Listening:
    """A client that keeps the bodies it sends."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient()
        self.bodies: list[bytes] = []

    @property
    def is_closed(self) -> bool:
        return False

    def stream(self, method: str, url: httpx2.URL, *, content: bytes, headers: httpx2.Headers) -> Any:
        self.bodies.append(content)
        return self._client.stream(method, url, content=content, headers=headers)

    async def aclose(self) -> None:
        await self._client.aclose()


def without_request_id(body: bytes) -> bytes:
    """By hand: the field is the last one."""
    head, _, tail = body.rpartition(b',"request_id":')
    assert len(tail) == 35
    return head + b"}"


def responses(journal: Journal, session: str = "s") -> list[ModelResponse]:
    return [fact for fact in journal.facts(session) if isinstance(fact, ModelResponse)]


def remade(journal: Journal, session: str = "s") -> list[str]:
    """The hash of every request of a session, made from its facts alone."""
    facts, found = journal.facts(session), list[str]()
    turn = rebuild(facts[:1])
    for fact in facts[1:]:
        if isinstance(fact, ModelResponse) and fact.sent is not None:
            (asked,) = pending(turn)
            assert isinstance(asked, ModelRequest)
            request = asked_again(asked, fact.sent.edit)
            capabilities, dialect = lookup(fact.sent.model).capabilities, DIALECTS[fact.sent.dialect]
            parts = encode_parts(request, model=fact.sent.model, capabilities=capabilities, dialect=dialect)
            found.append(body_hash(parts))
        turn = receive(turn, fact)
    return found


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


async def test_a_stored_response_has_the_hash_of_the_body_that_was_sent(journal: Journal) -> None:
    client = Listening()
    agent = Agent("simulate:directive", tools=[stock], journal=journal, client=client, settings={"temperature": 1})
    await agent.run('call stock {"sku": "A-17"}', session="s")
    await agent.run("say thanks", session="s")
    await client.aclose()
    hashes = [hashlib.sha256(without_request_id(body)).hexdigest() for body in client.bodies]
    assert len(hashes) == 3
    assert [response.sent.hash for response in responses(journal) if response.sent] == hashes


async def test_without_a_stored_session_nothing_is_hashed() -> None:
    result = await Agent("simulate:directive").run("say hi")
    assert [message.sent for message in result.messages if isinstance(message, ModelResponse)] == [None]


async def test_the_facts_alone_make_every_body_again_also_where_settings_were_given_as_integers(
    journal: Journal,
) -> None:
    agent = Agent("simulate:directive", tools=[stock], journal=journal, settings={"temperature": 1, "top_p": 1})
    await agent.run('call stock {"sku": "A-17"}', session="s")
    assert remade(journal) == [response.sent.hash for response in responses(journal) if response.sent]


@pytest.mark.parametrize(
    "given_by",
    [
        {"lines": ["five", "5"], "output_type": int},
        {"lines": ["", "there"]},
        {"lines": [ModelResponse(text="a", finish_reason="length"), "b"], "endings": Endings(continues=True)},
        {"lines": ["no", ToolCall(id="1", name="stock", arguments='{"sku": "x"}'), "1"], "choice": "stock"},
        {"lines": ["fine"], "choice": "none"},
        {"lines": [ToolCall(id="1", name="stock", arguments='{"sku": "x"}'), "1"], "view": lambda seen: seen[-3:]},
        {"lines": ["x"], "view": lambda seen: (UserMessage(text="(earlier)"), *(replace(each) for each in seen))},
    ],
    ids=["output", "empty", "continued", "required", "none", "shorter view", "other view"],
)
async def test_requests_that_wrappers_changed_are_made_again_too(journal: Journal, given_by: dict[str, Any]) -> None:
    model = ScriptedModel(given_by["lines"])
    choice = {"settings": {"tool_choice": given_by["choice"]}} if "choice" in given_by else {}
    options = {name: given_by[name] for name in ("output_type", "endings") if name in given_by}
    agent = Agent(model, tools=[stock], journal=journal, context=given_by.get("view"), **choice, **options)
    await agent.run("how many?", session="s")
    kept = [response.sent.hash for response in responses(journal) if response.sent]
    assert len(kept) == len(responses(journal)) > 0
    assert remade(journal) == kept


async def test_what_a_policy_rewrites_at_length_is_not_kept_and_the_record_says_so(journal: Journal) -> None:
    long = UserMessage(text="x" * 5 * MOST_TOKENS)
    await Agent(ScriptedModel(["ok"]), journal=journal, context=lambda seen: (long, *seen)).run("hi", session="s")
    (response,) = responses(journal)
    assert response.sent is not None
    assert response.sent.edit is not None
    assert (response.sent.edit.is_whole, response.sent.edit.messages) == (False, None)


async def test_secrets_of_hosted_servers_are_in_no_hash(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = HostedMCP(label="shop", url="https://shop.example/mcp", headers={"Authorization": "Bearer ${SHOP_KEY}"})
    for session, secret in (("one", "first-secret"), ("two", "second-secret")):
        monkeypatch.setenv("SHOP_KEY", secret)
        await Agent("simulate:directive", tools=[hosted], journal=journal).run("say hi", session=session)
    (one,), (two,) = responses(journal, "one"), responses(journal, "two")
    assert one.sent == two.sent
    assert one.sent is not None
    assert remade(journal, "one") == [one.sent.hash]


class Wordless:
    """A model of somebody who knows nothing of records."""

    name = "wordless"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ModelResponse(text="hm")


async def test_a_model_that_says_nothing_of_its_request_has_no_hash(journal: Journal) -> None:
    await Agent(Wordless(), journal=journal).run("hi", session="s")
    assert [response.sent for response in responses(journal)] == [None]


# -- the edit


histories = st.lists(
    st.builds(UserMessage, text=st.text(max_size=5))
    | st.builds(ModelResponse, text=st.text(max_size=5))
    | st.builds(ToolResult, call_id=st.text(max_size=2)),
    max_size=8,
)


@given(histories, st.data())
def test_any_change_of_a_history_can_be_made_again(before: list[Message], data: st.DataObject) -> None:
    pieces = st.sampled_from(before) | histories.flatmap(lambda new: st.sampled_from(new or [UserMessage(text="new")]))
    after = data.draw(st.lists(pieces if before else histories.map(lambda _: UserMessage(text="n")), max_size=10))
    asked = ModelRequest(model="glm-5.3", messages=tuple(before))
    request = replace(asked, asked=asked, messages=tuple(after))
    record = sent(request, encode_parts(request), model="glm-5.3", dialect="zai")
    assert asked_again(asked, record.edit).messages == request.messages


async def test_a_request_that_nobody_changed_has_no_edit() -> None:
    asked = ModelRequest(model="glm-5.3", messages=(UserMessage(text="hi"),))
    copied = replace(asked, asked=asked, messages=(*asked.messages,))
    assert sent(copied, encode_parts(copied), model="glm-5.3", dialect="zai").edit is None
    async with aclosing(ScriptedModel(["hi"]).stream(replace(asked, asked=asked))) as events:
        (response,) = [event async for event in events if isinstance(event, ModelResponse)]
    assert response.sent is not None
    assert json.loads(encode_parts(asked).joined())["messages"] == [{"role": "user", "content": "hi"}]
