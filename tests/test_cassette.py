"""The raw wire of a run on a cassette: what came comes once more, through the real decoder, and no secret is on it."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from anyio.abc import SocketStream

from glm_agent import Agent, HostedMCP, tool
from glm_agent.errors import ConfigurationError, ModelError
from glm_agent.journal import Journal
from glm_agent.messages import Event, ModelResponse, TurnResult
from glm_agent.models.glm import GLMModel
from glm_agent.models.glm.cassette import Cassette, CassetteWriter, Exchange, Failure, Piece
from glm_agent.models.glm.player import PlayingClient
from glm_agent.models.glm.recorder import RecordingClient

pytestmark = pytest.mark.anyio
both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
KEY = "0123456789abcdef.s3cr3tS3cr3t"


@tool(read_only=True)
def stock(sku: str) -> int:
    """Units in stock."""
    return len(sku)


async def recorded(path: Path, model: str, *prompts: str, **options: Any) -> list[TurnResult | ModelError]:
    """Run each prompt with everything on a cassette."""
    client = RecordingClient(CassetteWriter(path))
    try:
        async with Agent(model, tools=[stock], client=client, **options) as agent:
            return [await outcome(agent, prompt) for prompt in prompts]
    finally:
        await client.aclose()


def bare(result: TurnResult | ModelError) -> tuple[Any, ...]:
    """A result without the ids that are drawn anew: the session's, and that of each attempt."""
    assert isinstance(result, TurnResult)
    return replace(result, session="", messages=()), *map(bare_event, result.messages)


def bare_event(event: Any) -> Any:
    return replace(event, request_id="") if isinstance(event, ModelResponse) else event


async def outcome(agent: Agent, prompt: str, **options: Any) -> TurnResult | ModelError:
    try:
        return await agent.run(prompt, **options)
    except ModelError as error:
        return error


def events_of(seen: list[Event]) -> list[Any]:
    """What the model was seen to say; when a tool runs beside it, is chance."""
    return [bare_event(event) for event in seen if event.kind.endswith("_delta") or event.kind == "model_response"]


def scenario(tmp_path: Path, **values: Any) -> str:
    path = tmp_path / f"{values['name']}.yaml"
    path.write_text(json.dumps({"version": 1, **values}))
    return f"simulate:{path}"


# -- there and back


@both_loops
async def test_a_run_comes_back_event_by_event(tmp_path: Path) -> None:
    first, second = list[Event](), list[Event]()
    client = RecordingClient(CassetteWriter(tmp_path / "run.cassette"))
    agent = Agent("simulate:directive", tools=[stock], client=client, observers=[first.append])
    result = await agent.run('call stock {"sku": "A-17"}')
    await client.aclose()
    played = Agent(f"replay:{tmp_path / 'run.cassette'}", tools=[stock], observers=[second.append])
    assert bare(await played.run('call stock {"sku": "A-17"}')) == bare(result)
    assert events_of(second) == events_of(first)
    assert len(first) > 5


@pytest.mark.parametrize(
    "faults",
    [
        [{"status": 500}, {"status": 503}],
        ["disconnect"],
        [{"cut_after": 2}],
        [{"reset_after": 2}],
        [{"restart_after": 2}],
        [{"error_after": 1, "code": "1234"}],
        [{"encoding": "split"}],
        [{"encoding": "invalid"}],
        [{"encoding": "crlf"}],
        ["html", "empty"],
        [{"drip": 64}],
    ],
    ids=str,
)
async def test_retries_broken_streams_and_odd_bytes_come_back_as_they_came(tmp_path: Path, faults: Any) -> None:
    model = scenario(tmp_path, name="odd", steps=[{"think": "Hm 好", "say": "Bonjour ☕ 你好", "faults": faults}])
    first, second = list[Event](), list[Event]()
    (result,) = await recorded(tmp_path / "c", model, "hi", observers=[first.append])
    again = await Agent(f"replay:{tmp_path / 'c'}", tools=[stock], observers=[second.append]).run("hi")
    assert bare(again) == bare(result)

    def kinds(events: list[Event]) -> list[str]:
        return [event.kind for event in events]

    assert kinds(second) == kinds(first)


async def test_a_failure_comes_back_as_the_same_error(tmp_path: Path) -> None:
    for number, fault in enumerate([{"status": 401, "code": "1000"}, {"status": 400, "code": "1210"}]):
        path = tmp_path / str(number)
        model = scenario(tmp_path, name="no", steps=[{"say": "x", "faults": [{**fault, "times": "always"}]}])
        (raised,) = await recorded(path, model, "hi")
        again = await outcome(Agent(f"replay:{path}"), "hi")
        assert isinstance(raised, ModelError)
        assert (type(again), str(again)[:40]) == (type(raised), str(raised)[:40])


async def test_a_server_that_cannot_be_reached_is_on_record_too(tmp_path: Path) -> None:
    client = RecordingClient(CassetteWriter(tmp_path / "c"))
    model = GLMModel("glm-5.3", api_key=KEY, base_url="http://127.0.0.1:9/v4", client=client)
    raised = await outcome(Agent(model), "hi")
    await client.aclose()
    (exchange,) = Cassette.load(tmp_path / "c").exchanges
    assert (exchange.status, exchange.failure and exchange.failure.type) == (None, "ConnectError")
    played = PlayingClient(Cassette.load(tmp_path / "c"))
    again = await outcome(
        Agent(GLMModel("glm-5.3", api_key=KEY, base_url="http://127.0.0.1:9/v4", client=played)), "hi"
    )
    assert (type(again), str(again)[:60]) == (type(raised), str(raised)[:60])


async def test_a_run_that_was_left_comes_back_up_to_there(tmp_path: Path) -> None:
    model = scenario(tmp_path, name="slow", steps=[{"say": "one two three", "faults": [{"stall_after": 1}]}])
    client = RecordingClient(CassetteWriter(tmp_path / "c"))
    heard = anyio.Event()

    def listen(event: Event) -> None:
        if event.kind == "text_delta":
            heard.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Agent(model, client=client, observers=[listen]).run, "hi")
        with anyio.fail_after(60):
            await heard.wait()
        tasks.cancel_scope.cancel()
    await client.aclose()
    (left,) = Cassette.load(tmp_path / "c").exchanges
    assert left.failure is not None
    assert left.failure.type == "Left"
    assert left.pieces


async def test_models_that_answer_for_each_other_come_back_in_turn(tmp_path: Path) -> None:
    broken = scenario(tmp_path, name="broken", steps=[{"say": "x", "faults": [{"status": 500, "times": "always"}]}])
    fast = {"fallback": ["simulate:directive"]}
    client = RecordingClient(CassetteWriter(tmp_path / "c"))
    agent = Agent(broken, client=client, **fast)
    result = await agent.run("say hello")
    await client.aclose()
    assert len({each.url for each in Cassette.load(tmp_path / "c").exchanges}) == 2
    assert bare(await Agent(f"replay:{tmp_path / 'c'}").run("say hello")) == bare(result)


async def test_two_turns_and_a_session_come_back_and_replay_word_for_word(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        await recorded(tmp_path / "c", "simulate:directive", "say a", "say b", journal=journal, session="s")
        bodies = Cassette.load(tmp_path / "c").bodies
        hashes = [fact.sent.hash for fact in journal.facts("s") if isinstance(fact, ModelResponse) and fact.sent]
        assert [*bodies] == hashes
        assert (await journal.replay("s", bodies=bodies)).is_identical


async def test_another_request_gets_the_recorded_answer_and_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await recorded(tmp_path / "c", "simulate:directive", "say hello")
    result = await Agent(f"replay:{tmp_path / 'c'}").run("say something else")
    assert result.output == "hello"
    assert "the request is not the one of exchange 1" in caplog.text


async def test_a_run_that_is_longer_than_the_cassette_says_so(tmp_path: Path) -> None:
    await recorded(tmp_path / "c", "simulate:directive", "say hello")
    async with Agent(f"replay:{tmp_path / 'c'}") as agent:
        await agent.run("say hello")
        with pytest.raises(ConfigurationError, match="holds 1 exchanges, and one more request came"):
            await agent.run("say hello")


async def test_any_client_can_be_recorded(tmp_path: Path) -> None:
    async with httpx2.AsyncClient() as inner:
        client = RecordingClient(CassetteWriter(tmp_path / "c"), client=inner)
        await Agent("simulate:directive", client=client).run("say hi")
        await client.aclose()
        assert not inner.is_closed
    assert (await Agent(f"replay:{tmp_path / 'c'}").run("say hi")).output == "hi"


def test_a_cassette_is_no_model_to_record(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sends nothing"):
        Agent("replay:c", client=PlayingClient(Cassette(tmp_path / "c", [])))


# -- secrets


@asynccontextmanager
async def echoing(pieces: int) -> AsyncGenerator[str, None]:
    """A server that answers 400 with everything it was told, in so many writes."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += await stream.receive()
            body = json.dumps({"error": {"code": "1210", "message": heard.decode()}}).encode()
            head = b"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nSet-Cookie: id=" + KEY.encode()
            head += b"\r\nX-Echo: " + KEY.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            await stream.send(head)
            size = len(body) // pieces + 1
            for at in range(0, len(body), size):
                await stream.send(body[at : at + size])
                await anyio.lowlevel.checkpoint()  # another write, and mostly another read

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"http://user:{KEY}@127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/v4"
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("pieces", [1, 40])
async def test_a_key_is_nowhere_on_the_cassette_even_where_the_server_says_it_in_pieces(
    tmp_path: Path, pieces: int
) -> None:
    async with echoing(pieces) as url:
        client = RecordingClient(CassetteWriter(tmp_path / "c"))
        agent = Agent("glm-5.3", api_key=KEY, base_url=url, client=client)
        with pytest.raises(ModelError):
            await agent.run(f"my key is {KEY}")
        await client.aclose()
    (exchange,) = Cassette.load(tmp_path / "c").exchanges
    assert KEY not in (tmp_path / "c").read_text()
    assert KEY.encode() not in b"".join(piece.data for piece in exchange.pieces)
    assert exchange.headers["authorization"] == "(removed)"
    assert json.loads(exchange.body)["messages"][-1]["content"] == f"my key is {'*' * len(KEY)}"
    assert b"*" * len(KEY) in b"".join(piece.data for piece in exchange.pieces)
    assert "set-cookie" not in {name.lower() for name, _ in exchange.response_headers}


async def test_what_hosted_servers_are_told_is_not_on_the_cassette(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", 'a "quoted" secret')
    hosted = HostedMCP(label="shop", url="https://shop.example/mcp", headers={"Authorization": "Bearer ${SHOP_KEY}"})
    client = RecordingClient(CassetteWriter(tmp_path / "c"))
    await Agent("simulate:directive", tools=[hosted], client=client).run("say hi")
    await client.aclose()
    (exchange,) = Cassette.load(tmp_path / "c").exchanges
    assert "quoted" not in (tmp_path / "c").read_text()
    assert set(json.loads(exchange.body)["tools"][0]["mcp"]["headers"]["Authorization"]) == {"*"}


# -- the file


def some_exchange() -> Exchange:
    return Exchange(
        at=1.5,
        url="https://api.z.ai/api/paas/v4/chat/completions",
        body=b'{"model":"glm-5.3","messages":[],"request_id":"abc"}',
        headers={"accept": "*/*"},
        status=200,
        response_headers=(("content-type", "text/event-stream"), ("x", "1"), ("x", "2")),
        pieces=(Piece(at=0.25, data="☕".encode()[:1]), Piece(at=0.5, data="☕".encode()[1:] + b"\n")),
        failure=Failure(type="ReadTimeout", message="slow"),
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    exchanges = (some_exchange(), Exchange(at=2.0, url="https://x.example", body=b"\xff"))
    writer = CassetteWriter(tmp_path / "c")
    for each in exchanges:
        writer.add(each)
    writer.close()
    assert Cassette.load(tmp_path / "c").exchanges == exchanges
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o600
    assert exchanges[0].question == b'{"model":"glm-5.3","messages":[]}'


def test_a_cassette_is_written_anew_by_its_first_exchange_and_no_other_file_is(tmp_path: Path) -> None:
    for _ in range(2):
        writer = CassetteWriter(tmp_path / "c")
        writer.add(some_exchange())
        writer.close()
    CassetteWriter(tmp_path / "c").close()
    assert len((tmp_path / "c").read_text().splitlines()) == 2
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(ConfigurationError, match=r"'.*notes\.txt' is no cassette"):
        CassetteWriter(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "dear diary"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        CassetteWriter(tmp_path / "no" / "folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no cassette"),
        ("hello", "is no cassette"),
        ('{"format": "glm-agent-cassette", "version": 9}', "version 9"),
        ('{"format": "glm-agent-cassette", "version": 1}\n{"at": 1}', "line 2"),
        ('{"format": "glm-agent-cassette", "version": 1}\n[]', "line 2"),
        ('{"format": "glm-agent-cassette", "version": 1}', "holds no request"),
        (
            '{"format": "glm-agent-cassette", "version": 1}\n{"at": 1, "request": {"url": "x", "headers": {}, '
            '"text": "hm"}, "response": null, "failure": null}',
            "holds no request",
        ),
    ],
)
async def test_a_file_that_cannot_be_played_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        await Agent(f"replay:{tmp_path / 'c'}").run("hi")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await Agent(f"replay:{tmp_path / 'none'}").run("hi")


async def test_a_run_goes_on_where_its_cassette_cannot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").mkdir()
    client = RecordingClient(CassetteWriter(tmp_path / "folder" / "c"))
    (tmp_path / "folder").rmdir()
    assert (await Agent("simulate:directive", client=client).run("say hi")).output == "hi"
    await client.aclose()
    assert "is not complete" in caplog.text
