"""What the simulated service accepts and refuses: one request for each rule, and anything at all."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.simulate.service import RULES, authenticate, check
from glm_agent.simulate.service_models import MODELS
from glm_agent.simulate.service_rules import Refused

Body = dict[str, Any]

TOOL: Body = {
    "type": "function",
    "function": {
        "name": "stock",
        "description": "Units in stock.",
        "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
    },
}
CALL: Body = {"id": "call_1", "type": "function", "function": {"name": "stock", "arguments": '{"sku":"A-17"}'}}
PICTURE: Body = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
USER: Body = {"role": "user", "content": "How many?"}


def request(**fields: Any) -> Body:
    return {"model": "glm-4.7", "messages": [USER], **copy.deepcopy(fields)}


def said(*messages: Body, **fields: Any) -> Body:
    return request(messages=[USER, *messages], **fields)


def shown(parts: list[Body], *, model: str = "glm-4.6v") -> Body:
    return request(model=model, messages=[{"role": "user", "content": parts}])


def picture(data: str) -> Body:
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def asked_to_call(*calls: Body, **fields: Any) -> Body:
    return {"role": "assistant", "content": "", "tool_calls": [*calls], **fields}


def function(**fields: Any) -> Body:
    return {"type": "function", "function": {**TOOL["function"], **fields}}


RESULT: Body = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
LOOP = [asked_to_call(CALL), RESULT]

ACCEPTED: dict[str, Body] = {
    "the least": request(),
    "all fields": request(
        model="glm-5.2",
        stream=True,
        tool_stream=True,
        thinking={"type": "enabled", "clear_thinking": False},
        reasoning_effort="minimal",
        do_sample=False,
        temperature=0,
        top_p=0.01,
        max_tokens=131_072,
        stop=["END"],
        tools=[TOOL],
        tool_choice="auto",
        response_format={"type": "json_object"},
        request_id="request-1",
        user_id="user-01",
        sensitive_word_check={"type": "ALL", "status": "DISABLE"},
    ),
    "nulls of zai-sdk": request(response_format=None, thinking=None),
    "stream_options, recorded": request(stream=True, stream_options={"include_usage": True}),
    "strict in a function, recorded": request(tools=[function(strict=False)]),
    "several system messages": request(messages=[{"role": "system", "content": "a"}] * 3 + [USER]),
    "a loop": said(*LOOP),
    "a loop with thinking": said({**asked_to_call(CALL), "reasoning_content": "Hm."}, RESULT),
    "null content beside calls": said({**asked_to_call(CALL), "content": None}, RESULT),
    "index in a replayed call": said(asked_to_call({**CALL, "index": 0}), RESULT),
    "parallel calls, results in any order": said(
        asked_to_call(CALL, {**CALL, "id": "call_2"}), {**RESULT, "tool_call_id": "call_2"}, RESULT
    ),
    "the same id in the next step": said(*LOOP, *LOOP),
    "the same id twice in a step": said(asked_to_call(CALL, CALL), RESULT, RESULT),
    "an empty result": said(asked_to_call(CALL), {**RESULT, "content": ""}),
    "text parts to a text model": request(messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
    "a picture to a model that sees": request(
        model="glm-4.6v", messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, PICTURE]}]
    ),
    "no properties": request(tools=[function(parameters={"type": "object", "properties": {}, "required": []})]),
    "a reference in a schema": request(
        tools=[function(parameters={"type": "object", "$defs": {"a": {}}, "properties": {"x": {"$ref": "#/$defs/a"}}})]
    ),
    "128 tools": request(tools=[function(name=f"t{n}") for n in range(128)]),
    "a hosted search": request(tools=[{"type": "web_search", "web_search": {"search_engine": "search_pro"}}]),
    "low effort on 5.3": request(model="glm-5.3", reasoning_effort="low"),
    "any effort where it is ignored": request(reasoning_effort="high"),
    "a simulated model": request(model="simulate:directive"),
}

REFUSED: dict[str, tuple[str, str, Body]] = {
    # what is wrong: (rule, code, request)
    "no model": ("fields.required", "1213", {"messages": [USER]}),
    "no messages": ("fields.required", "1213", {"model": "glm-4.7"}),
    "messages null": ("fields.required", "1213", request(messages=None)),
    "messages a text": ("fields.type", "1214", request(messages="Hi")),
    "stream a text": ("fields.type", "1214", request(stream="yes")),
    "temperature a text": ("fields.type", "1214", request(temperature="0.5")),
    "temperature true": ("fields.type", "1214", request(temperature=True)),
    "max_tokens a fraction": ("fields.type", "1214", request(max_tokens=1.5)),
    "stop a text": ("fields.type", "1214", request(stop="END")),
    "tools an object": ("fields.type", "1214", request(tools={})),
    "unknown model": ("model.known", "1211", request(model="gpt-4o")),
    "model in capitals": ("model.known", "1211", request(model="GLM-4.7")),
    "unknown field": ("fields.known", "1210", request(temprature=0.5)),
    "parallel_tool_calls": ("fields.known", "1210", request(parallel_tool_calls=True)),
    "max_completion_tokens": ("fields.known", "1210", request(max_completion_tokens=5)),
    "n": ("fields.known", "1210", request(n=1)),
    "temperature above 1": ("fields.range", "1214", request(temperature=1.1)),
    "temperature below 0": ("fields.range", "1214", request(temperature=-0.1)),
    "top_p of 0": ("fields.range", "1214", request(top_p=0)),
    "temperature no number": ("fields.range", "1214", request(temperature=float("nan"))),
    "short request_id": ("fields.length", "1214", request(request_id="12345")),
    "long request_id": ("fields.length", "1214", request(request_id="x" * 65)),
    "short user_id": ("fields.length", "1214", request(user_id="u")),
    "max_tokens 0": ("max_tokens.range", "1214", request(max_tokens=0)),
    "max_tokens above the model's": ("max_tokens.range", "1214", request(model="glm-4.5", max_tokens=98_305)),
    "five stop words": ("stop.words", "1214", request(stop=list("abcde"))),
    "a stop word of no type": ("stop.words", "1214", request(stop=[1])),
    "json_schema": ("response_format", "1214", request(response_format={"type": "json_schema"})),
    "thinking of no type": ("thinking.fields", "1214", request(thinking={"type": "auto"})),
    "thinking with a budget": ("thinking.fields", "1214", request(thinking={"type": "enabled", "budget": 5})),
    "thinking off on 5.3": ("thinking.forced", "1210", request(model="glm-5.3-flash", thinking={"type": "disabled"})),
    "medium effort on 5.3": ("thinking.effort", "1210", request(model="glm-5.3", reasoning_effort="medium")),
    "no messages at all": ("messages.shape", "1214", request(messages=[])),
    "a message of no role": ("messages.shape", "1214", request(messages=[{"content": "Hi"}])),
    "developer": ("messages.shape", "1214", request(messages=[{"role": "developer", "content": "Hi"}, USER])),
    "a text for a message": ("messages.shape", "1214", request(messages=["Hi"])),
    "only a system message": ("messages.user", "1214", request(messages=[{"role": "system", "content": "Hi"}])),
    "a name": ("messages.keys", "1210", request(messages=[{**USER, "name": "Ann"}])),
    "an empty user message": ("messages.content", "1214", request(messages=[{"role": "user", "content": ""}])),
    "content a number": ("messages.content", "1214", request(messages=[{"role": "user", "content": 5}])),
    "a result without content": ("messages.content", "1214", said(asked_to_call(CALL), {**RESULT, "content": None})),
    "a picture to a text model": ("parts.type", "1210", request(messages=[{"role": "user", "content": [PICTURE]}])),
    "a picture in a result": (
        "parts.type",
        "1210",
        said(asked_to_call(CALL), {**RESULT, "content": [PICTURE]}, model="glm-4.6v"),
    ),
    "an empty text beside a picture": (
        "parts.value",
        "1210",
        request(model="glm-4.6v", messages=[{"role": "user", "content": [{"type": "text", "text": ""}, PICTURE]}]),
    ),
    "a picture without address": (
        "parts.value",
        "1210",
        request(model="glm-4.6v", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]),
    ),
    "too many pictures": ("parts.images", "1210", shown([PICTURE] * 6, model="glm-4v-plus-0111")),
    "a picture too large": ("parts.images", "1210", shown([picture("A" * 7_000_000)])),
    "a picture as data where links are wanted": (
        "parts.images",
        "1210",
        shown([picture("AAAA")], model="glm-4v-flash"),
    ),
    "a video as data": ("parts.links", "1210", shown([{"type": "video_url", "video_url": {"url": "AAAA"}}])),
    "a sound of another kind": (
        "parts.sound",
        "1210",
        shown([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "ogg"}}], model="glm-4-voice"),
    ),
    "a word check of another kind": ("word_check", "1214", request(sensitive_word_check={"type": "SOME"})),
    "a role that is none": ("meta", "1214", request(model="charglm-4", meta={"user": "A"})),
    "a file beside a picture": (
        "parts.exclusive",
        "1215",
        request(
            model="glm-4.6v",
            messages=[
                {"role": "user", "content": [PICTURE, {"type": "file_url", "file_url": {"url": "https://a.b/c"}}]}
            ],
        ),
    ),
    "an assistant that says nothing": ("assistant.empty", "1214", said({"role": "assistant", "content": ""})),
    "an assistant that only thinks": (
        "assistant.empty",
        "1214",
        said({"role": "assistant", "content": "", "reasoning_content": "Hm."}),
    ),
    "arguments as an object": (
        "calls.shape",
        "1214",
        said(asked_to_call({**CALL, "function": {"name": "stock", "arguments": {}}}), RESULT),
    ),
    "a call without id": ("calls.shape", "1214", said(asked_to_call({**CALL, "id": ""}), RESULT)),
    "broken arguments": (
        "calls.arguments",
        "1210",
        said(asked_to_call({**CALL, "function": {"name": "stock", "arguments": '{"sku": "A'}}), RESULT),
    ),
    "empty arguments": (
        "calls.arguments",
        "1210",
        said(asked_to_call({**CALL, "function": {"name": "stock", "arguments": ""}}), RESULT),
    ),
    "a call without result": ("calls.results", "1210", said(asked_to_call(CALL))),
    "a call without result, then talk": ("calls.results", "1210", said(asked_to_call(CALL), USER)),
    "one of two results": ("calls.results", "1210", said(asked_to_call(CALL, {**CALL, "id": "call_2"}), RESULT)),
    "a result without call": ("calls.results", "1210", said(RESULT)),
    "a result twice": ("calls.results", "1210", said(asked_to_call(CALL), RESULT, RESULT)),
    "a result without id": (
        "calls.results",
        "1210",
        said(asked_to_call(CALL), {"role": "tool", "content": "3"}),
    ),
    "a tool of no type": ("tools.shape", "1214", request(tools=[{"function": TOOL["function"]}])),
    "a tool with strict beside it": ("tools.shape", "1214", request(tools=[{**TOOL, "strict": True}])),
    "129 tools": ("tools.number", "1214", request(tools=[function(name=f"t{n}") for n in range(129)])),
    "a dot in a name": ("tools.name", "1214", request(tools=[function(name="server.tool")])),
    "a name of 65 characters": ("tools.name", "1214", request(tools=[function(name="x" * 65)])),
    "a name with a line break": ("tools.name", "1214", request(tools=[function(name="stock\n")])),
    "no description": ("tools.fields", "1210", request(tools=[function(description=None)])),
    "no parameters": ("tools.fields", "1210", request(tools=[function(parameters=None)])),
    "an unknown key in a function": ("tools.fields", "1210", request(tools=[function(returns={})])),
    "properties false": ("tools.schema", "1210", request(tools=[function(parameters={"properties": False})])),
    "root of an array": ("tools.schema", "1210", request(tools=[function(parameters={"type": "array"})])),
    "a type null deep inside": (
        "tools.schema",
        "1210",
        request(tools=[function(parameters={"type": "object", "properties": {"a": {"items": {"type": None}}}})]),
    ),
    "a search engine nobody knows": (
        "tools.hosted",
        "1214",
        request(tools=[{"type": "web_search", "web_search": {"search_engine": "altavista"}}]),
    ),
    "tool_choice required": ("tool_choice", "1210", request(tools=[TOOL], tool_choice="required")),
    "tool_choice none": ("tool_choice", "1210", request(tools=[TOOL], tool_choice="none")),
    "a named tool_choice": (
        "tool_choice",
        "1210",
        request(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "stock"}}),
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_it_accepts(name: str) -> None:
    check(ACCEPTED[name])


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    rule_id, code, body = REFUSED[name]
    with pytest.raises(Refused) as refused:
        check(body)
    assert (refused.value.status, refused.value.code) == (400, code)
    (rule,) = (rule for rule in RULES if rule.id == rule_id)
    assert rule.code == code
    assert refused.value.message in list(rule.find(_asked(body)))


def test_every_rule_has_a_request_that_breaks_it() -> None:
    assert {rule.id for rule in RULES} == {rule_id for rule_id, _, _ in REFUSED.values()}
    assert all(rule.sentence and rule.source for rule in RULES)


def test_the_coding_endpoint_forgives_about_thinking() -> None:
    check(request(model="glm-5.3", thinking={"type": "disabled"}, reasoning_effort="medium"), is_coding=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_takes_its_own_limit_and_not_one_more(model: str) -> None:
    check(request(model=model, max_tokens=MODELS[model].max_output))
    with pytest.raises(Refused):
        check(request(model=model, max_tokens=MODELS[model].max_output + 1))


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "1001"),
        ({"authorization": ""}, "1001"),
        ({"authorization": "Bearer "}, "1000"),
        ({"authorization": "Basic a b"}, "1000"),
    ],
)
def test_it_wants_a_key(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        authenticate(headers)
    assert (refused.value.status, refused.value.code) == (401, code)


@pytest.mark.parametrize("value", ["Bearer id.secret", "bearer id.secret", "id.secret", "Bearer  id.secret"])
def test_it_takes_a_key_with_and_without_bearer(value: str) -> None:
    assert authenticate({"authorization": value}) == "id.secret"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in _paths(item, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    changed = copy.copy(value)
    changed[path[0]] = _replaced(value[path[0]], path[1:], by)
    return changed


@given(st.data())
def test_whatever_comes_is_accepted_or_refused(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from([*ACCEPTED.values()]))
    path = data.draw(st.sampled_from(_paths(body)))
    broken = _replaced(body, path, data.draw(JSON))
    with contextlib.suppress(Refused):
        check(json.loads(json.dumps(broken)))


def _asked(body: Body) -> Any:
    from glm_agent.simulate.service_rules import Asked

    return Asked(body=body)
