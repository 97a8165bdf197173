"""The request's body: what every message becomes, and that what was sent once is sent the same way ever after."""

import gc
import json
import weakref
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    Part,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
    VideoPart,
)
from glm_agent.models.catalog import lookup
from glm_agent.wire import encode
from glm_agent.wire.dialects import DIALECTS
from glm_agent.wire.encode import encode_request

TEXT_MODEL, VISION_MODEL = "glm-5.3", "glm-5.3-flash"
PICTURE = ImagePart(url="data:image/png;base64,AAAA")


def body(*messages: Message, model: str = TEXT_MODEL, host: str = "zai", **more: Any) -> dict[str, Any]:
    request = ModelRequest(model=model, messages=messages, **more)
    text = encode_request(request, capabilities=lookup(model).capabilities, dialect=DIALECTS[host])
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def sent(*messages: Message, **more: Any) -> list[dict[str, Any]]:
    messages_of_body: list[dict[str, Any]] = body(*messages, **more)["messages"]
    return messages_of_body


HI = UserMessage(text="Hi")
ASKED = ModelResponse(
    text="\n",
    reasoning="\nHm",
    model="glm-5.3",
    tool_calls=(ToolCall(id="c1", name="add", arguments='{"a": 1}'), ToolCall(id="c2", name="now", arguments="{}")),
    finish_reason="tool_calls",
)
ANSWERED = (ToolResult(call_id="c1", name="add", content="3"), ToolResult(call_id="c2", name="now", content="noon"))


def test_a_whole_conversation_goes_out_as_the_documents_show_it() -> None:
    assert sent(HI, ASKED, *ANSWERED, instructions="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": "\n",
            "reasoning_content": "\nHm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    ]


@pytest.mark.parametrize("instructions", ["", "  \n"])
def test_no_instructions_are_no_message(instructions: str) -> None:
    assert [message["role"] for message in sent(HI, instructions=instructions)] == ["user"]


def test_only_fields_that_the_server_knows_are_sent() -> None:
    tools = (ToolSpec(name="add", description="d", parameters={"type": "object"}),)
    assert set(body(HI, tools=tools)) == {"model", "stream", "messages", "tools", "thinking"}


# -- thinking in the history


@pytest.mark.parametrize(
    ("wrote", "asked", "is_kept"),
    [
        ("glm-5.3", "glm-5.3", True),
        ("", "glm-5.3", True),
        ("z-ai/glm-5-turbo-20260315", "glm-5-turbo", True),
        ("GLM-4.6", "glm-4.6", True),
        ("glm-5.2", "glm-5.3", False),
        ("gpt-9", "glm-5.3", False),
    ],
)
def test_thinking_goes_back_word_for_word_to_the_model_that_thought_it(wrote: str, asked: str, is_kept: bool) -> None:
    said = sent(HI, ModelResponse(text="x", reasoning="\n Hm ", model=wrote), model=asked)[1]
    assert said.get("reasoning_content") == ("\n Hm " if is_kept else None)


def test_no_thinking_is_no_field() -> None:
    assert "reasoning_content" not in sent(HI, ModelResponse(text="x"))[1]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("openrouter", {"role": "assistant", "content": "x", "reasoning": "Hm"}),
        ("vllm", {"role": "assistant", "content": "x", "reasoning_content": "Hm"}),
        ("cerebras", {"role": "assistant", "content": "<think>Hm</think>x"}),
    ],
)
def test_every_host_gets_the_thinking_where_it_looks_for_it(host: str, expected: dict[str, str]) -> None:
    assert sent(HI, ModelResponse(text="x", reasoning="Hm"), host=host)[1] == expected


# -- what servers refuse


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_user_message_gets_words(text: str) -> None:
    assert sent(UserMessage(text=text))[0]["content"].strip()
    (_, words) = sent(UserMessage(text=text, attachments=(PICTURE,)), model=VISION_MODEL)[0]["content"]
    assert words["text"].strip()


def test_an_answer_without_words_or_calls_is_not_empty() -> None:
    assert sent(HI, ModelResponse(reasoning="Hm"))[1]["content"]
    assert sent(HI, replace(ASKED, text=""))[1]["content"] == ""


def test_a_result_without_words_gets_some() -> None:
    assert sent(HI, ASKED, ToolResult(call_id="c1"))[2]["content"]


@pytest.mark.parametrize("history", [(), (ModelResponse(text="x"),), (ASKED, *ANSWERED, HI)])
def test_a_conversation_that_no_user_began_begins_with_one(history: tuple[Message, ...]) -> None:
    assert [message["role"] for message in sent(*history, instructions="s")][:2] == ["system", "user"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"a": 2, "b"', {"a": 2}), ("nonsense", {}), ("", {}), ("[1]", {}), ('{"a":NaN}', {"a": None}), ("null", {})],
)
def test_broken_arguments_in_the_history_do_not_break_every_later_request(arguments: str, expected: Any) -> None:
    said = sent(HI, ModelResponse(tool_calls=(ToolCall(id="c", name="f", arguments=arguments),)))[1]
    assert json.loads(said["tool_calls"][0]["function"]["arguments"]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.b c", "a_b_c"),
        ("", "unnamed"),
        ("x" * 99, "x" * 64),
        ("ok", "ok"),
        ("add<arg_key>a</arg_key>", "add"),
        ("<tool_call>add", "add"),
        ("<b>", "_b_"),
    ],
)
def test_a_name_that_the_model_made_up_is_sent_in_letters_that_pass(name: str, expected: str) -> None:
    said = sent(HI, ModelResponse(tool_calls=(ToolCall(id="c", name=name, arguments="{}"),)))[1]
    assert said["tool_calls"][0]["function"]["name"] == expected


def test_lone_surrogates_are_replaced_everywhere() -> None:
    bad = "a\ud800b"
    calls = (ToolCall(id=bad, name="f", arguments='{"x":"' + bad + '"}'),)
    history = (
        UserMessage(text=bad),
        ModelResponse(text=bad, reasoning=bad, tool_calls=calls),
        ToolResult(call_id=bad, content=bad),
    )
    tools = (ToolSpec(name="f", description=bad, parameters={bad: bad}),)
    text = json.dumps(body(*history, instructions=bad, tools=tools), ensure_ascii=False)
    assert text.encode().count("a\ufffdb".encode()) == 11


# -- pictures and the like


PARTS: list[tuple[Part, dict[str, Any]]] = [
    (PICTURE, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
    (VideoPart(url="https://x/v.mp4"), {"type": "video_url", "video_url": {"url": "https://x/v.mp4"}}),
    (FilePart(url="https://x/f.pdf"), {"type": "file_url", "file_url": {"url": "https://x/f.pdf"}}),
]


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_a_vision_model_gets_the_part_and_a_text_model_is_refused_it(part: Part, expected: dict[str, Any]) -> None:
    message = UserMessage(text="What is it?", attachments=(part,))
    assert sent(message, model=VISION_MODEL)[0]["content"] == [expected, {"type": "text", "text": "What is it?"}]
    assert sent(message, model="glm-9-unheard-of")[0]["content"][0] == expected
    with pytest.raises(ConfigurationError, match=rf"'glm-5.3' cannot read the {part.kind}"):
        sent(message)


def test_a_voice_model_gets_sound() -> None:
    message = UserMessage(text="Listen", attachments=(AudioPart(data="QQ==", format="mp3"),))
    (part, _) = sent(message, model="glm-4-voice")[0]["content"]
    assert part == {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}}
    with pytest.raises(ConfigurationError, match="audio"):
        sent(message, model=VISION_MODEL)


def test_files_and_pictures_do_not_share_a_message() -> None:
    mixed = (PICTURE, FilePart(url="https://x/f.pdf"))
    with pytest.raises(ConfigurationError, match="two messages"):
        sent(UserMessage(text="x", attachments=mixed), model=VISION_MODEL)
    results = ToolResult(call_id="c1", content="two", attachments=mixed)
    after = sent(HI, ASKED, results, ANSWERED[1], model=VISION_MODEL)[4:]
    assert [part["type"] for message in after for part in message["content"]] == [
        "file_url",
        "text",
        "image_url",
        "text",
    ]


def test_what_tools_return_beside_text_follows_in_a_user_message_after_the_last_result() -> None:
    shot = ToolResult(call_id="c1", content="done", attachments=(PICTURE,))
    history = (HI, ASKED, shot, ANSWERED[1], UserMessage(text="So?"))
    messages = sent(*history, model=VISION_MODEL)
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "done\n[image: see the next user message]"
    assert messages[4]["content"][0]["type"] == "image_url"
    assert "'c1'" in messages[4]["content"][1]["text"]


def test_a_text_model_is_told_what_it_cannot_see() -> None:
    messages = sent(HI, ASKED, ToolResult(call_id="c1", attachments=(PICTURE,)), ANSWERED[1])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[2]["content"] == "[image left out: model 'glm-5.3' cannot read it]"


# -- tools


def spec(name: str) -> ToolSpec:
    return ToolSpec(name=name, description="d", parameters={"type": "object", "properties": {}})


def test_tools_go_out_in_their_order_hosted_ones_last() -> None:
    hosted = {"type": "web_search", "web_search": {"enable": True}}
    settings = ModelSettings(hosted_tools=(hosted,))
    tools = body(HI, tools=(spec("b"), spec("a")), settings=settings)["tools"]
    assert tools[0] == {
        "type": "function",
        "function": {"name": "b", "description": "d", "parameters": {"type": "object", "properties": {}}},
    }
    assert tools[1]["function"]["name"] == "a"
    assert tools[2] == hosted
    assert body(HI, settings=settings)["tools"] == [hosted]
    assert "tools" not in body(HI, settings=settings, host="openrouter")
    assert "tools" not in body(HI)


def test_more_tools_than_the_server_takes_are_refused() -> None:
    assert len(body(HI, tools=tuple(spec(f"t{i}") for i in range(128)))["tools"]) == 128
    with pytest.raises(ConfigurationError, match=r"129 tools .* at most 128"):
        body(HI, tools=tuple(spec(f"t{i}") for i in range(129)))


@pytest.mark.parametrize("name", ["", "a.b", "ä", "x" * 65])
def test_a_tool_whose_name_the_server_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 64 letters"):
        body(HI, tools=(spec(name),))


# -- bytes


def test_the_request_id_is_last_and_the_only_difference() -> None:
    request = ModelRequest(model=TEXT_MODEL, messages=(HI,))
    plain, first = encode_request(request), encode_request(request, request_id="id-000001")
    assert first == plain[:-1] + b',"request_id":"id-000001"}'
    assert encode_request(request, request_id="x" * 9, dialect=DIALECTS["vllm"]) == encode_request(
        request, dialect=DIALECTS["vllm"]
    )


def test_the_model_can_be_spelled_as_the_host_does() -> None:
    request = ModelRequest(model="glm-5.3", messages=(HI, ModelResponse(text="x", reasoning="Hm", model="glm-5.3")))
    decoded = json.loads(encode_request(request, model="z-ai/glm-5.3", stream=False))
    assert (decoded["model"], decoded["stream"]) == ("z-ai/glm-5.3", False)
    assert decoded["messages"][1]["reasoning_content"] == "Hm"


def test_without_a_stream_nothing_is_said_about_one() -> None:
    request = ModelRequest(
        model="glm-5.3", messages=(HI,), tools=(spec("t"),), settings=ModelSettings(tool_stream=True)
    )
    decoded = json.loads(encode_request(request, dialect=DIALECTS["vllm"], stream=False))
    assert "stream_options" not in decoded
    assert "stream_options" in json.loads(encode_request(request, dialect=DIALECTS["vllm"]))
    assert "tool_stream" not in json.loads(encode_request(request, stream=False))
    assert json.loads(encode_request(request))["tool_stream"] is True


TEXTS = st.text(max_size=8)
ATTACHMENTS = st.sampled_from([(), (), (), (PICTURE,)])
USERS = st.builds(UserMessage, text=TEXTS, attachments=ATTACHMENTS)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    history: list[Message] = []
    for step in range(draw(st.integers(0, 4))):
        history += draw(st.lists(USERS, max_size=2))
        names = draw(st.lists(st.sampled_from(["add", "now", "odd name"]), max_size=3))
        calls = tuple(ToolCall(id=f"{step}.{i}", name=name, arguments=draw(TEXTS)) for i, name in enumerate(names))
        history.append(ModelResponse(text=draw(TEXTS), reasoning=draw(TEXTS), tool_calls=calls))
        history += [ToolResult(call_id=c.id, content=draw(TEXTS), attachments=draw(ATTACHMENTS)) for c in calls]
    return tuple(history)


def messages_of(history: tuple[Message, ...], *, model: str = VISION_MODEL) -> bytes:
    request = ModelRequest(model=model, instructions="s", messages=history)
    text = encode_request(request, capabilities=lookup(model).capabilities)
    return text[text.index(b'"messages":') :].removesuffix(b"]}")


def is_boundary(history: tuple[Message, ...], at: int) -> bool:
    """Whether a request can be sent here: every call has its result."""
    return at == len(history) or not isinstance(history[at], ToolResult)


@given(histories())
def test_the_prefix_of_a_growing_conversation_never_changes(history: tuple[Message, ...]) -> None:
    bodies = [messages_of(history[:at]) for at in range(1, len(history) + 1) if is_boundary(history, at)]
    for shorter, longer in pairwise(bodies):
        assert longer.startswith(shorter)


@given(histories())
def test_every_body_keeps_the_rules_of_the_wire(history: tuple[Message, ...]) -> None:
    messages = json.loads(messages_of(history).removeprefix(b'"messages":') + b"]")
    assert messages[0]["role"] == "system"
    assert messages[1]["role"] == "user"
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
        else:
            assert not open_calls
            open_calls = [call["id"] for call in message.get("tool_calls", ())]
        assert message["content"] or open_calls
        for call in message.get("tool_calls", ()):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)


@given(histories())
def test_bytes_that_were_kept_are_the_bytes_that_would_be_made(history: tuple[Message, ...]) -> None:
    assert messages_of(history) == messages_of(history)
    fresh = tuple(replace(message) for message in history)
    assert messages_of(fresh) == messages_of(history)


def test_models_and_hosts_do_not_share_the_bytes_of_a_message() -> None:
    said = ModelResponse(text="x", reasoning="Hm", model="glm-5.3")
    assert "reasoning_content" in sent(HI, said)[1]
    assert "reasoning_content" not in sent(HI, said, model="glm-5.2")[1]
    assert "reasoning" in sent(HI, said, host="openrouter")[1]
    assert "reasoning_content" in sent(HI, said)[1]


def test_a_message_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(encode, "dumps", lambda value: written.append(value) or json.dumps(value).encode())
    history = (UserMessage(text="once"), ModelResponse(text="only"))
    for _ in range(3):
        body(*history)
    assert [value["content"] for value in written if "content" in value] == ["once", "only"]


def test_kept_bytes_go_with_their_message() -> None:
    message = UserMessage(text="gone")
    kept = encode._writer(TEXT_MODEL, lookup(TEXT_MODEL).capabilities, DIALECTS["zai"])._message._kept
    body(message)
    watch, before = weakref.ref(message), len(kept)
    del message
    gc.collect()
    assert watch() is None
    assert len(kept) < before


def test_the_tools_that_are_sent_are_those_of_the_request_whichever_came_before() -> None:
    def names(*tools: ToolSpec) -> list[str]:
        request = ModelRequest(model="glm-4.7", messages=(UserMessage(text="?"),), tools=tools)
        return [tool["function"]["name"] for tool in json.loads(encode_request(request)).get("tools", [])]

    one, other = (ToolSpec(name=name, description="", parameters={"type": "object"}) for name in ("one", "other"))
    like_one = replace(one, parameters={"type": "object", "properties": {"a": {"default": True}}})
    for tools in ((one,), (one, other), (other, one), (), (other,), (one, other)):
        assert names(*tools) == [tool.name for tool in tools]
    request = ModelRequest(model="glm-4.7", messages=(UserMessage(text="?"),), tools=(one,))
    assert encode_request(request) != encode_request(replace(request, tools=(like_one,)))
