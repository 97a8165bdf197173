"""What GLM and its other hosts send, as a table: an id, a sentence, where it was seen, the chunks, the outcome.

Every behaviour is decoded whole, byte by byte and in any cuts; the events must be the same.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import (
    AuthenticationError,
    ContentFiltered,
    ContextOverflow,
    ModelError,
    ModelProtocolError,
    ModelStatusError,
    RateLimited,
)
from glm_agent.messages import (
    HostedCall,
    ModelResponse,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolCallReady,
    ToolSpec,
    Usage,
)
from glm_agent.wire import answer
from glm_agent.wire.decode import Decoded, ResponseDecoder, Restarted, decode_body
from glm_agent.wire.dialects import DIALECTS

WEATHER = ToolSpec(
    name="weather",
    description="",
    parameters={"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
)

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def chunk(delta: Any = None, *, id: str = "2026a", finish: Any = None, **more: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if finish is not None:
        choice["finish_reason"] = finish
    return {"id": id, "created": 1790000000, "model": "glm-5.3", "choices": [choice], **more}


def frames(*chunks: Any) -> bytes:
    lines = (item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode() + b"\n\n" for item in chunks)
    return b"".join(lines)


DONE = b"data: [DONE]\n\n"
STOP = chunk({"role": "assistant", "content": ""}, finish="stop", usage=USAGE)
CALLS = chunk({"role": "assistant", "content": ""}, finish="tool_calls", usage=USAGE)


def call(
    name: Any = "add", arguments: Any = '{"a":1}', *, id: Any = "call_1", index: Any = 0, type: Any = "function"
) -> dict[str, Any]:
    entry = {"id": id, "index": index, "type": type, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in entry.items() if value is not ...}


def calls(*entries: Any) -> dict[str, Any]:
    return chunk({"tool_calls": list(entries)})


def fragment(arguments: str, *, index: int = 0, **more: Any) -> dict[str, Any]:
    return calls({"index": index, "function": {"arguments": arguments}, **more})


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    says: str
    source: str
    stream: bytes
    expects: dict[str, Any] = field(default_factory=dict)
    """Fields of the response."""
    ready: tuple[str, ...] | None = None
    """Ids of calls announced before the end, in order; None: those of the response."""


TWO_DAYS = "<tool_call>weather<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>"

TABLE = {
    "W01": Behaviour(
        says="reasoning, then text; the finish chunk carries the usage",
        source="recorded, glm-5.3-flash, 2026-09",
        stream=frames(
            chunk({"role": "assistant", "reasoning_content": "Hm"}),
            chunk({"role": "assistant", "content": "Hi"}),
            STOP,
            DONE,
        ),
        expects={
            "text": "Hi",
            "reasoning": "Hm",
            "finish_reason": "stop",
            "usage": Usage(input_tokens=20, cached_tokens=5, output_tokens=9, reasoning_tokens=4),
            "model": "glm-5.3",
            "id": "2026a",
            "created": 1790000000,
            "extra": {},
        },
    ),
    "W02": Behaviour(
        says="parallel calls come whole, one chunk each",
        source="recorded, glm-5.3-flash, 2026-09",
        stream=frames(calls(call()), calls(call("mul", '{"b":2}', id="call_2", index=1)), CALLS, DONE),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_2", name="mul", arguments='{"b":2}'),
            )
        },
    ),
    "W03": Behaviour(
        says="with tool_stream the name comes first, then fragments without an id",
        source="docs.z.ai tool streaming; OpenRouter relay recorded 2026-04",
        stream=frames(calls(call("add", "")), fragment('{"a"'), fragment(":1}"), CALLS, DONE),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W04": Behaviour(
        says="index -1, and finish_reason on the tool chunk and on the last one",
        source="recorded, glm-4.5-flash, 2025-09",
        stream=frames(chunk({"tool_calls": [call(index=-1)]}, finish="tool_calls"), CALLS, DONE),
        expects={
            "tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),),
            "usage": Usage(input_tokens=20, cached_tokens=5, output_tokens=9, reasoning_tokens=4),
        },
    ),
    "W05": Behaviour(
        says="two calls with index -1 are two calls",
        source="W04 with parallel calls",
        stream=frames(calls(call(index=-1)), calls(call("mul", "{}", id="call_2", index=-1)), CALLS, DONE),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_2", name="mul", arguments="{}"),
            )
        },
    ),
    "W06": Behaviour(
        says="no index at all: what has no name belongs to the call before",
        source="opencode#49692",
        stream=frames(
            calls(call("add", "", index=...)),
            calls({"function": {"arguments": '{"a":'}}),
            calls({"function": {"arguments": "1}"}}),
            calls(call("mul", "", id="call_2", index=...)),
            calls({"function": {"arguments": "{}"}}),
            CALLS,
            DONE,
        ),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_2", name="mul", arguments="{}"),
            )
        },
    ),
    "W07": Behaviour(
        says="a new id with every fragment is still one call",
        source="GLM-4#194",
        stream=frames(
            calls(call("add", "", id="x1")), fragment('{"a":', id="x2"), fragment("1}", id="x3"), CALLS, DONE
        ),
        expects={"tool_calls": (ToolCall(id="x1", name="add", arguments='{"a":1}'),)},
    ),
    "W08": Behaviour(
        says="the same whole call again is not a second one",
        source="duplicated chunks of relays",
        stream=frames(calls(call()), calls(call()), CALLS, DONE),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W09": Behaviour(
        says="hosts that number every whole call 0 mean several calls",
        source="OpenAI-compatible relays",
        stream=frames(calls(call()), calls(call("add", '{"a":2}', id="call_2")), CALLS, DONE),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_2", name="add", arguments='{"a":2}'),
            )
        },
    ),
    "W10": Behaviour(
        says="calls without ids get some, and equal ids are made different",
        source="kubectl-ai#559; seen with several hosts, 2026",
        stream=frames(
            calls(call(id=...)),
            calls(call("mul", '{"b":2}', id="same", index=1)),
            calls(call("mul", '{"b":3}', id="same", index=2)),
            CALLS,
            DONE,
        ),
        expects={
            "tool_calls": (
                ToolCall(id="call_0", name="add", arguments='{"a":1}'),
                ToolCall(id="same", name="mul", arguments='{"b":2}'),
                ToolCall(id="same_2", name="mul", arguments='{"b":3}'),
            )
        },
    ),
    "W11": Behaviour(
        says="arguments as an object become text, no arguments an empty object",
        source="docs.z.ai, function calling; vllm#44326",
        stream=frames(
            calls(call("add", {"a": "é"})),
            calls(call("now", "", id="c2", index=1)),
            calls(call("now", None, id="c3", index=2)),
            CALLS,
            DONE,
        ),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":"é"}'),
                ToolCall(id="c2", name="now", arguments="{}"),
                ToolCall(id="c3", name="now", arguments="{}"),
            )
        },
    ),
    "W12": Behaviour(
        says="calls that ran on the provider's side are never ours to run",
        source="docs.bigmodel.cn, tool type mcp, 2026-07",
        stream=frames(
            calls({"id": "m1", "type": "mcp", "mcp": {"type": "mcp_call", "name": "weather", "output": {}}}),
            calls({"id": "w1", "type": "web_search"}),
            STOP,
            DONE,
        ),
        expects={
            "tool_calls": (),
            "hosted_calls": (
                HostedCall(
                    type="mcp",
                    data={"id": "m1", "type": "mcp", "mcp": {"type": "mcp_call", "name": "weather", "output": {}}},
                ),
                HostedCall(type="web_search", data={"id": "w1", "type": "web_search"}),
            ),
        },
    ),
    "W13": Behaviour(
        says="sources, videos, filter marks and unknown fields are kept",
        source="docs.bigmodel.cn, response schema, 2026-07",
        stream=frames(
            chunk({"content": "x"}, web_search=[{"refer": "ref_1"}]),
            chunk({"content": ""}, web_search=[{"refer": "ref_2"}]),
            chunk(
                {"content": ""},
                finish="stop",
                web_search=[{"refer": "ref_2"}],
                video_result=[{"url": "u"}],
                content_filter=[{"role": "user", "level": 3}],
                provider="Z.AI",
                odd=None,
            ),
            DONE,
        ),
        expects={
            "web_search": ({"refer": "ref_1"}, {"refer": "ref_2"}),
            "video_result": ({"url": "u"},),
            "content_filter": ({"role": "user", "level": 3},),
            "extra": {"provider": "Z.AI"},
        },
    ),
    "W14": Behaviour(
        says="usage alone in a chunk without choices, named `reasoning`, null content",
        source="OpenRouter and vLLM, 2026",
        stream=frames(
            b": OPENROUTER PROCESSING\n\n",
            chunk({"content": None, "reasoning": "R", "tool_calls": None}),
            chunk({"content": "T", "reasoning_content": None}),
            chunk({"content": ""}, finish="stop"),
            {"id": "2026a", "choices": [], "usage": USAGE},
            DONE,
        ),
        expects={
            "text": "T",
            "reasoning": "R",
            "usage": Usage(input_tokens=20, cached_tokens=5, output_tokens=9, reasoning_tokens=4),
        },
    ),
    "W15": Behaviour(
        says="null anywhere is as good as missing",
        source="kubectl-ai#559, opencode#49692",
        stream=frames(
            {"id": None, "choices": None, "usage": None, "model": None, "created": None},
            {"choices": [{"delta": None}]},
            {"choices": [None]},
            {"choices": [{"delta": {"content": "x", "tool_calls": [None]}}]},
            {
                "choices": [
                    {
                        "delta": {
                            "tool_calls": [
                                {"function": None},
                                {"type": None, "function": {"name": "add", "arguments": "{}"}},
                            ]
                        }
                    }
                ]
            },
            {
                "choices": [{"delta": {}, "finish_reason": "tool_calls"}],
                "usage": {"prompt_tokens": None, "prompt_tokens_details": None},
            },
            DONE,
        ),
        expects={"text": "x", "tool_calls": (ToolCall(id="call_0", name="add", arguments="{}"),), "usage": Usage()},
    ),
    "W16": Behaviour(
        says="a frame cut by a second generation voids all before it",
        source="zai-org/GLM-5#66, recorded 2026-04",
        stream=frames(
            chunk({"content": "old"}, id="A"),
            calls(call()) | {"id": "A"},
            b'data: {"id":"A","created":1,"object":"chat.cdata: {"id":"B","choices":[{"delta":{"content":"new"}}]}\n\n',
            chunk({"content": "!"}, id="B"),
            chunk({}, id="B", finish="stop"),
            DONE,
        ),
        expects={"text": "new!", "tool_calls": (), "id": "B"},
        ready=("call_1",),
    ),
    "W17": Behaviour(
        says="a stream that begins with the cut frame",
        source="zai-org/GLM-5#66",
        stream=frames(
            b'data: {"id":"A","created":1,"object":"chat.cdata: {"id":"B","choices":[{"delta":{"content":"new"}}]}\n\n',
            chunk({}, id="B", finish="stop"),
            DONE,
        ),
        expects={"text": "new", "id": "B"},
    ),
    "W18": Behaviour(
        says="a second generation without a cut frame",
        source="opencode#23442",
        stream=frames(chunk({"content": "old"}, id="A"), chunk({"content": "new"}, id="B", finish="stop"), DONE),
        expects={"text": "new", "id": "B"},
    ),
    "W19": Behaviour(
        says="a body that came as one event, calls numbered anyhow",
        source="gateways that do not stream",
        stream=frames(
            {
                "id": "b",
                "request_id": "r",
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {
                            "role": "assistant",
                            "content": "ok",
                            "reasoning_content": "\nHm",
                            "tool_calls": [call(), call(), call(index=0, id="z")],
                        },
                    }
                ],
            },
            DONE,
        ),
        expects={
            "text": "ok",
            "reasoning": "\nHm",
            "request_id": "r",
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_1_2", name="add", arguments='{"a":1}'),
                ToolCall(id="z", name="add", arguments='{"a":1}'),
            ),
        },
    ),
    "W20": Behaviour(
        says="text as an array of parts",
        source="docs.bigmodel.cn, GLM-4V schema",
        stream=frames(
            chunk({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, None]}), STOP, DONE
        ),
        expects={"text": "ab"},
    ),
    "W21": Behaviour(
        says="blank lines forgotten between events",
        source="self-hosted relays",
        stream=b"data: "
        + json.dumps(chunk({"content": "a"})).encode()
        + b"\ndata: "
        + json.dumps(STOP).encode()
        + b"\n"
        + DONE,
        expects={"text": "a"},
    ),
    "W22": Behaviour(
        says="`data:` forgotten altogether",
        source="CLIProxyAPI forks",
        stream=json.dumps(chunk({"content": "a"})).encode() + b"\n" + json.dumps(STOP).encode() + b"\n",
        expects={"text": "a"},
    ),
    "W23": Behaviour(
        says="keep-alives that are no chunks, and events of foreign names",
        source="gateways",
        stream=b'event: ping\ndata: alive\n\ndata: \n\ndata: null\n\ndata: 1\n\ndata: "ping"\n\ndata: {}\n\n'
        + frames(STOP, DONE),
        expects={"text": "", "finish_reason": "stop"},
    ),
    "W24": Behaviour(
        says="what follows [DONE] is not read",
        source="proxies that append",
        stream=frames(chunk({"content": "a"}), STOP, DONE, chunk({"content": "b"}), b"data: {broken\n\n"),
        expects={"text": "a"},
    ),
    "W25": Behaviour(
        says="lone surrogates and broken UTF-8 are replaced",
        source="fault model, 2026-11",
        stream=b'data: {"id":"2026a","choices":[{"delta":{"content":"a\\ud83db\xffc"}}]}\n\n' + frames(STOP, DONE),
        expects={"text": "a\ufffdb\ufffdc"},
    ),
    "W26": Behaviour(
        says="arguments that the length limit cut are kept, and not announced",
        source="docs.bigmodel.cn, finish_reason length",
        stream=frames(calls(call("add", "")), fragment('{"a": 1'), chunk({}, finish="length"), DONE),
        expects={"finish_reason": "length", "tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a": 1'),)},
        ready=(),
    ),
    "W27": Behaviour(
        says="a failing finish_reason is not overwritten by a later stop",
        source="glm-4-plus, two finish chunks, 2025-03",
        stream=frames(chunk({}, finish="sensitive"), STOP, DONE),
        expects={"finish_reason": "sensitive"},
    ),
    "W28": Behaviour(
        says="an unknown finish_reason is kept as it came",
        source="GLM's own words grow",
        stream=frames(chunk({"content": "x"}, finish="repetition"), DONE),
        expects={"finish_reason": "repetition"},
    ),
    "W29": Behaviour(
        says="a call that has only markup for a name",
        source="zai-org/GLM-5#84",
        stream=frames(calls(call("weather<arg_key>city</arg_key><arg_value>Pune</arg_value>", "")), CALLS, DONE),
        expects={"tool_calls": (ToolCall(id="call_1", name="weather", arguments='{"city":"Pune"}'),)},
    ),
    "W30": Behaviour(
        says="a call nobody named is left out",
        source="fault model, 2026-11",
        stream=frames(calls(call(None, "{}")), CALLS, DONE),
        expects={"tool_calls": ()},
    ),
    "W31": Behaviour(
        says="voice comes in pieces of one object",
        source="docs.bigmodel.cn, glm-4-voice",
        stream=frames(chunk({"audio": {"id": "a1"}}), chunk({"audio": {"data": "QUJD"}}, finish="stop"), DONE),
        expects={"audio": {"id": "a1", "data": "QUJD"}},
    ),
    "W32": Behaviour(
        says="the stream ends without [DONE] and without its last line break",
        source="proxies that break off after the last chunk",
        stream=frames(chunk({"content": "a"}), STOP).rstrip(b"\n"),
        expects={"text": "a"},
    ),
    "W33": Behaviour(
        says="index missing, the same id, other arguments: another call",
        source="seen with several hosts, 2026",
        stream=frames(calls(call(index=...)), calls(call("add", '{"a":2}', index=...)), CALLS, DONE),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_1_2", name="add", arguments='{"a":2}'),
            )
        },
    ),
    "W34": Behaviour(
        says="the name arrives after the first piece of the arguments",
        source="fault model, 2026-11",
        stream=frames(calls(call(None, '{"a"')), calls(call("add", ":1}", id=None)), CALLS, DONE),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W35": Behaviour(
        says="markup that the host's parser missed becomes a call, and the text goes without it",
        source="openclaude#1791, nanobot#4124",
        stream=frames(
            chunk({"content": "One moment.\n<tool_call>wea"}),
            chunk({"content": "ther<arg_key>city</arg_key><arg_value>Pune</arg_value></tool_call>"}),
            STOP,
            DONE,
        ),
        expects={
            "text": "One moment.",
            "tool_calls": (ToolCall(id="call_0", name="weather", arguments='{"city":"Pune"}'),),
        },
        ready=(),
    ),
    "W36": Behaviour(
        says="markup at the end of the thinking, and nothing said",
        source="opencode#6883, glm-4.7",
        stream=frames(
            chunk({"reasoning_content": f"I call it. {TWO_DAYS}"}),
            STOP,
            DONE,
        ),
        expects={
            "text": "",
            "reasoning": f"I call it. {TWO_DAYS}",
            "tool_calls": (ToolCall(id="call_0", name="weather", arguments='{"days":2}'),),
        },
        ready=(),
    ),
}


TABLE |= {
    "W37": Behaviour(
        says="every call numbered 0, arguments in fragments",
        source="OpenAI-compatible relays",
        stream=frames(
            calls(call()),
            calls(call("mul", "", id="call_2")),
            fragment('{"b":'),
            fragment("2}"),
            CALLS,
        ),
        expects={
            "tool_calls": (
                ToolCall(id="call_1", name="add", arguments='{"a":1}'),
                ToolCall(id="call_2", name="mul", arguments='{"b":2}'),
            )
        },
    ),
    "W38": Behaviour(
        says="equal calls without index and id are as many as came",
        source="kubectl-ai#559",
        stream=frames(calls(call("now", "{}", index=-1, id=None), call("now", "{}", index=-1, id=None)), CALLS),
        expects={
            "tool_calls": (
                ToolCall(id="call_0", name="now", arguments="{}"),
                ToolCall(id="call_1", name="now", arguments="{}"),
            )
        },
    ),
    "W39": Behaviour(
        says="the same whole call again, without an index",
        source="duplicated chunks of relays",
        stream=frames(calls(call(index=...)), calls(call(index=...)), CALLS),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W40": Behaviour(
        says="id and name repeated with every fragment, without an index",
        source="SGLang parsers",
        stream=frames(
            calls(call("add", "", index=...)),
            calls(call("add", '{"a":', index=...)),
            calls(call("add", "1}", index=...)),
            CALLS,
        ),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W41": Behaviour(
        says="a new id and the name again with every fragment",
        source="GLM-4#194",
        stream=frames(
            calls(call("add", "", id="x1")),
            calls(call("add", '{"a":', id="x2")),
            calls(call("add", "1}", id="x3")),
            CALLS,
        ),
        expects={"tool_calls": (ToolCall(id="x1", name="add", arguments='{"a":1}'),)},
    ),
    "W42": Behaviour(
        says="a whole call sent again in other spacing is still the same",
        source="duplicated chunks of relays",
        stream=frames(calls(call()), calls(call("add", '{"a": 1}')), CALLS),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),)},
    ),
    "W43": Behaviour(
        says="calls that end with finish_reason stop",
        source="self-hosted relays",
        stream=frames(calls(call("add", "")), fragment('{"a":1}'), STOP),
        expects={"tool_calls": (ToolCall(id="call_1", name="add", arguments='{"a":1}'),), "finish_reason": "stop"},
    ),
    "W44": Behaviour(
        says="numbers of other types, and counts below zero",
        source="fault model, 2026-11",
        stream=frames(
            chunk({"content": "x"}, finish="stop", created="soon", object="chat.completion.chunk")
            | {"usage": {"prompt_tokens": -1, "completion_tokens": 2.0, "prompt_tokens_details": 5}, "request_id": "r"}
        ),
        expects={"created": 0, "usage": Usage(output_tokens=2), "extra": {}, "request_id": "r"},
    ),
    "W45": Behaviour(
        says="the id in a chunk without choices only, no model at all",
        source="gateways",
        stream=frames(
            {"id": "first", "choices": []}, {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}
        ),
        expects={"id": "first", "model": "", "text": "x"},
    ),
    "W46": Behaviour(
        says="a type that is no word ran elsewhere",
        source="fault model, 2026-11",
        stream=frames(calls(call(type=7)), STOP),
        expects={"tool_calls": (), "hosted_calls": (HostedCall(type="7", data=call(type=7)),)},
    ),
}


def decoded(pieces: Iterable[bytes]) -> tuple[list[Decoded], ModelResponse | str]:
    """Events, and the response or the error's words."""
    decoder, events = ResponseDecoder(tools=[WEATHER], request_id="mine"), list[Decoded]()
    try:
        for piece in pieces:
            events.extend(decoder.feed(piece))
        events.extend(decoder.close())
        return events, decoder.finish()
    except ModelError as error:
        return events, f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("id", TABLE)
def test_wire_behaviour(id: str) -> None:
    behaviour = TABLE[id]
    events, response = decoded([behaviour.stream])
    assert isinstance(response, ModelResponse), response
    assert {name: getattr(response, name) for name in behaviour.expects} == behaviour.expects
    ready = tuple(event.call.id for event in events if isinstance(event, ToolCallReady))
    assert ready == (behaviour.ready if behaviour.ready is not None else tuple(c.id for c in response.tool_calls))
    stream = behaviour.stream
    assert decoded(stream[i : i + 1] for i in range(len(stream))) == (events, response)


@pytest.mark.parametrize("id", TABLE)
def test_the_deltas_add_up_to_the_response(id: str) -> None:
    events, response = decoded([TABLE[id].stream])
    assert isinstance(response, ModelResponse)
    for at, event in enumerate(events):
        if isinstance(event, Restarted):
            events = events[at + 1 :]
            break
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown.startswith(response.text)
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == response.reasoning
    for event in events:
        if isinstance(event, ToolCallReady):
            assert event.call in response.tool_calls
            mine = [e for e in events if isinstance(e, ToolCallDelta) and e.id == event.call.id]
            assert {(e.index, e.name) for e in mine} == {(response.tool_calls.index(event.call), mine[0].name)}
            assert "".join(e.arguments for e in mine) in (event.call.arguments, "")


CHUNKS = st.sampled_from(
    [
        b'data: {"id":"A","object":"chat.c',
        b'data: {"id":"B","choices":[{"delta":{"content":"n\xc3\xa9w"}}]}\n\n',
        b'data: {"error":{"code":"1302","message":"busy"}}\n\n',
        b'{"error":{"code":"500"}}\n',
        b"event: error\ndata: no\n\n",
        b": comment\r\n\r\n",
        b"data: ping\n\n",
        b"\n",
        DONE,
        *map(frames, (STOP, CALLS, calls(call()), chunk({"content": "x"}), fragment("{"), fragment("}"))),
    ]
)


@given(st.lists(CHUNKS, max_size=10).map(b"".join), st.data())
def test_any_stream_gives_the_same_events_in_any_cuts(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=9)) | {0, len(stream)})
    whole = decoded([stream])
    assert decoded(stream[a:b] for a, b in pairwise(cuts)) == whole
    assert decoded(stream[i : i + 1] for i in range(len(stream))) == whole


WORDS = """id choices delta message content reasoning_content tool_calls function name type arguments index
finish_reason usage prompt_tokens error code web_search audio"""
FIELDS = WORDS.split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "add", "{}", '{"a":1}', "stop"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=25,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "choices", "usage", "model"]), JSON), max_size=4))
def test_no_json_however_odd_breaks_the_decoder(chunks: list[Any]) -> None:
    decoder = ResponseDecoder(tools=[WEATHER])
    try:
        for item in chunks:
            decoder.receive(item)
        decoder.finish()
    except ModelError:
        pass


def test_a_restart_is_told_before_the_new_generation() -> None:
    events, _ = decoded([TABLE["W16"].stream])
    (at,) = (i for i, event in enumerate(events) if isinstance(event, Restarted))
    assert events[at + 1 :] == [TextDelta(text="new"), TextDelta(text="!")]


def test_an_id_that_is_a_number_is_one_id() -> None:
    _, response = decoded([frames(chunk({"content": "a"}, id=7), chunk({"content": "b"}, id=7, finish="stop"))])  # type: ignore[arg-type]
    assert isinstance(response, ModelResponse)
    assert (response.text, response.id) == ("ab", "7")


TRUNCATED = {
    "nothing came": b"",
    "only [DONE]": DONE,
    "no finish_reason": frames(chunk({"content": "half"})),
    "[DONE] without finish_reason": frames(chunk({"content": "half"}), calls(call()), DONE),
    "the new generation does not finish": frames(STOP, chunk({"content": "new"}, id="B"), DONE),
    "a cut frame in an event that has a name": b"event: message\ndata: {cut\n\n" + frames(STOP, DONE),
    "the last frame is cut": frames(chunk({"content": "half"})) + b'data: {"id":"2026a","cho',
    "a frame is cut, the same generation goes on": frames(b'data: {"id":"2026a","ch\n\n', STOP, DONE),
    "the new generation begins with a cut frame": frames(
        chunk({"content": "old"}, id="A"), b'data: {"id":"B","ch\n\n', chunk({"content": "new"}, id="B", finish="stop")
    ),
    "a frame is cut, then the end": frames(STOP, b'data: {"id":"2026a","ch\n\n', DONE),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_an_incomplete_stream_is_never_an_answer_and_may_be_tried_again(name: str) -> None:
    decoder = ResponseDecoder()
    with pytest.raises(ModelProtocolError) as caught:  # noqa: PT012
        list(decoder.feed(TRUNCATED[name]))
        list(decoder.close())
        decoder.finish()
    assert caught.value.is_retryable


ERRORS: dict[str, tuple[bytes, type[ModelError], bool]] = {
    "a data frame": (frames({"error": {"code": "1302", "message": "busy"}}), RateLimited, True),
    "after the answer began": (frames(chunk({"content": "a"}), {"error": {"code": "1301"}}), ContentFiltered, False),
    "an error event": (b'event: error\ndata: {"code":"1261","message":"long"}\n\n', ContextOverflow, False),
    "an error event in words": (b"event: error\ndata: upstream gone\n\n", ModelStatusError, True),
    "a bare line": (b'{"error":{"code":"500","message":"x"}}\n', ModelStatusError, True),
    "without an error key": (frames({"code": 1000, "msg": "no", "success": False}), AuthenticationError, False),
    "beside choices": (frames({"error": {"code": 502}, "choices": []}), ModelStatusError, True),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_inside_the_stream_is_raised_as_what_it_means(name: str) -> None:
    stream, kind, is_retryable = ERRORS[name]
    with pytest.raises(kind) as caught:
        list(ResponseDecoder().feed(stream))
    assert caught.value.is_retryable is is_retryable
    assert getattr(caught.value, "status_code", 200) == 200


def test_three_generations_may_be_thrown_away() -> None:
    stream = frames(*(chunk({"content": str(i)}, id=f"id{i}") for i in range(4)), chunk(id="id3", finish="stop"))
    events, response = decoded([stream])
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["0", "1", "2", "3"]
    assert isinstance(response, ModelResponse)
    assert response.text == "3"


def test_a_host_that_names_every_chunk_anew_is_told_apart_from_restarts() -> None:
    stream = frames(*(chunk({"content": str(i)}, id=f"id{i}") for i in range(5)))
    with pytest.raises(ModelProtocolError, match="again and again") as caught:
        list(ResponseDecoder().feed(stream))
    assert not caught.value.is_retryable


@pytest.mark.parametrize(
    "endless", [chunk({"reasoning_content": "more "}), chunk({"content": "more "}), fragment("more ")]
)
def test_an_endless_answer_ends(endless: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "ANSWER_LIMIT", 100)
    begun = frames(calls(call("add", "")), *[endless] * 20)
    list(ResponseDecoder().feed(begun))
    with pytest.raises(ModelProtocolError, match="longer than"):
        list(ResponseDecoder().feed(begun + frames(endless)))


def test_a_call_is_announced_before_the_next_one_begins() -> None:
    stream = frames(calls(call("add", "")), fragment('{"a":1}'), calls(call("mul", "", id="c2", index=1)), CALLS)
    events, _ = decoded([stream])
    begun, ready = ToolCallDelta, ToolCallReady
    assert [type(event) for event in events] == [begun, begun, ready, begun, ready]


@pytest.mark.parametrize("figure", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_figures_that_are_no_numbers_count_as_nothing(figure: str) -> None:
    choices = '[{"delta":{"content":"x"},"finish_reason":"stop"}]'
    usage = f'{{"prompt_tokens":{figure},"completion_tokens":7}}'
    frame = f'{{"id":"a","created":{figure},"choices":{choices},"usage":{usage}}}'
    decoder = ResponseDecoder()
    assert list(decoder.feed(f"data: {frame}\n\n".encode())) == [TextDelta(text="x")]
    response = decoder.finish()
    assert (response.created, response.usage) == (0, Usage(output_tokens=7))


def test_a_body_decodes_through_the_same_table() -> None:
    first, second = call(id="call_-7807249954186984837"), call("now", {}, id="call_-7807249954186984838", index=1)
    message = {"content": "Let me see.", "reasoning_content": "Hm", "tool_calls": [first, second]}
    choices = [{"index": 0, "finish_reason": "tool_calls", "message": message}]
    response = decode_body({"id": "b1", "request_id": "b1", "created": 5, "usage": USAGE, "choices": choices})
    assert (response.text, response.reasoning, response.request_id) == ("Let me see.", "Hm", "b1")
    assert [c.id for c in response.tool_calls] == ["call_-7807249954186984837", "call_-7807249954186984838"]
    assert response.usage.total_tokens == 29
    message = {"content": TWO_DAYS}
    response = decode_body(
        {"choices": [{"finish_reason": "stop", "message": message}]}, tools=[WEATHER], request_id="mine"
    )
    assert (response.tool_calls[0].name, response.request_id) == ("weather", "mine")


def test_markup_is_told_to_people_and_left_alone_beside_real_calls_or_a_cut() -> None:
    markup = "<tool_call>weather<arg_key>city</arg_key><arg_value>Pune</arg_value></tool_call>"
    decoder = ResponseDecoder(tools=[WEATHER])
    list(decoder.feed(frames(chunk({"content": markup}), STOP, DONE)))
    decoder.finish()
    assert "'weather'" in decoder.warnings[0]
    for last in (frames(calls(call()), CALLS), frames(chunk({}, finish="length"))):
        _, response = decoded([frames(chunk({"content": markup})) + last])
        assert isinstance(response, ModelResponse)
        assert response.text == markup
        assert all(c.name != "weather" for c in response.tool_calls)


def test_what_nobody_knows_of_a_message_or_a_choice_is_kept() -> None:
    def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
        return {"id": "1", "choices": [{"index": 0, "delta": delta, **choice}]}

    details = [{"type": "reasoning.text", "index": 0, "text": text, "signature": None} for text in ("Two", " and")]
    decoder = ResponseDecoder()
    decoder.receive(chunk({"reasoning_details": details[:1], "refusal": None}))
    decoder.receive(chunk({"reasoning_details": details[1:], "annotations": [{"url": "x"}]}))
    decoder.receive(chunk({"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "ab"}]}))
    decoder.receive(chunk({"content": "5"}, finish_reason="stop", native_finish_reason="eos", logprobs=None))
    assert decoder.finish().extra == {
        "message": {
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Two and", "signature": None},
                {"type": "reasoning.encrypted", "index": 0, "data": "ab"},
            ],
            "annotations": [{"url": "x"}],
        },
        "choice": {"native_finish_reason": "eos"},
    }


def test_markup_is_taken_for_a_call_only_where_the_host_is_known_for_it() -> None:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": MARKED}, "finish_reason": "stop"}]}
    tool = ToolSpec(name="add", description="", parameters={"type": "object", "properties": {}})
    found = []
    for dialect in (DIALECTS["vllm"], DIALECTS["cerebras"]):
        decoder = ResponseDecoder(tools=(tool,), rescues_markup=dialect.rescues_markup)
        decoder.receive(chunk)
        found.append([call.name for call in decoder.finish().tool_calls])
    assert found == [["add"], []]


MARKED = "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"
