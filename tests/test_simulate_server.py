"""The simulated service over real sockets: its bytes, its figures, its faults, its life."""

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from glm_agent.errors import ConfigurationError
from glm_agent.simulate import SimulatorServer
from glm_agent.simulate.embedded import embedded, stop_all

Body = dict[str, Any]
Post = Callable[..., httpx2.Response]

HELLO: Body = {"model": "glm-4.7", "messages": [{"role": "user", "content": "Hello"}]}
TOOLS: list[Body] = [
    {
        "type": "function",
        "function": {"name": name, "description": "", "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("add", "list")
]
ADD = {"steps": [{"think": "Two numbers.", "calls": [{"add": {"a": 2, "b": 3}}, "list"]}, {"say": "{{ results.add }}"}]}


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers={"authorization": "Bearer id.secret"}, timeout=60) as client:
        yield client


@pytest.fixture
def post(client: httpx2.Client) -> Post:
    def send(server: SimulatorServer, body: Body, **fields: Any) -> httpx2.Response:
        return client.post(f"{server.base_url}/chat/completions", json={**body, **fields})

    return send


def chunks(response: httpx2.Response) -> list[Body]:
    assert response.headers["content-type"] == "text/event-stream;charset=UTF-8"
    *frames, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def deltas(response: httpx2.Response) -> list[Body]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(response)]


# -- the native wire --------------------------------------------------------------------------------------


def test_a_body_has_the_native_form(post: Post) -> None:
    with SimulatorServer(ADD) as server:
        body = post(server, HELLO, tools=TOOLS).json()
    assert re.fullmatch(r"\d{14}[0-9a-f]{16}", body["id"])
    assert body["request_id"] == body["id"]
    assert (body["object"], body["model"]) == ("chat.completion", "glm-4.7")
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["role"], message["content"], message["reasoning_content"]) == ("assistant", "", "Two numbers.")
    first, second = message["tool_calls"]
    assert re.fullmatch(r"call_-\d{19}", first["id"])
    assert int(second["id"][6:]) - int(first["id"][6:]) == 1
    assert [first["index"], second["index"]] == [0, 1]
    assert first["function"] == {"name": "add", "arguments": '{"a": 2, "b": 3}'}
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3


def test_a_stream_has_the_native_form(post: Post) -> None:
    with SimulatorServer(ADD) as server:
        response = post(server, HELLO, tools=TOOLS, stream=True)
    *before, last = chunks(response)
    assert len({(chunk["id"], chunk["created"]) for chunk in (*before, last)}) == 1
    assert all("finish_reason" not in chunk["choices"][0] and "usage" not in chunk for chunk in before)
    assert last["choices"] == [
        {"index": 0, "finish_reason": "tool_calls", "delta": {"role": "assistant", "content": ""}}
    ]
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    told = [chunk["choices"][0]["delta"] for chunk in before]
    assert told[:2] == [
        {"role": "assistant", "reasoning_content": "Two"},
        {"role": "assistant", "reasoning_content": " numbers."},
    ]
    first, second = told[2:]
    assert first.keys() == {"tool_calls"}, "a call's delta has no role"
    (call,) = first["tool_calls"]
    assert re.fullmatch(r"call_[0-9a-f]{24}", call["id"])
    assert (call["index"], call["function"]["arguments"]) == (0, '{"a": 2, "b": 3}')
    assert second["tool_calls"][0]["index"] == 1


def test_tool_stream_sends_arguments_in_fragments(post: Post) -> None:
    with SimulatorServer(ADD) as server:
        told = deltas(post(server, HELLO, tools=TOOLS, stream=True, tool_stream=True))
    calls = [delta["tool_calls"][0] for delta in told if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": "add", "arguments": ""}
    assert "id" not in calls[1]
    arguments = "".join(call["function"]["arguments"] for call in calls if call["index"] == 0)
    assert arguments == '{"a": 2, "b": 3}'


def test_stream_and_body_say_the_same(post: Post) -> None:
    text = "Größe: 3 µm, 数量 4,\n\n  two  spaces, \ud83d and a long " + "word" * 20
    with SimulatorServer(
        {"steps": [{"say": "{% raw %}" + text + "{% endraw %}", "think": "我想一想。 " * 3}]}
    ) as server:
        told = deltas(post(server, HELLO, stream=True))
        message = post(server, HELLO).json()["choices"][0]["message"]
    assert "".join(delta.get("content", "") for delta in told) == message["content"] == text
    assert "".join(delta.get("reasoning_content", "") for delta in told) == message["reasoning_content"]


@pytest.mark.parametrize("finish", ["stop", "length", "sensitive", "network_error", "model_context_window_exceeded"])
@pytest.mark.parametrize("stream", [True, False])
def test_every_finish_reason_can_be_had(post: Post, finish: str, stream: bool) -> None:
    with SimulatorServer({"steps": [{"say": "Half", "finish": finish}]}) as server:
        response = post(server, HELLO, stream=stream)
    last = chunks(response)[-1] if stream else response.json()
    assert last["choices"][0]["finish_reason"] == finish
    assert ("usage" in last) == (finish not in ("network_error", "model_context_window_exceeded"))


QUIRKS: dict[str, tuple[Body, Callable[[list[Body]], bool]]] = {
    "call_index": (
        {"call_index": -1},
        lambda told: (
            [chunk["choices"][0].get("finish_reason") for chunk in told[-3:]] == ["tool_calls"] * 3
            and told[-2]["choices"][0]["delta"]["tool_calls"][0]["index"] == -1
        ),
    ),
    "object_arguments": (
        {"object_arguments": True},
        lambda told: told[-3]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == {"a": 2, "b": 3},
    ),
    "usage_chunk": ({"usage_chunk": True}, lambda told: told[-1]["choices"] == [] and "usage" not in told[-2]),
    "no_object": ({"no_object": True}, lambda told: all("object" not in chunk for chunk in told)),
    "null_content": ({"null_content": True}, lambda told: told[-1]["choices"][0]["delta"]["content"] is None),
    "same_call_ids": (
        {"same_call_ids": True},
        lambda told: told[-3]["choices"][0]["delta"]["tool_calls"][0]["id"] == "call_0",
    ),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_quirks_change_the_spelling(post: Post, name: str) -> None:
    quirks, holds = QUIRKS[name]
    with SimulatorServer({**ADD, "quirks": quirks}) as server:
        assert holds(chunks(post(server, HELLO, tools=TOOLS, stream=True)))


# -- what the request decides -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_scenario_may_fix_a_calls_id(post: Post, stream: bool) -> None:
    with SimulatorServer({"steps": [{"calls": [{"name": "add", "id": "mine"}, "list"]}]}) as server:
        response = post(server, HELLO, stream=stream)
    if stream:
        calls = [delta["tool_calls"][0] for delta in deltas(response) if "tool_calls" in delta]
    else:
        calls = response.json()["choices"][0]["message"]["tool_calls"]
    assert calls[0]["id"] == "mine"
    assert calls[1]["id"].startswith("call_")


def test_max_tokens_cuts_thinking_first(post: Post) -> None:
    scenario = {"steps": [{"think": "word " * 50, "say": "answer " * 50}]}
    with SimulatorServer(scenario) as server:
        short = post(server, HELLO, max_tokens=10).json()
        longer = post(server, HELLO, max_tokens=80).json()
    assert short["choices"][0]["finish_reason"] == longer["choices"][0]["finish_reason"] == "length"
    assert short["choices"][0]["message"]["content"] == ""
    assert short["usage"]["completion_tokens"] == 10
    assert longer["choices"][0]["message"]["content"].startswith("answer ")
    assert longer["usage"]["completion_tokens"] <= 80


def test_max_tokens_may_cut_the_arguments_of_a_call(post: Post) -> None:
    with SimulatorServer({"steps": [{"calls": [{"write": {"text": "x" * 400}}]}]}) as server:
        choice = post(server, HELLO, max_tokens=40, stream=False).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


def test_thinking_that_is_off_is_not_heard(post: Post) -> None:
    with SimulatorServer({"steps": [{"think": "Hm.", "say": "Yes"}]}) as server:
        off = post(server, HELLO, thinking={"type": "disabled"}).json()
        none = post(server, HELLO, model="glm-5.2", reasoning_effort="none").json()
    for body in (off, none):
        assert "reasoning_content" not in body["choices"][0]["message"]
        assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_a_stop_word_ends_the_text(post: Post) -> None:
    with SimulatorServer({"steps": [{"say": "one two three"}]}) as server:
        assert post(server, HELLO, stop=[" three"]).json()["choices"][0]["message"]["content"] == "one two"


def test_a_prompt_over_the_window_is_refused(post: Post) -> None:
    with SimulatorServer({"steps": [{"say": "Hi"}], "context_window": 50}) as server:
        assert post(server, HELLO).status_code == 200
        refused = post(server, {**HELLO, "messages": [{"role": "user", "content": "word " * 100}]})
        too_much = post(server, HELLO, max_tokens=49)
    assert [refused.status_code, refused.json()["error"]["code"]] == [400, "1261"]
    assert too_much.json()["error"]["code"] == "1261"


def test_an_answer_over_the_window_says_so(post: Post) -> None:
    with SimulatorServer({"steps": [{"say": "word " * 100}], "context_window": 50}) as server:
        body = post(server, HELLO).json()
    assert body["choices"][0]["finish_reason"] == "model_context_window_exceeded"
    assert "usage" not in body


def test_cached_tokens_are_those_of_the_longest_known_prefix(post: Post) -> None:
    messages = [{"role": "system", "content": "Be brief. " * 20}, {"role": "user", "content": "Hello"}]
    longer = [*messages, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}]
    other = [{"role": "system", "content": "Be long."}, *longer[1:]]

    def cached(server: SimulatorServer, messages: list[Body], **fields: Any) -> tuple[int, int]:
        usage = post(server, {"model": "glm-4.7", "messages": messages}, **fields).json()["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]

    with SimulatorServer("echo") as server:
        assert cached(server, messages)[0] == 0
        known, all_of_it = cached(server, messages)
        assert known == all_of_it - 1, "the last token is always read anew"
        assert cached(server, longer)[0] == all_of_it
        assert cached(server, other)[0] == 0
        assert cached(server, longer, tools=TOOLS)[0] == 0, "tools stand before the messages"
        assert cached(server, longer, model="glm-4.6")[0] == 0


def test_dropped_thinking_costs_the_cached_prefix(post: Post) -> None:
    thought = {"role": "assistant", "content": "Hi", "reasoning_content": "Greeting. " * 10}
    first, then = {"role": "user", "content": "Hello"}, {"role": "user", "content": "And now?"}
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    calling = {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": "Add. " * 10}
    within = [first, calling, {"role": "tool", "tool_call_id": "c", "content": "5"}]

    def prompt(server: SimulatorServer, messages: list[Body], clear: bool) -> int:
        thinking = {"type": "enabled", "clear_thinking": clear}
        body = post(server, {"model": "glm-4.7", "messages": messages}, thinking=thinking).json()
        return int(body["usage"]["prompt_tokens"])

    with SimulatorServer("echo") as server:
        assert prompt(server, [first, thought, then], False) > prompt(server, [first, thought, then], True)
        assert prompt(server, within, False) == prompt(server, within, True), "the current turn keeps its thinking"


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_provider_ran_itself_comes_as_it_is(post: Post, stream: bool) -> None:
    entry = {"id": "m", "type": "mcp", "mcp": {"type": "mcp_call", "name": "search", "output": {"n": "{{ 1 + 1 }}"}}}
    source = {"title": "A", "link": "https://a.b", "refer": "ref_1"}
    with SimulatorServer(
        {"steps": [{"say": "[ref_1]", "hosted": [entry], "extra": {"web_search": [source]}}]}
    ) as server:
        response = post(server, HELLO, stream=stream)
    told = chunks(response) if stream else [response.json()]
    choice = told[-2 if stream else -1]["choices"][0]
    assert choice["delta" if stream else "message"]["tool_calls"] == [
        {**entry, "mcp": {**entry["mcp"], "output": {"n": 2}}}
    ]
    assert told[-1]["web_search"] == [source]
    assert told[-1]["choices"][0]["finish_reason"] == "stop"


def test_usage_of_the_scenario_replaces_the_counted(post: Post) -> None:
    with SimulatorServer({"steps": [{"say": "Hi", "usage": {"prompt_tokens": 900, "cached_tokens": 800}}]}) as server:
        usage = post(server, HELLO).json()["usage"]
    assert (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (900, 800)
    assert usage["total_tokens"] == 900 + usage["completion_tokens"]


# -- doors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/v1", "/api/paas/v4", "/api/coding/paas/v4"])
def test_it_answers_under_each_usual_address(client: httpx2.Client, prefix: str) -> None:
    with SimulatorServer("echo") as server:
        answer = client.post(f"{server.address}{prefix}/chat/completions", json=HELLO).json()
        models = client.get(f"{server.address}{prefix}/models").json()
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert "glm-5.3-flash" in [model["id"] for model in models["data"]]


def test_the_coding_endpoint_keeps_thinking_and_maps_what_the_other_refuses(client: httpx2.Client) -> None:
    thought = {"role": "assistant", "content": "Hi", "reasoning_content": "Greeting. " * 10}
    asked = {"model": "glm-5.3", "messages": [*HELLO["messages"], thought, *HELLO["messages"]]}
    off = {**asked, "thinking": {"type": "disabled"}}
    with SimulatorServer({"steps": [{"say": "a"}, {"say": "b", "think": "Hm."}]}) as server:
        general, coding = (f"{server.address}/api/{kind}/chat/completions" for kind in ("paas/v4", "coding/paas/v4"))
        prompts = [client.post(url, json=asked).json()["usage"]["prompt_tokens"] for url in (general, coding)]
        refused, mapped = client.post(general, json=off), client.post(coding, json=off)
    assert prompts[0] < prompts[1]
    assert refused.json()["error"]["code"] == "1210"
    assert mapped.json()["choices"][0]["message"]["reasoning_content"] == "Hm.", "it cannot be switched off"


def test_what_is_not_a_request_is_refused_in_the_services_words(client: httpx2.Client) -> None:
    with SimulatorServer("echo") as server:
        url = f"{server.base_url}/chat/completions"
        broken = client.post(url, content=b'{"model": ')
        deep = client.post(url, content=b"[" * 200_000)
        keyless = httpx2.post(url, json=HELLO)
        elsewhere = client.post(f"{server.address}/v2/chat", json=HELLO)
        wrong_method = client.get(url)
    assert [broken.status_code, broken.json()["error"]["code"]] == [400, "1210"]
    assert [deep.status_code, deep.json()["error"]["code"]] == [400, "1210"]
    assert [keyless.status_code, keyless.json()["error"]["code"]] == [401, "1001"]
    assert (elsewhere.status_code, wrong_method.status_code) == (404, 404)


def test_a_refusal_of_a_stream_is_json(post: Post) -> None:
    with SimulatorServer("echo") as server:
        response = post(server, HELLO, stream=True, temperature=2)
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert response.json()["error"]["code"] == "1214"


def test_a_request_id_is_taken_once(post: Post) -> None:
    with SimulatorServer("echo") as server:
        first = post(server, HELLO, request_id="request-1")
        again = post(server, HELLO, request_id="request-1")
    assert first.json()["request_id"] == "request-1" != first.json()["id"]
    assert [again.status_code, again.json()["error"]["code"]] == [400, "1231"]


def test_a_request_that_fits_no_step_is_told_so(post: Post) -> None:
    with SimulatorServer({"turns": [{"when": {"user": "stock"}, "steps": [{"say": "3"}]}]}) as server:
        response = post(server, HELLO)
        assert server.unused_steps() == ["turn 1, step 1"]
        with pytest.raises(AssertionError, match="turn 1, step 1"):
            server.assert_done()
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "simulator"
    assert "no turn begins with the user message 'Hello'" in response.json()["error"]["message"]


# -- repeatable, and side by side ---------------------------------------------------------------------------


def test_the_same_requests_give_the_same_bytes(post: Post) -> None:
    def run(**settings: Any) -> list[bytes]:
        with SimulatorServer({**ADD, **settings}) as server:
            return [
                post(server, HELLO, tools=TOOLS, stream=True, request_id="request-1").content,
                post(server, HELLO, tools=TOOLS).content,
            ]

    assert run() == run()
    assert run() != run(seed=1)


def test_many_conversations_do_not_disturb_one_another(post: Post) -> None:
    scenario = {
        "turns": [
            {
                "when": {"user": r"count from (\d+)"},
                "steps": [
                    {"calls": [{"next": {"of": "{{ match[1] | int }}"}}]},
                    {"repeat": 3, "calls": [{"next": {"of": "{{ results.next }}"}}]},
                    {"say": "{{ all_results.next | join(' ') }}"},
                ],
            }
        ]
    }

    def converse(server: SimulatorServer, start: int) -> str:
        messages: list[Body] = [{"role": "user", "content": f"count from {start}"}]
        for _ in range(10):
            message = post(server, {"model": "glm-4.7", "messages": messages}).json()["choices"][0]["message"]
            messages.append(message)
            if not message.get("tool_calls"):
                return str(message["content"])
            for call in message["tool_calls"]:
                value = json.loads(call["function"]["arguments"])["of"] + 1
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": str(value)})
        raise AssertionError("the conversation does not end")

    with SimulatorServer(scenario) as server, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda start: converse(server, start), range(50)))
        server.assert_done()
    assert answers == [f"{n + 1} {n + 2} {n + 3} {n + 4}" for n in range(50)]


# -- faults -------------------------------------------------------------------------------------------------


def faulty(fault: Any, **step: Any) -> Body:
    return {"steps": [{"say": "one two three four five", "fault": fault, **step}]}


@pytest.mark.parametrize("stream", [True, False])
def test_a_status_comes_once_and_then_the_answer(post: Post, stream: bool) -> None:
    with SimulatorServer(faulty({"status": 429, "code": 1302, "retry_after": 7})) as server:
        first = post(server, HELLO, stream=stream, request_id="request-1")
        then = post(server, HELLO, stream=stream, request_id="request-2")
    assert [first.status_code, first.json()["error"]["code"], first.headers["retry-after"]] == [429, "1302", "7"]
    assert first.headers["content-type"] == "application/json; charset=UTF-8"
    assert then.status_code == 200


def test_faults_follow_one_another_and_may_last(post: Post) -> None:
    faults = [{"status": 500, "times": 2}, "html", {"empty": 503}]
    with SimulatorServer({"steps": [{"say": "Hi", "faults": faults}]}) as server:
        answers = [post(server, HELLO) for _ in range(5)]
        elsewhere = post(server, {**HELLO, "messages": [{"role": "user", "content": "Other"}]})
    assert [answer.status_code for answer in answers] == [500, 500, 502, 503, 200]
    assert answers[2].headers["content-type"].startswith("text/html")
    assert "<html>" in answers[2].text
    assert answers[3].content == b""
    assert elsewhere.status_code == 500, "another request has its own faults"
    with SimulatorServer(faulty({"status": 500, "times": "always"})) as server:
        assert {post(server, HELLO).status_code for _ in range(4)} == {500}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["disconnect", "cut", {"cut_after": 0}, "reset", "restart"])
def test_a_lost_connection_is_lost(post: Post, fault: Any, stream: bool) -> None:
    if stream and fault == "restart":
        pytest.skip("a restarted stream ends properly")
    with SimulatorServer(faulty(fault)) as server:
        with pytest.raises(httpx2.TransportError):
            post(server, HELLO, stream=stream)
        assert post(server, HELLO, stream=stream).status_code == 200


@pytest.mark.parametrize("fault", ["disconnect", {"reset_after": 0}])
def test_a_reset_is_a_reset_and_not_an_end(fault: Any) -> None:
    request = b"POST /chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: k\r\nContent-Length: %d\r\n\r\n%s"
    body = json.dumps({**HELLO, "stream": True}).encode()
    with SimulatorServer(faulty(fault)) as server:
        place = ("127.0.0.1", int(server.address.rpartition(":")[2]))
        with socket.create_connection(place, timeout=60) as connection:
            connection.sendall(request % (len(body), body))
            with pytest.raises(ConnectionResetError):
                _read_all(connection)


def _read_all(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def test_a_cut_stream_ends_after_its_chunks(client: httpx2.Client) -> None:
    with SimulatorServer(faulty({"cut_after": 3})) as server:
        url = f"{server.base_url}/chat/completions"
        with client.stream("POST", url, json={**HELLO, "stream": True}) as response:
            got = _until_it_breaks(response)
    assert got.count(b"data: ") == 3
    assert b"finish_reason" not in got


def _until_it_breaks(response: httpx2.Response) -> bytes:
    got = b""
    try:
        for piece in response.iter_raw():
            got += piece
    except httpx2.RemoteProtocolError:
        return got
    raise AssertionError("the stream ended properly")


SPOILED: dict[str, tuple[Any, Callable[[str], bool]]] = {
    "end": ({"end_after": 2}, lambda text: text.count("data: ") == 2 and "[DONE]" not in text),
    "end, never complete": ({"end_after": 99}, lambda text: "finish_reason" not in text and text.count("data: ") == 5),
    "restart": (
        {"restart_after": 2},
        lambda text: (
            len(set(re.findall(r'data: \{"id":"(\w+)"', text))) == 2
            and re.search(r'[^\n]data: \{"id"', text) is not None
            and text.endswith("[DONE]\n\n")
        ),
    ),
    "malformed": ({"malformed_after": 2}, lambda text: sum(not _is_json(line) for line in _data(text)[:-1]) == 1),
    "error": (
        {"error_after": 2, "code": "1234"},
        lambda text: json.loads(_data(text)[-1])["error"]["code"] == "1234" and len(_data(text)) == 3,
    ),
    "error as event": ({"error_after": 2, "form": "event"}, lambda text: "\n\nevent: error\ndata: {" in text),
    "error, bare": ({"error_after": 2, "form": "bare"}, lambda text: '\n\n{"error":{' in text),
    "duplicate": ({"duplicate_after": 2}, lambda text: text.count('"content":" two"') == 2),
    "huge": (
        {"huge_after": 1, "bytes": 3_000_000},
        lambda text: sorted(map(len, text.splitlines()))[-1] == 3_000_000 - 2 and all(map(_is_json, _data(text)[:-1])),
    ),
    "drip": ({"drip": 100}, lambda text: text.endswith("[DONE]\n\n")),
    "bom": ({"encoding": "bom"}, lambda text: text.startswith("\ufeffdata: {")),
    "crlf": ({"encoding": "crlf"}, lambda text: text.endswith("data: [DONE]\r\n\r\n")),
    "invalid": ({"encoding": "invalid"}, lambda text: "\ufffd" in text),
    "split": ({"encoding": "split"}, lambda text: text.endswith("data: [DONE]\n\n")),
    "network_error": (
        "network_error",
        lambda text: (
            json.loads(_data(text)[0])["choices"]
            == [{"index": 0, "finish_reason": "network_error", "delta": {"role": "assistant", "content": ""}}]
            and len(_data(text)) == 2
        ),
    ),
}


def _data(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", SPOILED)
def test_a_stream_is_spoiled_in_each_way_and_then_whole(post: Post, name: str) -> None:
    fault, holds = SPOILED[name]
    with SimulatorServer(faulty(fault)) as server:
        spoiled = post(server, HELLO, stream=True)
        whole = post(server, HELLO, stream=True)
    assert spoiled.status_code == 200
    assert holds(spoiled.content.decode("utf-8", "replace"))
    assert len(chunks(whole)) == 6


@pytest.mark.parametrize(
    ("fault", "status"),
    [("malformed", 200), ("end", 200), ("error", 500), ({"html": 502}, 502), ("network_error", 200), ("drip", 200)],
)
def test_a_body_is_spoiled_in_the_nearest_way(post: Post, fault: Any, status: int) -> None:
    with SimulatorServer(faulty(fault)) as server:
        spoiled = post(server, HELLO)
        assert post(server, HELLO).json()["choices"][0]["finish_reason"] == "stop"
    assert spoiled.status_code == status
    assert _is_json(spoiled.text) == (fault in ("error", "network_error", "drip"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_stalled_answer_holds_nobody_when_the_server_stops(post: Post, stream: bool) -> None:
    with SimulatorServer(faulty({"stall_after": 0})) as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, server, HELLO, stream=stream)
        _until(lambda: bool(server.requests))
        server.stop()
        with pytest.raises(httpx2.TransportError):
            waiting.result(timeout=60)


@pytest.mark.parametrize("kind", ["text", "line"])
def test_an_endless_stream_goes_on_until_the_client_leaves(client: httpx2.Client, kind: str) -> None:
    with SimulatorServer(faulty({"endless": kind})) as server:
        url = f"{server.base_url}/chat/completions"
        with client.stream("POST", url, json={**HELLO, "stream": True}) as response:
            some = list(itertools.islice(response.iter_raw(), 50))
        assert len(some) == 50
        assert any(b"\n" in piece for piece in some) == (kind == "text")
        assert len(chunks(client.post(url, json={**HELLO, "stream": True}))) == 6


def test_random_faults_are_drawn_from_the_seed(post: Post) -> None:
    def run(seed: int) -> list[int]:
        scenario = {"steps": [{"say": "Hi"}], "seed": seed, "random_faults": {"rate": 0.5, "faults": [{"status": 503}]}}
        with SimulatorServer(scenario) as server:
            asked = [{**HELLO, "messages": [{"role": "user", "content": str(number)}]} for number in range(20)]
            return [post(server, body).status_code for body in asked]

    assert run(1) == run(1) != run(2)
    assert set(run(1)) == {200, 503}


def test_too_many_requests_at_once_are_refused(post: Post) -> None:
    scenario = {"steps": [{"say": "Hi", "fault": "stall"}], "concurrency": 1}
    with SimulatorServer(scenario) as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, server, HELLO)
        _until(lambda: bool(server.requests))
        refused = post(server, HELLO)
        server.stop()
        assert waiting.exception(timeout=60) is not None
    assert [refused.status_code, refused.json()["error"]["code"]] == [429, "1302"]


def test_pace_waits_before_and_between(post: Post) -> None:
    pace = {"think_seconds": 0.05, "chunk_seconds": 0.01, "chunk_characters": 4}
    with SimulatorServer({"steps": [{"say": "x" * 40}], "pace": pace}) as server:
        response = post(server, HELLO, stream=True)
    assert [len(delta["content"]) for delta in deltas(response)[:-1]] == [4] * 10
    assert response.elapsed.total_seconds() >= 0.05 + 11 * 0.01


# -- its life -----------------------------------------------------------------------------------------------


def _until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(6_000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it did not happen within 60 s")


def test_it_leaves_no_thread_and_no_socket() -> None:
    before = {*threading.enumerate()}
    server = SimulatorServer("echo")
    assert server.start() is server.start()
    address = server.base_url
    assert httpx2.get(f"{address}/models", headers={"authorization": "k"}).status_code == 200
    server.stop()
    server.stop()
    assert {*threading.enumerate()} <= before
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/models")
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.base_url


def test_it_can_start_again() -> None:
    server = SimulatorServer("echo")
    for _ in range(3):
        with server:
            assert httpx2.get(f"{server.base_url}/models", headers={"authorization": "k"}).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_is_an_asynchronous_context_too(anyio_backend: str) -> None:
    with anyio.fail_after(60):
        async with SimulatorServer("echo") as server, httpx2.AsyncClient(headers={"authorization": "k"}) as client:
            response = await client.post(f"{server.base_url}/chat/completions", json=HELLO)
    assert response.json()["choices"][0]["message"]["content"] == "Hello"


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on '127.0.0.1' port {port}"):
            SimulatorServer("echo", port=port).start()


def test_a_scenario_that_does_not_exist_names_the_built_in_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'nowhere\.yaml' is neither a file nor one of 'directive', 'echo'"):
        SimulatorServer("nowhere.yaml")


def test_the_embedded_simulator_is_one_per_scenario() -> None:
    try:
        assert embedded("echo") is embedded("echo")
        assert embedded("echo") is not embedded("directive")
        address = embedded("echo").base_url
    finally:
        stop_all()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/models")


def test_a_process_with_an_embedded_simulator_ends_by_itself() -> None:
    code = "from glm_agent.simulate.embedded import embedded; print(embedded().base_url)"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("http://127.0.0.1:")
    assert done.stderr == ""


@pytest.mark.parametrize(("prompts", "left"), [(["one"], "turn 2, step 1"), (["one", "two"], ""), ([], "")])
def test_a_process_says_at_its_end_which_steps_nobody_asked_for(tmp_path: Path, prompts: list[str], left: str) -> None:
    scenario = tmp_path / "talk.yaml"
    turns = ("{when: {user: one}, steps: [{say: a}]}", "{when: {user: two}, steps: [{say: b}]}")
    scenario.write_text(f"version: 1\nturns: [{', '.join(turns)}]\n")
    code = f"""
from glm_agent import Agent
agent = Agent("simulate:{scenario}")
print(*[agent.run_sync(prompt).output for prompt in {prompts}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["a", "b"][: len(prompts)]
    assert done.stderr == (f"scenario '{scenario}': nobody asked for {left}\n" if left else "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_a_signal_and_names_unused_steps(number: signal.Signals) -> None:
    code = """
from glm_agent.simulate import serve
print(serve({"steps": [{"say": "Hi"}]}, port=0, on_start=lambda server: print(server.base_url, flush=True)))
"""
    command = [sys.executable, "-X", "dev", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "['turn 1, step 1']\n", "")
