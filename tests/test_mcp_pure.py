"""Framing, repairs, cleaning, arguments: the pure rooms of MCP."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent.errors import ToolError
from glm_agent.mcp import sanitize
from glm_agent.mcp.arguments import read_arguments
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.event_stream import Events, StreamEvent
from glm_agent.mcp.failure import hint, missing_program, sentence, shown
from glm_agent.mcp.framing import Lines, Spread, TooLong
from glm_agent.mcp.normalize import answered_id, repair_messages, repair_result
from glm_agent.mcp.process import environment

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


# -- framing --------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], step: int) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    reader = Lines()
    out = [line for at in range(0, len(stream), step) for line in reader.feed(stream[at : at + step])]
    assert out == lines
    assert reader.rest() == b"rest"


@given(st.integers(1, 300))
def test_a_line_above_the_cap_is_dropped_and_the_next_one_is_not(step: int) -> None:
    long = b'{"jsonrpc":"2.0","id":7,"result":"' + b"x" * 1000 + b'"}'
    stream = long + b"\nnext\n"
    reader = Lines(limit=500)
    first, second = [line for at in range(0, len(stream), step) for line in reader.feed(stream[at : at + step])]
    assert isinstance(first, TooLong)
    assert first.size == len(long)
    assert answered_id(first) == 7
    assert second == b"next"


def put_together(text: str) -> list[Any]:
    spread = Spread()
    return [json.loads(found) for line in text.encode().split(b"\n") if (found := spread.feed(line)) is not None]


@given(st.dictionaries(st.text(max_size=5), JSON), st.integers(0, 4))
def test_a_message_on_several_lines_is_put_together(message: dict[str, Any], indent: int) -> None:
    text = json.dumps(message, indent=indent)
    assert put_together(text + "\n" + text) == [message, message]


@given(st.lists(st.dictionaries(st.text(max_size=5), JSON), min_size=1, max_size=3))
def test_a_batch_on_several_lines_is_put_together(batch: list[dict[str, Any]]) -> None:
    assert put_together(json.dumps(batch, indent=1)) == [batch]


@pytest.mark.parametrize("line", [b"[INFO] ready {", b"[12:00] {", b"words", b'"text {', b"42", b"[1,"])
def test_a_line_of_a_log_begins_no_message(line: bytes) -> None:
    assert Spread().feed(line) == line


def test_a_message_that_never_ends_is_given_up_at_the_cap_and_found_words_are_given_back() -> None:
    spread = Spread(limit=100)
    assert [spread.feed(b"{") for _ in range(50)] == [None] * 50
    assert spread.feed(b"{" * 9) == b"\n".join([b"{"] * 50 + [b"{" * 9])
    assert spread.feed(b"{") is None
    assert spread.dropped() == b"{"


def test_strings_of_a_message_on_several_lines_may_hold_anything() -> None:
    spread = Spread()
    lines = [b"{", b'"a\\"}": "}]}\\\\",', b'"b": "{{[[" }']
    assert [spread.feed(line) for line in lines] == [None, None, b"\n".join(lines)]


def test_a_line_of_open_strings_is_read_once() -> None:
    spread = Spread()
    spread.feed(b"{")
    assert spread.feed(b'\\"' * 500_000) is None  # takes minutes where each quote is tried to the end of the line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":12,"result":{}', 12),
        (b'{"id": "a-1", "jsonrpc": "2.0", "result":{}', "a-1"),
        (b'{"result":"x","jsonrpc":"2.0","id":5}', 5),
        (b'{"result":{"id":3,"x":[]},"jsonrpc":"2.0"}', None),
    ],
)
def test_the_answered_request_is_found_at_either_end(text: bytes, expected: object) -> None:
    assert answered_id(TooLong(head=text[:256], tail=text[-256:], size=len(text))) == expected


# -- events ---------------------------------------------------------------------------------------------


def fed(stream: bytes, step: int, *, limit: int = 1 << 20) -> list[StreamEvent]:
    events = Events(limit=limit)
    return [event for at in range(0, len(stream), step) for event in events.feed(stream[at : at + step])]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(step=st.integers(1, 30))
def test_events_come_out_whole_whatever_ends_their_lines_and_however_they_are_cut(end: bytes, step: int) -> None:
    lines = [b"\xef\xbb\xbfevent: endpoint", b"data: /x", b"", b": quiet", b"", b"data:a", b"data: b", b"id: 3", b""]
    found = [(event.name, event.data) for event in fed(end.join([*lines, b"data: cut off"]), step)]
    assert found == [("endpoint", b"/x"), ("message", b"a\nb")]


@given(step=st.integers(1, 300), is_spread=st.booleans())
def test_an_event_above_the_cap_keeps_its_ends_and_the_next_one_is_whole(step: int, is_spread: bool) -> None:
    text = '{"jsonrpc":"2.0","id":7,"result":"' + "x" * 400 + '"}'
    data = (
        "".join(f"data: {text[at : at + 99]}\n" for at in range(0, len(text), 99)) if is_spread else f"data: {text}\n"
    )
    long, short = fed(f"event: message\n{data}\ndata: next\n\n".encode(), step, limit=200)
    assert isinstance(long.data, TooLong)
    assert answered_id(long.data) == 7
    assert (long.name, short) == ("message", StreamEvent(name="message", data=b"next"))


# -- repairs --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["tools/list", "tools/call", "initialize", "other"]),
    st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    st.booleans(),
)
def test_repairing_any_result_leaves_json_and_does_not_fail(
    method: str, result: dict[str, Any], is_modern: bool
) -> None:
    for key in ("tools", "content"):
        result.setdefault(key, [result.get("x"), {"name": "n", "inputSchema": result.get("x")}, {"type": "text"}])
    repair_result(method, result, is_modern=is_modern, is_valid=lambda _: False)
    json.dumps(result)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_repaired_messages_are_always_objects_with_a_version(data: object) -> None:
    assert all(message["jsonrpc"] == "2.0" for message in repair_messages(data))


def test_one_refused_tool_costs_that_tool() -> None:
    def is_valid(result: dict[str, Any]) -> bool:
        return all(tool["name"] != "bad" for tool in result["tools"])

    result: dict[str, Any] = {"tools": [{"name": "good"}, {"name": "bad"}], "nextCursor": ""}
    notes = repair_result("tools/list", result, is_modern=False, is_valid=is_valid)
    assert [tool["name"] for tool in result["tools"]] == ["good"]
    assert notes == ["the tool 'bad' is malformed and was left out"]
    assert "nextCursor" not in result


def test_a_modern_result_without_a_type_is_complete_and_an_open_one_is_left_alone() -> None:
    result: dict[str, Any] = {"content": []}
    repair_result("tools/call", result, is_modern=True, is_valid=lambda _: True)
    assert result["resultType"] == "complete"
    asks = {"resultType": "input_required", "inputRequests": {}}
    repair_result("tools/call", asks, is_modern=True, is_valid=lambda _: True)
    assert "content" not in asks


# -- cleaning -------------------------------------------------------------------------------------------


def test_descriptions_lose_what_people_cannot_see() -> None:
    hidden = "See\u200b \x1b[31mred\x1b[0m\U000e0041\U000e0042\u202e it.\x07"
    assert sanitize.description(hidden) == "See red it."
    assert len(sanitize.description("x" * 9000)) == sanitize.MAX_DESCRIPTION


def test_results_keep_data_and_lose_terminal_codes_and_lone_surrogates() -> None:
    assert sanitize.content("a\tb\r\n\x1b[2J👨‍👩‍👧 \ud800") == "a\tb\r\n👨‍👩‍👧 \ufffd"


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_plain_text_is_cleaned_as_any_other(text: str) -> None:
    assert sanitize.content(f"é{text}") == f"é{sanitize.content(text)}"


@given(st.text(max_size=30))
def test_what_is_clean_stays_the_same_object(text: str) -> None:
    clean = f"é{sanitize.content(text)}"
    assert sanitize.content(clean) is clean


def test_schemas_are_cleaned_in_their_prose_only() -> None:
    schema = {"properties": {"a\u200b": {"description": "x\u200by", "enum": ["p\u200bq"]}}}
    assert sanitize.schema(schema) == {"properties": {"a\u200b": {"description": "xy", "enum": ["p\u200bq"]}}}


@given(st.text())
def test_cleaned_text_is_stable_and_can_be_written(text: str) -> None:
    cleaned = sanitize.content(text)
    cleaned.encode()
    assert sanitize.description(sanitize.description(text)) == sanitize.description(text)


# -- arguments ------------------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "items": {"type": "array"},
        "flag": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "text": {"type": "string"},
        "any": {},
    },
    "required": ["n"],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("null", {}),
        ('{"n": 1}', {"n": 1}),
        ('"{\\"n\\": 1}"', {"n": 1}),
        ('{"n": "12", "items": "[1]", "flag": "True"}', {"n": 12, "items": [1], "flag": True}),
        ('{"n": "1.5", "items": "no", "any": "3"}', {"n": "1.5", "items": "no", "any": "3"}),
        ('{"n": "true"}', {"n": "true"}),
        ('{"text": "12", "items": null, "flag": null}', {"text": "12", "flag": None}),
        ('{"n": null}', {"n": None}),
    ],
)
def test_arguments_are_mended_where_nothing_is_lost(text: str, expected: object) -> None:
    assert read_arguments(text, SCHEMA) == expected


@pytest.mark.parametrize("text", ['{"n": 1', "[1]", '{"n": NaN}', "words"])
def test_arguments_that_are_no_object_are_refused_with_advice(text: str) -> None:
    with pytest.raises(ToolError, match="Nothing was run"):
        read_arguments(text, SCHEMA)


# -- processes and failures -----------------------------------------------------------------------------


def test_a_server_sees_harmless_variables_and_its_own() -> None:
    own = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "ZAI_API_KEY": "secret", "VIRTUAL_ENV": "/v"}
    env = environment({"KEY": "k", "HOME": "/other"}, own)
    assert env["PATH"].startswith("/bin")
    assert (env["KEY"], env["HOME"], env["LC_ALL"]) == ("k", "/other", "C")
    assert "ZAI_API_KEY" not in env


@pytest.mark.parametrize(
    ("command", "advice"),
    [("npx", "Node.js"), ("uvx", "pip install uv"), ("/opt/x/docker", "Docker"), ("own", "full path")],
)
def test_a_missing_program_is_named_with_how_to_get_it(command: str, advice: str) -> None:
    said = missing_program(ServerConfig(name="s", command=command), FileNotFoundError(2, "No such file", command))
    assert repr(command) in said
    assert advice in said


def test_a_missing_folder_is_not_taken_for_a_missing_program() -> None:
    config = ServerConfig(name="s", command="x", cwd="/none")
    assert "folder '/none' does not exist" in missing_program(config, FileNotFoundError(2, "No", "/none"))


def test_sentences_hide_what_the_configuration_keeps_secret() -> None:
    config = ServerConfig(
        name="s", command="x", env={"KEY": "hunter22"}, headers={"Authorization": "Bearer tokentoken"}
    )
    said = sentence(config, "it ended", returncode=1, words=["bad key hunter22", "\x1b[1mtokentoken"])
    assert "hunter22" not in said
    assert "tokentoken" not in said
    assert "it ended; it exited with code 1." in said


def test_a_difference_at_the_end_of_a_sentence_stays_as_it_is() -> None:
    assert sentence(ServerConfig(name="s", command="x"), "it changed\n- a {\n+ b {").endswith("+ b {")


@pytest.mark.parametrize(
    "args",
    [
        ["--api-key", "hunter22"],
        ["--token=hunter22"],
        ["-e", "GITHUB_TOKEN=hunter22"],
        ["https://h.example", "--header", "Authorization: Bearer hunter22"],
        ["https://h.example", "--header", "X-Api-Key:hunter22"],
        ["postgresql://me:hunter22@h.example/db"],
        ["https://h.example/mcp?apiKey=hunter22"],
        ["--auth", "hunter22", "--verbose"],
    ],
)
def test_a_secret_among_the_arguments_is_hidden_where_a_server_says_it(args: list[str]) -> None:
    said = sentence(ServerConfig(name="s", command="x", args=tuple(args)), "it ended", words=["with hunter22 in it"])
    assert "with ••• in it" in said


def test_arguments_that_are_no_secrets_are_shown() -> None:
    args = ("-y", "@scope/server-author", "/home/me/keys", "--timeout", "100000", "--no-auth", "--verbose")
    said = sentence(ServerConfig(name="s", command="x", args=args), "it ended", words=[" ".join(args)])
    assert " ".join(args) in said


def test_a_secret_that_stands_where_a_text_is_cut_is_not_shown_in_part() -> None:
    config = ServerConfig(name="s", command="x", env={"KEY": "hunter22"})
    said = shown(config, f"{'x' * 95}hunter22 {'y' * 50}", limit=100)
    assert len(said) <= 100
    assert "hunt" not in said


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("ModuleNotFoundError: No module named 'yaml'", "'yaml'"),
        ("ImportError: cannot import name 'FastMCP' from 'mcp.server'", "mcp<2"),
        ("ModuleNotFoundError: No module named 'mcp.server.fastmcp'", "mcp<2"),
        ("from mcp.server import FastMCP\nImportError: cannot import name 'FastMCP'", "mcp<2"),
        ("Error: listen EADDRINUSE: address already in use :::3000", "has its port"),
        ("npm error code E404", "no package of this name"),
        ("npm warn EBADENGINE Unsupported engine {", "Node.js"),
        ("Error: BRAVE_API_KEY environment variable is required", "add 'BRAVE_API_KEY' to 'env'"),
        ("starting up\nGITHUB_TOKEN not set", "add 'GITHUB_TOKEN' to 'env'"),
        ("Missing required environment variables: NOTION_TOKEN", "add 'NOTION_TOKEN' to 'env'"),
        ("all is well", ""),
        ("ImportError: no luck", ""),
        ("LOG_LEVEL is info", ""),
    ],
)
def test_known_last_words_are_given_advice(words: str, advice: str) -> None:
    assert advice in hint(words.splitlines())
    assert bool(advice) == bool(hint(words.splitlines()))


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"o": {"x": 1, "x": 1}}', '"{\\"a\\": 1, \\"a\\": 2}"'])
def test_of_two_values_of_one_name_none_is_chosen_where_something_may_change(text: str) -> None:
    with pytest.raises(ToolError, match="stands there 2 times"):
        read_arguments(text, SCHEMA, can_repair=False)
    assert read_arguments(text, SCHEMA, can_repair=True)


def test_arguments_that_are_nested_too_deeply_are_turned_away() -> None:
    with pytest.raises(ToolError, match="not valid JSON"):
        read_arguments("[" * 100_000, SCHEMA)
