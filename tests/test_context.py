"""Histories: how long they are, and how a broken one becomes one that the wire takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent.context import count_tokens, repair, repeated_steps, shorten
from glm_agent.messages import ImagePart, Message, ModelResponse, ToolCall, ToolResult, UserMessage
from glm_agent.turn import open_calls

HELLO = UserMessage(text="hello")
DONE = ModelResponse(text="done")


def asking(*ids: str) -> ModelResponse:
    return ModelResponse(tool_calls=tuple(ToolCall(id=id, name=f"tool_{id}", arguments="{}") for id in ids))


def done(call_id: str, content: str = "ok") -> ToolResult:
    return ToolResult(call_id=call_id, name=f"tool_{call_id}", content=content)


def lost(call_id: str) -> ToolResult:
    said = "no result: it was lost. If the call was begun, it may have taken effect"
    return ToolResult(call_id=call_id, name=f"tool_{call_id}", content=said, is_error=True)


ids = st.lists(st.sampled_from("abc"), unique=True, max_size=3)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(UserMessage, text=st.sampled_from(["u", "v"])),
    ids.map(lambda chosen: asking(*chosen)),
    st.builds(done, st.sampled_from("abc"), st.sampled_from(["1", "2"])),
)
histories = st.lists(messages, max_size=12).map(tuple)
quiet = settings(deadline=None)


def is_valid(history: Sequence[Message], *, may_be_open: bool = False) -> bool:
    """Whether every call has exactly one result, right behind its response and in call order."""
    waiting: list[str] = []
    for message in history:
        if isinstance(message, ToolResult):
            if may_be_open:
                while waiting and waiting[0] != message.call_id:
                    waiting.pop(0)
            if not waiting or waiting.pop(0) != message.call_id:
                return False
        else:
            if waiting:
                return False
            waiting = [call.id for call in message.tool_calls] if isinstance(message, ModelResponse) else []
    return may_be_open or not waiting


# -- repair -------------------------------------------------------------------------------------------


@quiet
@given(histories)
def test_any_history_becomes_valid_and_loses_only_results_without_a_call(history: tuple[Message, ...]) -> None:
    repaired = repair(history)
    assert is_valid(repaired)
    assert [m for m in repaired if not isinstance(m, ToolResult)] == [
        m for m in history if not isinstance(m, ToolResult)
    ]
    assert all(m in history or m == lost(m.call_id) for m in repaired if isinstance(m, ToolResult))


@quiet
@given(histories)
def test_a_repaired_history_is_left_as_it_is(history: tuple[Message, ...]) -> None:
    repaired = repair(history)
    assert repair(repaired) == repaired
    assert repair(repaired, keep_open=True) == repaired
    still_open = repair(history, keep_open=True)
    assert repair(still_open, keep_open=True) == still_open


@quiet
@given(histories)
def test_calls_stay_open_only_in_the_last_response_and_only_where_asked(history: tuple[Message, ...]) -> None:
    still_open, closed = repair(history, keep_open=True), repair(history)
    calls = open_calls(still_open)
    assert is_valid(still_open, may_be_open=bool(calls))
    assert [m for m in closed if m not in still_open] == [
        lost(call.id) for call in calls if lost(call.id) not in still_open
    ]
    assert len(closed) == len(still_open) + len(calls)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((), ()),
        ((HELLO, asking("a"), done("a"), DONE), (HELLO, asking("a"), done("a"), DONE)),
        ((HELLO, asking("a", "b")), (HELLO, asking("a", "b"), lost("a"), lost("b"))),
        ((asking("a", "b"), done("b"), done("a")), (asking("a", "b"), done("a"), done("b"))),
        ((asking("a"), done("a", "1"), done("a", "2")), (asking("a"), done("a", "1"))),
        ((asking("a"), HELLO, done("a")), (asking("a"), done("a"), HELLO)),
        ((asking("a"), HELLO, DONE, done("a")), (asking("a"), lost("a"), HELLO, DONE)),
        ((done("a"), HELLO, done("b"), DONE), (HELLO, DONE)),
        ((asking("a"), asking("a"), done("a")), (asking("a"), lost("a"), asking("a"), done("a"))),
    ],
)
def test_every_call_gets_its_own_result_or_one_that_says_it_was_lost(
    history: tuple[Message, ...], expected: tuple[Message, ...]
) -> None:
    assert repair(history) == expected


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((HELLO, asking("a", "b"), done("b")), (HELLO, asking("a", "b"), done("b"))),
        ((asking("a"), HELLO), (asking("a"), lost("a"), HELLO)),
        ((asking("a"), asking("b")), (asking("a"), lost("a"), asking("b"))),
    ],
)
def test_the_calls_of_the_last_response_stay_open_where_a_turn_goes_on(
    history: tuple[Message, ...], expected: tuple[Message, ...]
) -> None:
    assert repair(history, keep_open=True) == expected


# -- shorten ------------------------------------------------------------------------------------------


def note(missing: int) -> UserMessage:
    return UserMessage(text=f"({missing} earlier messages are left out)")


def user(tokens: int, letter: str = "u") -> UserMessage:
    return UserMessage(text=letter * 4 * tokens)


def step(tokens: int, letter: str = "s") -> tuple[ModelResponse, ToolResult]:
    """A response with a call and its result: 2 tokens of the call, the rest the result's."""
    call = ToolCall(id="a", name="name", arguments="{}xx")
    return ModelResponse(tool_calls=(call,)), ToolResult(call_id="a", content=letter * 4 * (tokens - 2))


OLD, ASK, FIRST, SECOND, LAST = user(10, "o"), user(5), step(10, "f"), step(20, "s"), step(30, "l")
LONG = (OLD, ASK, *FIRST, *SECOND, *LAST)


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        (75, LONG),
        (74, (note(1), ASK, *FIRST, *SECOND, *LAST)),
        (65, (note(1), ASK, *FIRST, *SECOND, *LAST)),
        (64, (note(3), ASK, *SECOND, *LAST)),
        (55, (note(3), ASK, *SECOND, *LAST)),
        (54, (note(5), ASK, *LAST)),
        (1, (note(5), ASK, *LAST)),
    ],
)
def test_whole_steps_are_left_out_the_oldest_first(max_tokens: int, expected: tuple[Message, ...]) -> None:
    assert shorten(LONG, max_tokens=max_tokens) == expected


def test_a_step_that_does_not_fit_ends_what_is_kept_also_where_an_older_one_would_fit() -> None:
    history = (user(1), *step(3), user(1, "v"), *step(50), *step(5))
    assert shorten(history, max_tokens=20) == (note(5), user(1, "v"), *step(5))


def test_what_the_user_said_first_counts_where_it_was_said_last() -> None:
    history = (user(5), *step(10, "f"), *step(10, "l"))
    assert shorten(history, max_tokens=25) == history
    assert shorten(history, max_tokens=24) == (note(2), user(5), *step(10, "l"))


def test_what_the_user_said_after_the_last_step_stays_with_what_fits_before_it() -> None:
    history = (OLD, *FIRST, ASK)
    assert shorten(history, max_tokens=15) == (note(1), *FIRST, ASK)
    assert shorten(history, max_tokens=14) == (note(3), ASK)


def test_a_history_in_which_no_user_spoke_is_shortened_too() -> None:
    assert shorten((*FIRST, *LAST), max_tokens=40) == (*FIRST, *LAST)
    assert shorten((*FIRST, *LAST), max_tokens=39) == (note(2), *LAST)
    assert shorten((), max_tokens=1) == ()


@quiet
@given(histories, st.integers(0, 40))
def test_a_shortened_history_is_as_valid_as_it_was_and_ends_as_it_did(
    history: tuple[Message, ...], max_tokens: int
) -> None:
    valid = repair(history)
    shortened = shorten(list(valid), max_tokens=max_tokens)
    assert is_valid(shortened)
    assert isinstance(shortened, tuple)
    if shortened != valid:
        assert shortened[0] == note(len(valid) - len(shortened) + 1)
        said = [m for m in valid if isinstance(m, UserMessage)]
        assert [m for m in shortened[1:] if isinstance(m, UserMessage)][-1:] == said[-1:]
        assert shortened[-1] == valid[-1]


# -- length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("字", 1),
        ("字字", 2),
        ("字字字", 2),
        ("abcd字字字", 3),
        ("\ud800", 1),
    ],
)
def test_text_counts_by_its_letters(text: str, tokens: int) -> None:
    assert count_tokens([UserMessage(text=text)]) == tokens


def test_everything_that_is_sent_counts() -> None:
    image = ImagePart(url="https://example.org/a.png")
    call = ToolCall(id="a", name="name", arguments='{"x": "12345"}')
    history: list[tuple[Message, int]] = [
        (UserMessage(text="four", attachments=(image, image)), 2001),
        (
            ModelResponse(text="four", reasoning="eightchr", tool_calls=(call, replace(call, id="b"))),
            1 + 2 + 2 * (1 + 4),
        ),
        (ToolResult(call_id="a", name="not counted", content="a dozen here", attachments=(image,)), 1003),
    ]
    assert [count_tokens([message]) for message, _ in history] == [tokens for _, tokens in history]
    assert count_tokens(message for message, _ in history) == sum(tokens for _, tokens in history)


@quiet
@given(st.text(max_size=50), st.text(max_size=50))
def test_more_text_is_never_shorter(text: str, more: str) -> None:
    assert 0 <= count_tokens([UserMessage(text=text)]) <= count_tokens([UserMessage(text=text + more)])


# -- going round in circles


def looked(arguments: str = '{"q": 1}', content: str = "nothing", *, thought: str = "") -> list[Message]:
    call = ToolCall(id="c", name="look", arguments=arguments)
    return [
        ModelResponse(tool_calls=(call,), finish_reason="tool_calls", reasoning=thought),
        ToolResult(call_id="c", name="look", content=content),
    ]


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([], 0),
        ([UserMessage(text="Q")], 0),
        ([UserMessage(text="Q"), *looked()], 1),
        ([*looked(thought="a"), *looked(thought="b"), *looked()], 3),
        ([*looked('{"q":1,"r":2}'), *looked('{"r": 2, "q": 1}')], 2),
        ([*looked('{"q": 2}'), *looked()], 1),
        ([*looked(content="one"), *looked()], 1),
        ([*looked(), UserMessage(text="again"), *looked()], 1),
        ([*looked(), *looked(content="one"), *looked()], 1),
        ([*looked("{no"), *looked("{no")], 2),
        ([*looked(), ModelResponse(text="done")], 0),
        (looked() * 9, 5),
    ],
)
def test_steps_that_did_the_same_with_the_same_result_are_counted(messages: list[Message], count: int) -> None:
    assert repeated_steps(messages, at_most=5) == count
