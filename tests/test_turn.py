"""The turn as a value: whatever the order, the crash or the interruption, the same facts make the same history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent.errors import TurnError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Fact,
    HistoryReplaced,
    HostedCall,
    Message,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    OutcomeDecision,
    OutcomeUnknown,
    StopReason,
    ToolCall,
    ToolResult,
    ToolSpec,
    TurnResult,
    TurnStarted,
    TurnStopped,
    Usage,
    UserMessage,
)
from glm_agent.turn import Turn, approval, cancel, open_calls, pending, rebuild, receive, times_let_through

SPEC = ToolSpec(name="read", description="Reads.", parameters={"type": "object"})
STARTED = TurnStarted(model="glm-5.3", instructions="Be brief.", tools=(SPEC,), settings=ModelSettings(top_p=0.5))
HELLO = UserMessage(text="hello")
DONE = ModelResponse(text="done")

# -- a world that answers whatever is pending ---------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What the scripted model does in one step."""

    names: tuple[str, ...] = ()
    finish_reason: str = "tool_calls"
    text: str = ""
    reasoning: str = ""


NEEDS_PERSON = {"guarded": True, "forbidden": False}
"""Tools that ask, and what the person says."""

UNKNOWN: dict[str, Literal["done", "failed", "retry"]] = {"charged": "done", "lost": "failed", "late": "retry"}
"""Tools of which nobody knows what came, and what the person finds out."""

names = st.lists(st.sampled_from(["read", "write", "bad", *NEEDS_PERSON, *UNKNOWN]), max_size=4).map(tuple)
finish_reasons = st.sampled_from(["tool_calls", "tool_calls", "stop", "length", "sensitive", "network_error", "odd"])
scripts = st.lists(
    st.builds(
        Step,
        names=names,
        finish_reason=finish_reasons,
        text=st.sampled_from(["", " \n", "\nwords"]),
        reasoning=st.sampled_from(["", " ", "hm"]),
    ),
    max_size=4,
)
limits = st.integers(1, 4)
picks = st.lists(st.integers(0, 99), max_size=40)


def response(turn: Turn, script: Sequence[Step]) -> ModelResponse:
    step = script[turn.step] if turn.step < len(script) else Step(finish_reason="stop", text="the end")
    # The same ids in every response, as some providers send them.
    calls = tuple(ToolCall(id=f"call_{i}", name=name, arguments="{}") for i, name in enumerate(step.names))
    return ModelResponse(
        text=step.text,
        reasoning=step.reasoning,
        tool_calls=calls,
        finish_reason=step.finish_reason,
        usage=Usage(input_tokens=turn.step + 1, output_tokens=2),
    )


def answer(turn: Turn, asked: object, script: Sequence[Step]) -> Fact:
    match asked:
        case ModelRequest():
            return response(turn, script)
        case ApprovalRequested():
            return ApprovalDecision(call_id=asked.call_id, is_approved=NEEDS_PERSON[asked.name], reason="thought of")
        case OutcomeUnknown():
            return OutcomeDecision(call_id=asked.call_id, outcome=UNKNOWN[asked.name], text="looked")
        case ToolCall():
            if asked.name in NEEDS_PERSON and approval(turn, asked.id) is None:
                return ApprovalRequested(call_id=asked.id, name=asked.name, arguments=asked.arguments, rule="ask")
            if asked.name in UNKNOWN and not times_let_through(turn, asked.id):
                return OutcomeUnknown(call_id=asked.id, name=asked.name, arguments=asked.arguments)
            # Step and id are in the content: a result in the wrong place shows.
            content = f"{asked.name} {asked.id} of step {turn.step}"
            return ToolResult(call_id=asked.id, name=asked.name, content=content, is_error=asked.name == "bad")
    raise AssertionError(asked)


def play(script: Sequence[Step], facts: Sequence[Fact], picks: Sequence[int] = ()) -> list[Fact]:
    """All facts of a turn that began with these; ``picks`` says which pending item is answered next."""
    facts, turn, order = list(facts), rebuild(facts), iter(picks)
    while not isinstance((todo := pending(turn))[0], TurnResult):
        fact = answer(turn, todo[next(order, 0) % len(todo)], script)
        facts.append(fact)
        turn = receive(turn, fact)
    return facts


def opening(max_steps: int = 20) -> list[Fact]:
    return [replace(STARTED, max_steps=max_steps), HELLO]


def is_valid(messages: Sequence[Message], *, may_be_open: bool = False) -> bool:
    """Whether the wire takes it: every call has its result right behind its response, in call order."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ToolResult):
            if message.call_id not in waiting:
                return False
            if not may_be_open and message.call_id != waiting[0]:
                return False
            waiting.remove(message.call_id)
        else:
            if waiting:
                return False
            waiting = [call.id for call in message.tool_calls] if isinstance(message, ModelResponse) else []
    return may_be_open or not waiting


def result(turn: Turn) -> TurnResult:
    (only,) = pending(turn)
    assert isinstance(only, TurnResult)
    return only


def asking(*names: str, **more: object) -> ModelResponse:
    """A response that calls these tools; ids are a, b, c…"""
    calls = tuple(ToolCall(id=id, name=name, arguments="{}") for id, name in zip("abcdef", names, strict=False))
    return replace(ModelResponse(tool_calls=calls, finish_reason="tool_calls"), **more)


def said(*facts: Fact, max_steps: int = 20) -> Turn:
    return rebuild([*opening(max_steps), *facts])


def done(call_id: str, content: str = "ok") -> ToolResult:
    return ToolResult(call_id=call_id, content=content)


quiet = settings(deadline=None)

# -- what is asked ------------------------------------------------------------------------------------


def test_the_request_is_made_of_what_the_turn_was_started_with() -> None:
    request = ModelRequest(
        model="glm-5.3",
        instructions="Be brief.",
        messages=(HELLO,),
        tools=(SPEC,),
        settings=ModelSettings(top_p=0.5),
    )
    assert pending(said()) == (request,)


def test_all_open_calls_are_pending_at_once_and_in_call_order() -> None:
    turn = said(asking("read", "write", "read"), done("b"))
    assert [call.id for call in pending(turn) if isinstance(call, ToolCall)] == ["a", "c"]


def test_a_call_that_waits_for_a_person_is_pending_as_its_request() -> None:
    request = ApprovalRequested(call_id="b", name="write", arguments="{}")
    assert pending(said(asking("read", "write"), request)) == (asking("read").tool_calls[0], request)


def test_a_turn_in_which_nothing_was_said_says_so() -> None:
    with pytest.raises(TurnError, match=r"^nothing was said yet: a turn begins with a user message$"):
        pending(Turn(started=STARTED))


def test_a_bare_list_of_messages_resumes() -> None:
    history = (HELLO, asking("read", "write"), done("a"))
    turn = rebuild([STARTED, HistoryReplaced(messages=history)])
    assert pending(turn) == (history[1].tool_calls[1],)
    assert isinstance(pending(receive(turn, done("b")))[0], ModelRequest)


def test_at_the_limit_the_model_is_asked_once_more_without_tools_and_the_turn_ends_in_words() -> None:
    turn = said(asking("read"), done("a"), max_steps=1)
    (request,) = pending(turn)
    assert isinstance(request, ModelRequest)
    assert request.tools == ()
    end = result(receive(turn, ModelResponse(text="so far so good")))
    assert (end.stop_reason, end.output, end.steps) == ("max_steps", "so far so good", 2)
    assert end.detail == "the limit of 1 steps was reached"


def test_calls_that_a_model_makes_without_having_tools_do_not_run() -> None:
    turn = receive(said(asking("read"), done("a"), max_steps=1), asking("read"))
    assert result(turn).stop_reason == "max_steps"
    assert turn.messages[-1] == asking()


def test_the_last_step_before_the_limit_still_has_tools_and_may_end_well() -> None:
    turn = said(asking("read"), done("a"), max_steps=2)
    (request,) = pending(turn)
    assert isinstance(request, ModelRequest)
    assert request.tools == (SPEC,)
    assert result(receive(turn, DONE)).stop_reason == "end_turn"


# -- how a turn ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("sensitive", "refusal"),
        ("model_context_window_exceeded", "context_overflow"),
        ("network_error", "error"),
        ("a word of next year", "error"),
        ("", "error"),
    ],
)
def test_every_finish_reason_has_its_stop_reason(finish_reason: str, stop_reason: str) -> None:
    end = result(said(ModelResponse(text="words", finish_reason=finish_reason)))
    assert end.stop_reason == stop_reason
    expected = "" if stop_reason == "end_turn" else f"the model stopped with finish_reason {finish_reason!r}"
    assert end.detail == expected


@pytest.mark.parametrize(
    ("response", "stop_reason", "detail"),
    [
        (ModelResponse(), "empty", "the model returned nothing"),
        (ModelResponse(text=" \n"), "empty", "the model returned nothing"),
        (ModelResponse(reasoning=" \n"), "empty", "the model returned nothing"),
        (ModelResponse(reasoning="hm"), "empty", "the model returned only thinking, no answer"),
        (asking(), "error", "the model announced tool calls and sent none"),
        (asking(text="words"), "error", "the model announced tool calls and sent none"),
        (asking(text="found", hosted_calls=(HostedCall(type="web_search", data={}),)), "end_turn", ""),
        (asking(hosted_calls=(HostedCall(type="mcp", data={}),)), "empty", "the model returned nothing"),
    ],
)
def test_an_answer_without_words_is_no_success(response: ModelResponse, stop_reason: str, detail: str) -> None:
    end = result(said(response))
    assert (end.stop_reason, end.detail) == (stop_reason, detail)


@pytest.mark.parametrize("finish_reason", ["length", "sensitive", "network_error", "model_context_window_exceeded"])
def test_the_calls_of_an_answer_that_was_cut_neither_run_nor_stay(finish_reason: str) -> None:
    turn = said(asking("read", "write", finish_reason=finish_reason, text="half"))
    assert turn.messages == (HELLO, asking(finish_reason=finish_reason, text="half"))
    assert result(turn).output == "half"


def test_calls_run_also_where_the_model_says_that_it_stopped() -> None:
    assert pending(said(asking("read", finish_reason="stop"))) == asking("read").tool_calls


def test_the_line_break_before_an_answer_is_kept_in_the_history_and_not_shown() -> None:
    end = result(said(ModelResponse(text="\n\n  yes\n")))
    assert end.output == "  yes\n"
    assert end.messages[-1] == ModelResponse(text="\n\n  yes\n")
    assert result(said(ModelResponse(text="\n?"))).output == "?"


def test_the_result_says_what_was_said_in_which_session_and_for_how_much() -> None:
    first = asking("read", usage=Usage(input_tokens=5, cached_tokens=4, output_tokens=3, reasoning_tokens=2))
    last = replace(DONE, usage=Usage(input_tokens=50, cached_tokens=40, output_tokens=30, reasoning_tokens=20))
    turn = rebuild([replace(STARTED, session="s1"), HELLO, first, done("a"), last])
    assert result(turn) == TurnResult(
        output="done",
        stop_reason="end_turn",
        usage=Usage(input_tokens=55, cached_tokens=44, output_tokens=33, reasoning_tokens=22),
        messages=(HELLO, first, done("a"), last),
        session="s1",
        steps=2,
    )


def test_a_stop_ends_the_turn_whatever_is_pending_and_the_first_one_holds() -> None:
    stopped = TurnStopped(stop_reason="budget", detail="too dear")
    for facts in ([], [asking("read")], [asking("read"), done("a")]):
        end = result(said(*facts, stopped, TurnStopped(stop_reason="loop")))
        assert (end.stop_reason, end.detail) == ("budget", "too dear")


def test_what_was_spent_beside_the_conversation_is_counted_once_where_the_turn_stops() -> None:
    stop = TurnStopped(stop_reason="invalid_output", usage=Usage(input_tokens=7))
    assert result(said(ModelResponse(usage=Usage(input_tokens=1)), stop)).usage == Usage(input_tokens=8)
    assert result(said(stop, stop)).usage == Usage(input_tokens=7)


def test_a_turn_stopped_before_an_answer_has_no_output() -> None:
    stopped = TurnStopped(stop_reason="cancelled")
    assert result(said(asking("read", text="I will look"), done("a"), stopped)).output == ""
    assert result(said(asking("read", text="I will look"), stopped)).output == "I will look"
    assert result(rebuild([STARTED, stopped])).output == ""


# -- results ------------------------------------------------------------------------------------------


def test_results_stand_in_call_order_whichever_tool_was_faster() -> None:
    turn = said(asking("read", "read", "read"), done("c"), done("a"), done("b"))
    assert turn.messages[2:] == (done("a"), done("b"), done("c"))


def test_results_of_an_earlier_step_stay_where_they_are() -> None:
    turn = said(asking("read", "read"), done("b", "first"), done("a", "first"), asking("read"), done("a", "second"))
    assert [m.content for m in turn.messages if isinstance(m, ToolResult)] == ["first", "first", "second"]


@pytest.mark.parametrize(
    "fact",
    [done("b"), ApprovalRequested(call_id="b", name="x", arguments="")],
    ids=["result", "request"],
)
@pytest.mark.parametrize(
    "facts",
    [[], [asking("read")], [asking("read", "read"), done("b")], [asking("read", "read"), done("a"), done("b")]],
    ids=["no call", "another call", "answered call", "all answered"],
)
def test_a_fact_for_a_call_that_is_not_open_is_an_error(fact: Fact, facts: list[Fact]) -> None:
    with pytest.raises(TurnError, match=r"^a fact came for call 'b', which is not pending$"):
        receive(said(*facts), fact)


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ([asking("read")], "ToolCall"),
        ([asking("read", "read")], "ToolCall"),
        ([asking("read"), ApprovalRequested(call_id="a", name="read", arguments="")], "ApprovalRequested"),
        ([DONE], "TurnResult"),
        ([TurnStopped(stop_reason="loop")], "TurnResult"),
    ],
)
def test_a_response_that_nobody_asked_for_is_an_error(facts: list[Fact], what: str) -> None:
    with pytest.raises(TurnError, match=f"^a model response came, but {what} is pending$"):
        receive(said(*facts), DONE)


# -- approvals ----------------------------------------------------------------------------------------


def request(call_id: str = "a", name: str = "write") -> ApprovalRequested:
    return ApprovalRequested(call_id=call_id, name=name, arguments="{}", rule="ask write")


def yes(call_id: str = "a", **more: object) -> ApprovalDecision:
    return replace(ApprovalDecision(call_id=call_id, is_approved=True), **more)


def test_an_approved_call_runs_and_its_decision_is_at_hand() -> None:
    turn = said(asking("write", "write"), request(), request("b"), yes(arguments='{"x": 1}'))
    assert pending(turn) == (asking("write").tool_calls[0], request("b"))
    assert approval(turn, "a") == yes(arguments='{"x": 1}')
    assert approval(turn, "b") is None


def test_each_call_has_its_own_decision() -> None:
    turn = said(asking("write", "read"), request("a"), request("b", "read"), yes("b", scope="session"), yes("a"))
    assert turn.granted == {"read"}
    assert (approval(turn, "a"), approval(turn, "b")) == (yes("a"), yes("b", scope="session"))
    assert pending(turn) == asking("write", "read").tool_calls


def test_the_latest_decision_on_a_call_holds() -> None:
    turn = said(asking("write"), request(), yes(reason="first"), request(), yes(reason="second"))
    assert approval(turn, "a") == yes(reason="second")


def test_a_request_made_twice_waits_once() -> None:
    again = replace(request(), reason="more to say")
    assert said(asking("write"), request(), again).requested == (again,)


@pytest.mark.parametrize(("reason", "said_"), [("too risky", "denied: too risky"), ("", "denied")])
def test_a_denied_call_is_an_error_that_the_model_reads(reason: str, said_: str) -> None:
    turn = said(asking("write"), request(), ApprovalDecision(call_id="a", is_approved=False, reason=reason))
    assert turn.messages[-1] == ToolResult(call_id="a", name="write", content=said_, is_error=True)
    assert turn.requested == ()
    assert isinstance(pending(turn)[0], ModelRequest)


def test_a_decision_that_nobody_waits_for_is_an_error() -> None:
    for facts in ([asking("write")], [asking("write"), request(), yes()], [asking("write"), request("a"), done("a")]):
        with pytest.raises(TurnError, match=r"^a decision came for call 'a', which waits for none$"):
            receive(said(*facts), yes())


def test_an_approval_does_not_carry_over_to_a_later_call_with_the_same_id() -> None:
    turn = said(asking("write"), request(), yes(), done("a"), asking("write"))
    assert approval(turn, "a") is None
    assert pending(turn) == asking("write").tool_calls


def test_a_request_does_not_carry_over_to_a_later_call_with_the_same_id() -> None:
    turn = said(asking("write"), request(), done("a"), asking("read"))
    assert turn.requested == ()
    assert pending(turn) == asking("read").tool_calls


def test_a_grant_for_the_session_frees_the_calls_beside_it_and_holds_in_later_turns() -> None:
    turn = said(asking("write", "write", "read"), request(), request("b"), request("c", "read"), yes(scope="session"))
    assert turn.granted == {"write"}
    assert pending(turn) == (*asking("write", "write").tool_calls, request("c", "read"))
    turn = receive(receive(receive(turn, done("a")), done("b")), yes("c", scope="session"))
    turn = receive(receive(receive(turn, done("c")), DONE), replace(STARTED, turn=2))
    assert turn.granted == {"write", "read"}


def test_an_approval_of_one_call_and_a_denial_for_the_session_grant_nothing() -> None:
    assert said(asking("write"), request(), yes()).granted == frozenset()
    denied = replace(yes(scope="session"), is_approved=False)
    assert said(asking("write"), request(), denied).granted == frozenset()


def test_a_decision_that_comes_after_the_turn_stopped_for_it_opens_the_turn_again() -> None:
    waiting = said(asking("write"), request(), TurnStopped(stop_reason="needs_approval"))
    assert result(waiting).stop_reason == "needs_approval"
    assert pending(receive(waiting, yes())) == asking("write").tool_calls
    assert isinstance(pending(receive(waiting, replace(yes(), is_approved=False)))[0], ModelRequest)


def unknown(call_id: str = "a", name: str = "write") -> OutcomeUnknown:
    return OutcomeUnknown(call_id=call_id, name=name, arguments="{}")


def found(outcome: Literal["done", "failed", "retry"], text: str = "", call_id: str = "a") -> OutcomeDecision:
    return OutcomeDecision(call_id=call_id, outcome=outcome, text=text)


def test_a_call_of_unknown_outcome_is_pending_as_that() -> None:
    assert pending(said(asking("write", "read"), unknown()))[0] == unknown()


@pytest.mark.parametrize(
    ("decision", "content", "is_error"),
    [
        (found("done", "paid 3"), "paid 3", False),
        (found("done"), "", False),
        (found("failed", "no funds"), "failed: no funds", True),
        (found("failed"), "failed: it did not take effect", True),
    ],
)
def test_what_a_person_found_out_is_the_result_of_the_call(
    decision: OutcomeDecision, content: str, is_error: bool
) -> None:
    turn = said(asking("write"), unknown(), decision)
    assert turn.messages[-1] == ToolResult(call_id="a", name="write", content=content, is_error=is_error)
    assert (turn.requested, turn.approved) == ((), ())


def test_a_call_that_is_to_be_run_again_is_pending_as_a_call_and_its_attempts_are_counted() -> None:
    turn = said(asking("write", "write"), unknown(), found("retry"))
    assert pending(turn) == turn.messages[-1].tool_calls
    assert (times_let_through(turn, "a"), times_let_through(turn, "b")) == (1, 0)
    turn = receive(receive(turn, unknown()), found("retry"))
    assert times_let_through(turn, "a") == 2
    assert times_let_through(said(asking("write"), request(), yes()), "a") == 1


def test_running_again_is_no_approval_and_keeps_an_earlier_one() -> None:
    assert approval(said(asking("write"), unknown(), found("retry")), "a") is None
    edited = yes(arguments='{"x": 1}')
    assert approval(said(asking("write"), request(), edited, unknown(), found("retry")), "a") == edited


def test_a_decision_of_the_other_kind_answers_nothing() -> None:
    with pytest.raises(TurnError, match="'a', which waits for none"):
        said(asking("write"), unknown(), yes())
    with pytest.raises(TurnError, match="'a', which waits for none"):
        said(asking("write"), request(), found("retry"))
    with pytest.raises(TurnError, match="'a', which waits for none"):
        said(asking("write"), unknown(), found("done"), found("done"))


def test_a_grant_for_the_session_does_not_run_again_what_may_have_happened() -> None:
    turn = said(asking("write", "write"), unknown(), request("b"), yes("b", scope="session"))
    assert turn.requested == (unknown(),)


@pytest.mark.parametrize("reason", ["needs_approval", "needs_decision"])
@pytest.mark.parametrize("outcome", ["done", "retry"])
def test_what_a_person_found_out_opens_a_turn_that_stopped_to_wait(
    reason: StopReason, outcome: Literal["done", "retry"]
) -> None:
    turn = said(asking("write"), unknown(), TurnStopped(stop_reason=reason), found(outcome))
    assert turn.stopped is None
    approved = said(asking("write"), request(), TurnStopped(stop_reason=reason), yes())
    assert approved.stopped is None
    ended = said(asking("write"), unknown(), TurnStopped(stop_reason="budget"), found(outcome))
    assert result(ended).stop_reason == "budget"


def test_a_call_of_unknown_outcome_that_is_cancelled_says_so() -> None:
    (closed,) = cancel(said(asking("write"), unknown()), reason="left")
    assert closed.content == "no result: left. The call had begun: it may or may not have taken effect"
    (closed,) = cancel(said(asking("write"), request()), reason="left")
    assert closed.content == "no result: left"


def test_a_decision_does_not_open_a_turn_that_stopped_for_another_reason() -> None:
    turn = said(asking("write"), request(), TurnStopped(stop_reason="budget"), yes())
    assert result(turn).stop_reason == "budget"


# -- words said meanwhile, and other histories --------------------------------------------------------


def test_words_said_while_calls_are_open_come_after_the_results() -> None:
    words = UserMessage(text="also count them"), UserMessage(text="please")
    turn = said(asking("read", "read"), words[0], done("b"), words[1])
    assert turn.queued == words
    assert turn.messages == (HELLO, asking("read", "read"), done("b"))
    turn = receive(turn, done("a"))
    assert turn.messages == (HELLO, asking("read", "read"), done("a"), done("b"), *words)
    assert turn.queued == ()


def test_words_said_after_the_answer_ask_the_model_again() -> None:
    assert isinstance(pending(said(DONE, UserMessage(text="and now?")))[0], ModelRequest)


def test_another_history_takes_the_place_of_the_old_one_and_ends_what_was_asked() -> None:
    turn = said(asking("write", "write"), request(), yes(), request("b"))
    turn = receive(turn, HistoryReplaced(messages=(HELLO, asking("write", "write"))))
    assert (turn.requested, turn.approved) == ((), ())
    assert pending(turn) == asking("write", "write").tool_calls


def test_words_that_waited_are_not_lost_when_the_history_is_replaced() -> None:
    words = UserMessage(text="wait")
    turn = said(asking("read"), words, HistoryReplaced(messages=(HELLO, DONE)))
    assert turn.messages == (HELLO, DONE, words)
    assert isinstance(pending(turn)[0], ModelRequest)


# -- beginning, going on, ending ----------------------------------------------------------------------


def test_the_next_turn_begins_with_the_history_and_counts_anew() -> None:
    turn = said(replace(DONE, usage=Usage(input_tokens=3)), TurnStopped(stop_reason="budget"))
    turn = receive(turn, replace(STARTED, turn=2))
    assert turn == Turn(started=replace(STARTED, turn=2), messages=turn.messages)
    assert turn.messages[0] == HELLO


def test_the_same_turn_goes_on_under_new_terms() -> None:
    turn = said(asking("read"), done("a"), TurnStopped(stop_reason="budget"))
    again = receive(turn, replace(STARTED, model="glm-5.3-air"))
    assert again == replace(turn, started=replace(STARTED, model="glm-5.3-air"), stopped=None)
    assert again.step == 1


def test_the_next_turn_does_not_begin_while_a_call_is_open() -> None:
    turn = said(asking("read", "write"), done("a"))
    with pytest.raises(TurnError, match=r"^turn 2 cannot begin: call 'b' is open$"):
        receive(turn, replace(STARTED, turn=2))
    assert receive(turn, STARTED).messages == turn.messages


def test_facts_that_do_not_begin_a_turn_make_none() -> None:
    with pytest.raises(TurnError, match=r"^the first fact of a turn is turn_started, not user_message$"):
        rebuild([HELLO])
    with pytest.raises(TurnError, match=r"^no facts: a turn begins with turn_started$"):
        rebuild([])


def test_cancelling_closes_what_is_open_with_the_reason_and_nothing_else() -> None:
    turn = said(asking("read", "write"), done("a"))
    told = ToolResult(call_id="b", name="write", content="no result: cancelled by the user", is_error=True)
    assert cancel(turn) == (told,)
    assert cancel(turn, reason="time is up") == (replace(told, content="no result: time is up"),)
    assert cancel(receive(turn, told)) == ()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), []),
        ((HELLO,), []),
        ((done("a"),), []),
        ((asking("read", "read"),), ["a", "b"]),
        ((asking("read", "read"), done("a")), ["b"]),
        ((asking("read"), DONE), []),
        ((asking("read"), HELLO), []),
        ((asking("read"), done("a"), asking("read")), ["a"]),
    ],
)
def test_open_calls_are_those_of_the_last_response_without_a_result(
    messages: tuple[Message, ...], expected: list[str]
) -> None:
    assert [call.id for call in open_calls(messages)] == expected


def test_a_turn_is_a_value() -> None:
    turn = said(asking("read"))
    before = replace(turn)
    receivers: list[Callable[[], object]] = [
        lambda: receive(turn, done("a")),
        lambda: receive(turn, HELLO),
        lambda: cancel(turn),
        lambda: pending(turn),
    ]
    for receiver in receivers:
        receiver()
        assert turn == before


# -- properties ---------------------------------------------------------------------------------------


@quiet
@given(scripts, limits, picks)
def test_the_order_in_which_answers_come_does_not_change_the_history(
    script: list[Step], limit: int, order: list[int]
) -> None:
    in_order = rebuild(play(script, opening(limit)))
    shuffled = rebuild(play(script, opening(limit), order))
    assert pending(shuffled) == pending(in_order)


@quiet
@given(scripts, limits, picks)
def test_after_every_fact_the_history_is_valid_wherever_no_call_is_open(
    script: list[Step], limit: int, order: list[int]
) -> None:
    facts = play(script, opening(limit), order)
    for n in range(1, len(facts) + 1):
        turn = rebuild(facts[:n])
        assert is_valid(turn.messages, may_be_open=bool(open_calls(turn.messages)))
    assert is_valid(turn.messages)


@quiet
@given(scripts, limits, picks, st.integers(2, 60), picks)
def test_a_turn_stored_at_any_fact_goes_on_to_the_same_end(
    script: list[Step], limit: int, order: list[int], crash: int, later: list[int]
) -> None:
    facts = play(script, opening(limit), order)
    resumed = play(script, facts[:crash], later)
    assert pending(rebuild(resumed)) == pending(rebuild(facts))


@quiet
@given(scripts, limits)
def test_facts_received_one_by_one_make_the_turn_that_rebuild_makes(script: list[Step], limit: int) -> None:
    first, *rest = play(script, opening(limit))
    assert isinstance(first, TurnStarted)
    turn = Turn(started=first)
    for fact in rest:
        turn = receive(turn, fact)
    assert turn == rebuild([first, *rest])


@quiet
@given(scripts, limits, picks, st.integers(2, 60))
def test_a_turn_cancelled_at_any_fact_can_go_on(script: list[Step], limit: int, order: list[int], at: int) -> None:
    turn = rebuild(play(script, opening(limit), order)[:at])
    before = open_calls(turn.messages)
    closing = cancel(turn, reason="stop it")
    assert [fact.call_id for fact in closing if isinstance(fact, ToolResult)] == [call.id for call in before]
    for fact in closing:
        turn = receive(turn, fact)
    assert is_valid(turn.messages)
    assert turn.requested == ()
    turn = receive(receive(turn, replace(STARTED, turn=2)), UserMessage(text="go on"))
    assert isinstance(pending(turn)[0], ModelRequest)
    assert is_valid(turn.messages)


@quiet
@given(scripts, limits, picks, st.lists(st.integers(2, 60), max_size=4))
def test_words_said_at_any_moment_are_heard_and_never_part_a_call_from_its_result(
    script: list[Step], limit: int, order: list[int], moments: list[int]
) -> None:
    facts = opening(limit)
    spoken = [UserMessage(text=f"word {n}") for n in range(len(moments))]
    for moment, word in zip(sorted(moments), spoken, strict=True):
        facts = [*play(script, facts, order)[: max(moment, len(facts))], word]
        turn = rebuild(facts)
        assert is_valid(turn.messages, may_be_open=bool(open_calls(turn.messages)))
        assert word in (turn.queued if open_calls(turn.messages) else turn.messages)
    last = rebuild(play(script, facts, order))
    assert [m for m in last.messages if m in spoken] == spoken
    assert is_valid(last.messages)


@quiet
@given(scripts, limits)
def test_usage_and_steps_are_those_of_every_response_of_the_turn(script: list[Step], limit: int) -> None:
    facts = play(script, opening(limit))
    responses = [fact for fact in facts if isinstance(fact, ModelResponse)]
    end = result(rebuild(facts))
    assert end.steps == len(responses) <= limit + 1
    assert end.usage.input_tokens == sum(r.usage.input_tokens for r in responses)
    assert end.usage.output_tokens == 2 * len(responses)


@quiet
@given(scripts, limits, picks)
def test_a_tool_that_needs_a_person_runs_only_after_a_yes_in_its_own_step(
    script: list[Step], limit: int, order: list[int]
) -> None:
    facts = play(script, opening(limit), order)
    approved = set[str]()
    for n, fact in enumerate(facts):
        match fact:
            case ModelResponse():
                approved.clear()
                assert rebuild(facts[: n + 1]).approved == ()
            case ApprovalDecision(is_approved=True):
                approved.add(fact.call_id)
            case ToolResult(name="guarded"):
                assert fact.call_id in approved
            case ToolResult():
                assert fact.name != "forbidden"


@quiet
@given(scripts, limits)
def test_only_an_answer_in_words_is_a_success(script: list[Step], limit: int) -> None:
    end = result(rebuild(play(script, opening(limit))))
    assert (end.stop_reason == "end_turn") == (end.detail == "")
    if end.stop_reason == "end_turn":
        assert end.output.strip()
        assert end.steps <= limit
