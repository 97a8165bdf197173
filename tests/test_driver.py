"""The driver: how answers are got (at once, early, kept, shown, cancelled) with small scripted models and tools."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glm_agent.driver import Driver, EventStream, InlineSteps, Intent, Record
from glm_agent.errors import AgentError, ContentFiltered, ContextOverflow, ModelError, ModelProtocolError, TurnError
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Effect,
    Event,
    Fact,
    ModelRequest,
    ModelResponse,
    Notice,
    OutcomeDecision,
    OutcomeUnknown,
    Retrying,
    TextDelta,
    ToolCall,
    ToolCallReady,
    ToolFinished,
    ToolProgress,
    ToolResult,
    ToolSpec,
    ToolStarted,
    TurnResult,
    TurnStarted,
    TurnStopped,
    UserMessage,
)
from glm_agent.models.model import ModelEvent
from glm_agent.registry import ToolContext
from glm_agent.turn import Turn, cancel, open_calls, pending, rebuild, receive

HELLO = UserMessage(text="hello")
DONE = ModelResponse(text="done")
HAD_BEGUN = ". The call had begun: it may or may not have taken effect"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


# -- doubles ------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for power loss: nothing may catch it."""


Stream = Callable[[], AsyncGenerator[ModelEvent, None]]


class Scripted:
    """A model that answers each step from a script: a response, an error, or a stream of events."""

    name = "scripted"

    def __init__(self, *answers: ModelResponse | TurnStopped | Exception | Stream) -> None:
        self.answers = answers
        self.requests: list[ModelRequest] = []
        self.was_closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        answer = self.answers[sum(isinstance(message, ModelResponse) for message in request.messages)]
        try:
            if isinstance(answer, Exception):
                raise answer
            if callable(answer):
                async with aclosing(answer()) as events:
                    async for event in events:
                        yield event
            else:
                for call in answer.tool_calls if isinstance(answer, ModelResponse) else ():
                    yield ToolCallReady(call=call)
                yield answer
        finally:
            self.was_closed = True


Run = Callable[[ToolContext], Awaitable[Any]]
Answer = ToolResult | ApprovalRequested | OutcomeUnknown | TurnStopped


@dataclass
class Toolbox:
    """Tools by name: an async function and an effect; what it returns is the answer or its text."""

    runs: dict[str, Run] = field(default_factory=dict)
    effects: dict[str, Effect] = field(default_factory=dict)
    in_the_way: Callable[[ToolCall, ToolContext], Answer | None] | None = None
    """What ``permit`` answers; nothing stands in the way without it."""
    ran: list[str] = field(default_factory=list)
    contexts: list[ToolContext] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(
            ToolSpec(name=name, description="", parameters={}, effect=self.effects.get(name, "write"))
            for name in self.runs
        )

    async def permit(self, call: ToolCall, context: ToolContext) -> Answer | None:
        self.asked.append(call.id)
        return self.in_the_way(call, context) if self.in_the_way is not None else None

    async def call(self, call: ToolCall, context: ToolContext) -> Answer:
        self.ran.append(call.id)
        self.contexts.append(context)
        assert context.call.id == call.id
        answer = await self.runs[call.name](context) if call.name in self.runs else "no such tool"
        if isinstance(answer, Answer):
            return answer
        return ToolResult(call_id=call.id, name=call.name, content=str(answer))


async def _name(context: ToolContext) -> str:
    return context.call.arguments


def denied(call: ToolCall, context: ToolContext) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content="denied: by rule", is_error=True)


def toolbox(**runs: Run) -> Toolbox:
    return Toolbox(runs=runs or {"work": _name})


class Memory:
    """Records in the order they came, as a journal keeps them; it can die at the n-th record."""

    def __init__(self, *, kill_at: int = 0, when: str = "after") -> None:
        self.records: list[Record] = []
        self.kill_at, self.when = kill_at, when
        self.opened = 0

    @property
    def facts(self) -> list[Fact]:
        return [cast("Fact", record) for record in self.records if not isinstance(record, Intent)]

    def kept_intent(self, key: str) -> Intent | None:
        return next((record for record in self.records if isinstance(record, Intent) and record.key == key), None)

    def dies(self, when: str) -> bool:
        return self.when == when and len(self.records) + (when != "after") == self.kill_at

    async def keep(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        if self.dies("before"):
            raise Killed
        record = await answer()
        if isinstance(record, Intent) and (kept := self.kept_intent(record.key)):
            return kept
        if self.dies("between"):
            raise Killed
        self.records.append(record)
        if self.dies("after"):
            raise Killed
        return record

    def steps(self) -> MemorySteps:
        self.opened += 1
        return MemorySteps(self, f"process {self.opened}")


@dataclass
class MemorySteps:
    memory: Memory
    holder: str
    allows_early: bool = True
    is_gated: bool = False

    def reserve(self) -> MemorySlot:
        return MemorySlot(self)

    @asynccontextmanager
    async def gate(self) -> AsyncIterator[None]:
        yield


@dataclass
class MemorySlot:
    steps: MemorySteps

    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        return await self.steps.memory.keep(answer)


class Numbered(InlineSteps):
    """Records by the number of their slot, as a durable engine keeps them: what is there is not asked again."""

    allows_early = False

    def __init__(self, records: dict[int, Record] | None = None) -> None:
        self.records = {} if records is None else records
        self.reserved = 0
        self.made: list[int] = []

    def reserve(self) -> NumberedSlot:
        self.reserved += 1
        return NumberedSlot(self, self.reserved)


@dataclass
class NumberedSlot:
    steps: Numbered
    number: int

    async def run(self, answer: Callable[[], Awaitable[Record]]) -> Record:
        if self.number not in self.steps.records:
            self.steps.made.append(self.number)
            self.steps.records[self.number] = await answer()
        return self.steps.records[self.number]


def asking(*names: str, arguments: str = "{}", **more: Any) -> ModelResponse:
    """A response that calls these tools; the ids are a, b, c…, the same in every step."""
    calls = tuple(ToolCall(id=id, name=name, arguments=arguments) for id, name in zip("abcdef", names, strict=False))
    return replace(ModelResponse(tool_calls=calls, finish_reason="tool_calls"), **more)


async def driver(model: Scripted, tools: Toolbox, turn: Turn | None = None, **more: Any) -> Driver:
    """A driver of a turn in which the user said hello."""
    if turn is None:
        started = TurnStarted(model=model.name, tools=await tools.specs(), session="s")
        turn = receive(Turn(started=started), HELLO)
    return Driver(turn=turn, model=model, tools=tools, **more)


async def finish(made: Driver, *facts: Fact) -> TurnResult:
    with anyio.fail_after(60):
        return await made.run(*facts)


async def run(model: Scripted, tools: Toolbox, **more: Any) -> TurnResult:
    return await finish(await driver(model, tools, **more))


def results(messages: object) -> list[tuple[str, str]]:
    return [(m.call_id, m.content) for m in cast("tuple[object, ...]", messages) if isinstance(m, ToolResult)]


# -- calls of one step --------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_turn_runs_from_words_over_calls_to_words() -> None:
    events: list[Event] = []
    model = Scripted(asking("work", arguments="[1]"), DONE)
    end = await run(model, toolbox(), observers=[events.append])
    result = ToolResult(call_id="a", name="work", content="[1]")
    assert (end.output, end.stop_reason) == ("done", "end_turn")
    assert end.messages == (HELLO, asking("work", arguments="[1]"), result, DONE)
    assert [event.kind for event in events] == [
        "model_response",
        "tool_started",
        "tool_finished",
        "tool_result",
        "model_response",
    ]
    assert model.requests[1].messages == end.messages[:3]


@pytest.mark.anyio
async def test_calls_of_one_step_run_at_once_and_their_results_stand_in_call_order() -> None:
    # Each call waits for the one after it: run one by one, the first would wait forever.
    arrived = [anyio.Event() for _ in range(4)]
    arrived[3].set()

    async def meet(context: ToolContext) -> str:
        n = "abc".index(context.call.id)
        await arrived[n + 1].wait()
        arrived[n].set()
        return f"result {n}"

    tools = toolbox(meet=meet)
    end = await run(Scripted(asking("meet", "meet", "meet"), DONE), tools)
    assert results(end.messages) == [("a", "result 0"), ("b", "result 1"), ("c", "result 2")]


@pytest.mark.anyio
async def test_a_call_of_a_tool_that_is_not_offered_is_answered_too() -> None:
    end = await run(Scripted(asking("nowhere"), DONE), toolbox())
    assert results(end.messages) == [("a", "no such tool")]


@pytest.mark.anyio
async def test_a_call_knows_its_turn_its_key_and_what_was_passed_along() -> None:
    tools = toolbox()
    await run(Scripted(asking("work", "work"), DONE), tools, deps="a database")
    for context in tools.contexts:
        assert (context.session, context.deps, context.was_started) == ("s", "a database", False)
        assert context.messages[:2] == (HELLO, asking("work", "work"))


async def keys_of(*answers: ModelResponse, session: str = "s", turn: int = 1) -> list[str]:
    tools = toolbox()
    started = TurnStarted(model="m", tools=await tools.specs(), session=session, turn=turn)
    await finish(Driver(turn=Turn(started=started), model=Scripted(*answers, DONE), tools=tools), HELLO)
    return [context.idempotency_key for context in tools.contexts]


@pytest.mark.anyio
async def test_a_key_names_one_call_of_one_step_of_one_turn_of_one_session() -> None:
    call = asking("work", arguments='{"x": 1}')
    keys = [*await keys_of(call, call), *await keys_of(call, turn=2), *await keys_of(call, session="t")]
    keys += await keys_of(asking("work", "work", arguments='{"x": 2}'))
    assert len(set(keys)) == 2 + 1 + 1 + 2


@pytest.mark.anyio
async def test_a_call_that_began_early_has_the_key_it_would_have_had() -> None:
    keys: list[set[str]] = []
    for effect in ("read", "write"):
        tools = replace(toolbox(x=_name, y=_name), effects={"x": cast("Effect", effect)})
        await run(Scripted(asking("y", "x", "x"), asking("x"), DONE), tools)
        keys.append({context.idempotency_key for context in tools.contexts})
    assert keys[0] == keys[1]
    assert len(keys[0]) == 4


@pytest.mark.anyio
async def test_a_key_depends_neither_on_the_id_nor_on_the_spelling_of_the_arguments() -> None:
    spelled = (ToolCall(id="a", name="work", arguments='{"x": 1, "y": 2}'),)
    otherwise = (ToolCall(id="z", name="work", arguments='{"y":2,"x":1}'),)
    first, second = [await keys_of(replace(asking(), tool_calls=calls)) for calls in (spelled, otherwise)]
    assert first == second


@pytest.mark.anyio
@pytest.mark.parametrize("arguments", ["", "{broken", "[" * 100_000, "9" * 5_000, '"\\ud800"', "\ud800"])
async def test_arguments_that_are_no_json_have_a_key_too(arguments: str) -> None:
    (key,) = await keys_of(asking("work", arguments=arguments))
    assert len(key) == 64


@pytest.mark.anyio
async def test_what_in_the_way_of_a_call_is_its_result() -> None:
    tools = replace(toolbox(), in_the_way=denied)
    events: list[Event] = []
    end = await run(Scripted(asking("work", "work"), DONE), tools, observers=[events.append])
    assert results(end.messages) == [("a", "denied: by rule"), ("b", "denied: by rule")]
    assert tools.ran == []
    assert not any(isinstance(event, ToolStarted) for event in events)


@pytest.mark.anyio
async def test_a_stop_from_a_tool_ends_the_turn_and_closes_what_is_open() -> None:
    stop = TurnStopped(stop_reason="loop", detail="the same call three times")

    async def stopping(context: ToolContext) -> TurnStopped:
        return stop

    end = await run(Scripted(asking("stop", "work", "stop")), toolbox(stop=stopping, work=_name))
    assert (end.stop_reason, end.detail) == ("loop", "the same call three times")
    assert results(end.messages) == [
        ("a", f"no result: the same call three times{HAD_BEGUN}"),
        ("b", "{}"),
        ("c", f"no result: the same call three times{HAD_BEGUN}"),
    ]


@pytest.mark.anyio
async def test_a_stop_that_waits_for_a_decision_leaves_its_call_open() -> None:
    async def unknown(context: ToolContext) -> TurnStopped:
        return TurnStopped(stop_reason="needs_decision", detail="was it charged?")

    end = await run(Scripted(asking("charge")), toolbox(charge=unknown))
    assert end.stop_reason == "needs_decision"
    assert [call.id for call in open_calls(end.messages)] == ["a"]


async def begun() -> tuple[Memory, Turn, Toolbox]:
    """A turn whose process died within a ``write`` call, as the next process finds it."""
    memory = Memory(kill_at=2)
    tools = toolbox(charge=_unknown_if_begun)
    made = await driver(Scripted(asking("charge"), DONE), tools, steps=memory.steps())
    turn = made.turn
    with pytest.raises(Killed):
        await finish(made)
    memory.kill_at = 0
    for fact in memory.facts:
        turn = receive(turn, fact)
    return memory, turn, tools


async def _unknown_if_begun(context: ToolContext) -> OutcomeUnknown | str:
    call = context.call
    if context.was_started:
        return OutcomeUnknown(call_id=call.id, name=call.name, arguments=call.arguments, reason="it died")
    return f"charged, attempt {context.attempt}"


@pytest.mark.anyio
async def test_an_unknown_outcome_stops_the_turn_until_a_person_has_looked() -> None:
    memory, turn, tools = await begun()
    stopped = await driver(Scripted(asking("charge"), DONE), tools, turn, steps=memory.steps())
    end = await finish(stopped)
    assert (end.stop_reason, end.detail) == (
        "needs_decision",
        "what came of the call of 'charge' is not known (a): it died",
    )
    decided = OutcomeDecision(call_id="a", outcome="done", text="charged 3")
    again = await driver(Scripted(asking("charge"), DONE), tools, stopped.turn, steps=memory.steps())
    end = await finish(again, decided)
    assert (end.stop_reason, results(end.messages)) == ("end_turn", [("a", "charged 3")])
    assert tools.ran == ["a"]  # and that was the attempt to find out


@pytest.mark.anyio
async def test_a_call_that_a_person_lets_run_again_runs_once_and_may_be_left_unknown_again() -> None:
    memory, turn, tools = await begun()
    stopped = await driver(Scripted(asking("charge"), DONE), tools, turn, steps=memory.steps())
    await finish(stopped)
    retry = OutcomeDecision(call_id="a", outcome="retry")
    memory.kill_at = len(memory.records) + 2  # the decision, then the intent of the second attempt
    again = await driver(Scripted(asking("charge"), DONE), tools, stopped.turn, steps=memory.steps())
    with pytest.raises(Killed):
        await finish(again, retry)
    memory.kill_at = 0
    third = await driver(Scripted(asking("charge"), DONE), tools, rebuilt(turn, memory), steps=memory.steps())
    assert (await finish(third)).stop_reason == "needs_decision"
    last = await driver(Scripted(asking("charge"), DONE), tools, third.turn, steps=memory.steps())
    end = await finish(last, retry)
    assert results(end.messages) == [("a", "charged, attempt 2")]
    assert len({context.idempotency_key for context in tools.contexts}) == 1


def rebuilt(before: Turn, memory: Memory) -> Turn:
    turn = Turn(started=before.started, messages=before.messages[:1])
    for fact in memory.facts:
        turn = receive(turn, fact)
    return turn


@pytest.mark.anyio
async def test_who_waits_for_approval_is_asked_although_another_calls_outcome_is_unknown() -> None:
    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        return ApprovalDecision(call_id=request.call_id, is_approved=True)

    async def push(context: ToolContext) -> str:
        return "pushed"

    tools = toolbox(charge=_unknown_if_begun, push=push)
    made = await driver(Scripted(asking("charge", "push"), DONE), tools, approve=approve)
    for fact in (
        asking("charge", "push"),
        OutcomeUnknown(call_id="a", name="charge", arguments="{}"),
        ApprovalRequested(call_id="b", name="push", arguments="{}"),
    ):
        made.turn = receive(made.turn, fact)
    end = await finish(made)
    assert end.stop_reason == "needs_decision"
    assert results(end.messages) == [("b", "pushed")]


@pytest.mark.anyio
async def test_a_tool_that_asks_again_after_every_yes_comes_to_an_end() -> None:
    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        return ApprovalDecision(call_id=request.call_id, is_approved=True)

    def never_enough(call: ToolCall, context: ToolContext) -> ApprovalRequested:
        return ApprovalRequested(call_id=call.id, name=call.name, arguments=call.arguments)

    tools = toolbox()
    tools.in_the_way = never_enough
    end = await run(Scripted(asking("work"), DONE), tools, approve=approve)
    said = "the call was approved 5 times and asked again each time: it was not run"
    assert (end.stop_reason, results(end.messages)) == ("end_turn", [("a", said)])


# -- the model ----------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_what_comes_before_a_response_is_shown_and_what_comes_after_is_not_read() -> None:
    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta(text="do")
        yield Notice(text="slow today")
        yield DONE
        raise AssertionError("read on after the response")

    events: list[Event] = []
    model = Scripted(stream)
    await run(model, toolbox(), observers=[events.append])
    assert [event.kind for event in events] == ["text_delta", "notice", "model_response"]
    assert model.was_closed


@pytest.mark.anyio
async def test_a_model_may_stop_the_turn_instead_of_answering() -> None:
    end = await run(Scripted(TurnStopped(stop_reason="budget", detail="no money")), toolbox())
    assert (end.stop_reason, end.detail, end.messages) == ("budget", "no money", (HELLO,))


@pytest.mark.anyio
async def test_a_stream_without_a_response_is_the_models_fault() -> None:
    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta(text="do")

    with pytest.raises(ModelProtocolError, match="'scripted' ended its stream without a response"):
        await run(Scripted(stream), toolbox())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "stop_reason"),
    [(ContextOverflow("too long"), "context_overflow"), (ContentFiltered("not said"), "refusal")],
)
async def test_what_no_wrapper_could_mend_ends_the_turn_as_a_result(error: ModelError, stop_reason: str) -> None:
    end = await run(Scripted(error), toolbox())
    assert (end.stop_reason, end.detail) == (stop_reason, str(error))


@pytest.mark.anyio
async def test_an_answer_that_came_with_the_failure_is_kept() -> None:
    half = ModelResponse(text="half an ans", finish_reason="sensitive")
    end = await run(Scripted(ContentFiltered("cut", response=half)), toolbox())
    assert (end.stop_reason, end.output, end.messages[-1]) == ("refusal", "half an ans", half)


@pytest.mark.anyio
async def test_an_error_of_the_model_comes_out_bare_and_leaves_a_turn_that_goes_on() -> None:
    error = ModelError("broken", is_retryable=True)
    error.__cause__ = OSError("the line is down")
    made = await driver(Scripted(asking("work"), error), toolbox())
    with pytest.raises(ModelError) as raised:
        await finish(made)
    assert raised.value is error
    assert isinstance(raised.value.__cause__, OSError)
    assert isinstance(pending(made.turn)[0], ModelRequest)
    made.model = Scripted(asking(), DONE)
    assert (await finish(made)).output == "done"


@pytest.mark.anyio
async def test_an_error_out_of_the_tools_comes_out_bare_and_ends_the_calls_beside_it() -> None:
    was_cancelled = False

    async def hang(context: ToolContext) -> None:
        nonlocal was_cancelled
        try:
            await anyio.sleep_forever()
        finally:
            was_cancelled = True

    async def fail(context: ToolContext) -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyError("lost") from OSError("why")

    made = await driver(Scripted(asking("hang", "fail", "hang")), toolbox(hang=hang, fail=fail))
    with pytest.raises(KeyError, match="lost") as raised:
        await finish(made)
    assert isinstance(raised.value.__cause__, OSError)
    assert was_cancelled
    assert [call.id for call in open_calls(made.turn.messages)] == ["a", "b", "c"]


# -- early calls --------------------------------------------------------------------------------------


def ready(call_id: str = "a", name: str = "look", arguments: str = "{}") -> ToolCallReady:
    return ToolCallReady(call=ToolCall(id=call_id, name=name, arguments=arguments))


@dataclass
class Look:
    """A reading tool that says when it began, and waits until it may end."""

    began: anyio.Event = field(default_factory=anyio.Event)
    may_end: anyio.Event = field(default_factory=anyio.Event)
    runs: int = 0
    cancelled: int = 0

    async def __call__(self, context: ToolContext) -> str:
        self.runs += 1
        self.began.set()
        try:
            await self.may_end.wait()
        except BaseException:
            self.cancelled += 1
            raise
        return f"seen {context.call.arguments}"

    def toolbox(self, effect: Effect = "read") -> Toolbox:
        return replace(toolbox(look=self, work=_name), effects={"look": effect})


@pytest.mark.anyio
async def test_a_reading_call_runs_while_its_response_is_still_coming() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await look.began.wait()  # would wait forever if the call began after the response
        look.may_end.set()
        yield asking("look", "work")

    tools = look.toolbox()
    end = await run(Scripted(stream, DONE), tools)
    assert results(end.messages) == [("a", "seen {}"), ("b", "{}")]
    assert tools.ran == ["a", "b"]
    assert tools.asked == ["a", "b"]


@pytest.mark.anyio
async def test_the_result_of_an_early_call_is_received_only_after_its_response() -> None:
    look = Look()
    look.may_end.set()
    finished = anyio.Event()
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        if isinstance(event, ToolFinished):
            finished.set()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await finished.wait()
        yield asking("look")

    memory = Memory()
    await run(Scripted(stream, DONE), look.toolbox(), observers=[observe], steps=memory.steps())
    shown = ["tool_started", "tool_finished", "model_response", "tool_result", "model_response"]
    assert [event.kind for event in events] == shown
    assert [record.kind for record in memory.records] == ["model_response", "tool_result", "model_response"]


@pytest.mark.anyio
async def test_early_calls_are_received_as_they_end_and_not_as_they_were_asked_for() -> None:
    first, second = Look(), Look()
    kept: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, ToolResult):
            kept.append(event.call_id)
            first.may_end.set()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready("a", "first")
        yield ready("b", "second")
        await first.began.wait()
        await second.began.wait()
        second.may_end.set()
        yield asking("first", "second")

    tools = replace(toolbox(first=first, second=second), effects={"first": "read", "second": "read"})
    end = await run(Scripted(stream, DONE), tools, observers=[observe])
    assert kept == ["b", "a"]  # the first would never end if the second's result had to wait for it
    assert results(end.messages) == [("a", "seen {}"), ("b", "seen {}")]
    assert sorted(tools.ran) == ["a", "b"]


@pytest.mark.anyio
@pytest.mark.parametrize("effect", ["write", "idempotent"])
async def test_a_call_that_may_not_be_repeated_freely_waits_for_its_response(effect: Effect) -> None:
    look = Look()
    look.may_end.set()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await anyio.wait_all_tasks_blocked()
        assert look.runs == 0
        yield asking("look")

    await run(Scripted(stream, DONE), look.toolbox(effect))
    assert look.runs == 1


@pytest.mark.anyio
async def test_nothing_runs_early_where_the_steps_or_the_limit_do_not_allow_it() -> None:
    look = Look()
    look.may_end.set()
    tools = look.toolbox()
    ran_before: list[list[str]] = []

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        ran_before.append(list(tools.ran))
        yield ready()
        await anyio.wait_all_tasks_blocked()
        assert tools.ran == ran_before[-1]
        yield asking("look")

    await run(Scripted(stream, DONE), tools, steps=MemorySteps(Memory(), "h", allows_early=False))
    assert tools.ran == ["a"]
    at_limit = TurnStarted(model="m", tools=await tools.specs(), max_steps=1)
    end = await run(Scripted(asking("look"), stream), tools, turn=receive(Turn(started=at_limit), HELLO))
    assert end.stop_reason == "max_steps"
    assert look.runs == 2
    assert len(ran_before) == 2


@pytest.mark.anyio
async def test_a_generation_begun_anew_throws_early_calls_away() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await look.began.wait()
        yield Retrying(attempt=2, wait_seconds=0, reason="reset")
        await anyio.wait_all_tasks_blocked()
        assert look.cancelled == 1
        look.may_end.set()
        yield ready()
        yield asking("look")

    tools = look.toolbox()
    end = await run(Scripted(stream, DONE), tools)
    assert results(end.messages) == [("a", "seen {}")]
    assert look.runs == 2
    assert tools.contexts[0].idempotency_key == tools.contexts[1].idempotency_key


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [asking("look", arguments="[1]"), asking("work")], ids=["arguments", "name"])
async def test_an_early_call_that_the_response_asks_for_otherwise_is_thrown_away(asked: ModelResponse) -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await look.began.wait()
        look.may_end = anyio.Event()  # the first run waits on the old one forever
        look.may_end.set()
        yield asked

    end = await run(Scripted(stream, DONE), look.toolbox())
    assert look.cancelled == 1
    expected = "seen [1]" if asked.tool_calls[0].name == "look" else "{}"
    assert results(end.messages) == [("a", expected)]


@pytest.mark.anyio
async def test_an_early_call_that_the_response_does_not_ask_for_ends_before_the_next_request() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready("c")
        await look.began.wait()
        yield asking("work")

    async def last() -> AsyncGenerator[ModelEvent, None]:
        await anyio.wait_all_tasks_blocked()
        assert look.cancelled == 1
        yield DONE

    end = await run(Scripted(stream, last), look.toolbox())
    assert results(end.messages) == [("a", "{}")]


@pytest.mark.anyio
async def test_an_early_call_of_an_answer_that_was_cut_does_not_hold_the_end() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await look.began.wait()
        yield asking("look", finish_reason="length")

    end = await run(Scripted(stream), look.toolbox())
    assert (end.stop_reason, look.cancelled) == ("max_tokens", 1)


@pytest.mark.anyio
async def test_an_early_call_that_is_not_permitted_does_not_run_and_its_refusal_is_the_result() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await anyio.wait_all_tasks_blocked()
        yield asking("look")

    tools = replace(look.toolbox(), in_the_way=denied)
    end = await run(Scripted(stream, DONE), tools)
    assert results(end.messages) == [("a", "denied: by rule")]
    assert (look.runs, tools.asked) == (0, ["a"])


@pytest.mark.anyio
async def test_an_error_of_an_early_call_comes_out_bare() -> None:
    async def fail(context: ToolContext) -> None:
        raise KeyError("lost")

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready(name="fail")
        await anyio.sleep_forever()

    tools = replace(toolbox(fail=fail), effects={"fail": "read"})
    model = Scripted(stream)
    with pytest.raises(KeyError, match="lost"):
        await run(model, tools)
    assert model.was_closed


@pytest.mark.anyio
async def test_an_error_of_the_model_ends_early_calls() -> None:
    look = Look()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await look.began.wait()
        raise ModelError("broken")

    with pytest.raises(ModelError, match="broken"):
        await run(Scripted(stream), look.toolbox())
    assert look.cancelled == 1


# -- what is kept -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_every_fact_is_kept_before_the_turn_has_it_and_shown_after() -> None:
    memory = Memory()
    made = await driver(Scripted(asking("work", "work"), DONE), toolbox(), steps=memory.steps())
    shown: list[Event] = []

    def observe(event: Event) -> None:
        if not isinstance(event, ToolStarted | ToolFinished):
            assert event in memory.records
            assert event in (*made.turn.messages, *made.turn.queued)
            shown.append(event)

    async def keep(answer: Callable[[], Awaitable[Record]]) -> Record:
        record = await Memory.keep(memory, answer)
        assert record not in (*made.turn.messages, *made.turn.queued)
        return record

    memory.keep = keep  # type: ignore[method-assign]
    made.observers = [observe]
    extra = UserMessage(text="one more thing")
    await finish(made, extra)
    assert shown == memory.facts
    facts = [record for record in memory.records if not isinstance(record, Intent)]
    assert facts[0] == extra
    assert rebuild([made.turn.started, HELLO, *facts]) == made.turn


@pytest.mark.anyio
async def test_every_call_draws_two_slots_in_call_order_whatever_its_effect() -> None:
    async def run_with(effects: dict[str, Effect]) -> Numbered:
        steps = Numbered()
        tools = replace(toolbox(x=_name, y=_name, z=_name), effects=effects)
        await run(Scripted(asking("x", "y", "z"), asking("x"), DONE), tools, steps=steps)
        return steps

    write = await run_with({})
    mixed = await run_with({"x": "read", "y": "idempotent"})
    # A response, three calls, a response, one call, a response.
    assert write.reserved == mixed.reserved == 1 + 6 + 1 + 2 + 1
    kinds = {number: write.records[number].kind for number in sorted(write.records)}
    assert [number for number, kind in kinds.items() if kind == "intent"] == [2, 4, 6, 9]
    assert sorted(mixed.records) == [1, 3, 5, 6, 7, 8, 10, 11]
    assert [write.records[n].call_id for n in (3, 5, 7)] == ["a", "b", "c"]  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_turn_whose_answers_are_all_kept_asks_nobody() -> None:
    async def again(records: dict[int, Record]) -> tuple[TurnResult, Numbered, Scripted, Toolbox]:
        steps, model, tools = Numbered(records), Scripted(asking("work", "work"), DONE), toolbox()
        return await run(model, tools, steps=steps), steps, model, tools

    end, steps, *_ = await again({})
    for lost in (None, *steps.records):
        records = {number: record for number, record in steps.records.items() if number != lost}
        same, replayed, model, tools = await again(records)
        assert same == end
        assert replayed.made == ([] if lost is None else [lost])
        assert len(model.requests) + len(tools.ran) == (lost in (1, 3, 5, 6))


@pytest.mark.anyio
async def test_an_intent_is_kept_before_a_writing_call_runs_and_for_no_other() -> None:
    memory = Memory()

    async def check(context: ToolContext) -> str:
        intents = [record for record in memory.records if isinstance(record, Intent)]
        assert [intent.key for intent in intents] == [context.idempotency_key]
        return "checked"

    tools = replace(toolbox(write=check, read=_name, again=_name), effects={"read": "read", "again": "idempotent"})
    await run(Scripted(asking("read", "again"), asking("write"), DONE), tools, steps=memory.steps())
    (intent,) = [record for record in memory.records if isinstance(record, Intent)]
    assert (intent.call_id, intent.name, intent.holder) == ("a", "write", "process 1")


@pytest.mark.anyio
async def test_the_effect_is_that_of_the_tool_that_a_name_with_markup_means() -> None:
    memory = Memory()
    tools = replace(toolbox(read=_name, write=_name), effects={"read": "read"})
    await run(Scripted(asking("read</arg_value>"), DONE), tools, steps=memory.steps())
    assert not any(isinstance(record, Intent) for record in memory.records)


@pytest.mark.anyio
async def test_no_intent_is_kept_of_a_call_that_does_not_run() -> None:
    memory = Memory()
    tools = replace(toolbox(), in_the_way=denied)
    await run(Scripted(asking("work"), DONE), tools, steps=memory.steps())
    assert not any(isinstance(record, Intent) for record in memory.records)


@pytest.mark.anyio
async def test_a_call_knows_that_another_process_began_it_but_not_that_this_one_did() -> None:
    tools = toolbox()
    memory, model = Memory(kill_at=2), Scripted(asking("work"), DONE)
    made = await driver(model, tools, steps=memory.steps())
    start = made.turn
    with pytest.raises(Killed):
        await finish(made)
    assert isinstance(memory.records[-1], Intent)
    assert tools.ran == []

    async def resume(steps: MemorySteps) -> list[bool]:
        turn = start
        for fact in memory.facts:
            turn = receive(turn, fact)
        again = toolbox()
        await finish(await driver(model, again, turn, steps=steps))
        return [context.was_started for context in again.contexts]

    memory.kill_at, kept = 0, list(memory.records)
    assert await resume(MemorySteps(memory, "process 1")) == [False]
    memory.records = kept
    assert await resume(memory.steps()) == [True]


names = st.lists(st.sampled_from(["read", "write", "again", "guarded", "forbidden"]), min_size=1, max_size=3)


async def live(script: list[list[str]], memory: Memory, ran: list[tuple[int, str]], begun: list[str]) -> TurnResult:
    """One life of a process: go on with what is in the memory."""

    def guard(call: ToolCall, context: ToolContext) -> Answer | None:
        if call.name not in ("guarded", "forbidden") or context.approval is not None:
            return None
        return ApprovalRequested(call_id=call.id, name=call.name, arguments=call.arguments)

    async def decide(request: ApprovalRequested) -> ApprovalDecision:
        return ApprovalDecision(call_id=request.call_id, is_approved=request.name == "guarded")

    async def work(context: ToolContext) -> str:
        ran.append((memory.opened, context.idempotency_key))
        if context.was_started:
            begun.append(context.idempotency_key)
        for _ in range(4 - "abc".index(context.call.id)):
            await anyio.lowlevel.checkpoint()
        return f"{context.call.name} done"

    tools = Toolbox(
        runs=dict.fromkeys(["read", "write", "again", "guarded", "forbidden"], work),
        effects={"read": "read", "again": "idempotent"},
        in_the_way=guard,
    )
    model = Scripted(*(asking(*step) for step in script), DONE)
    started = TurnStarted(model=model.name, tools=await tools.specs(), session="s")
    facts = memory.facts
    made = Driver(
        turn=rebuild(facts) if facts else Turn(started=started),
        model=model,
        tools=tools,
        steps=memory.steps(),
        approve=decide,
    )
    missing = [started, HELLO][len(facts) :]
    return await finish(made, *missing)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(deadline=None, max_examples=60)
@given(st.lists(names, max_size=3), st.integers(1, 30), st.sampled_from(["before", "between", "after"]))
@example([["read", "read"], ["read"]], 7, "between")
@example([["write", "write", "guarded"], ["read", "write", "write"]], 17, "between")
def test_a_turn_survives_a_crash_at_any_record(backend: str, script: list[list[str]], kill_at: int, when: str) -> None:
    expected = anyio.run(live, script, Memory(), [], [], backend=backend)
    memory = Memory(kill_at=kill_at, when=when)
    ran, begun = list[tuple[int, str]](), list[str]()
    left_open = set[str]()
    try:
        end = anyio.run(live, script, memory, ran, begun, backend=backend)
    except Killed:
        memory.kill_at = 0
        left_open = unfinished(memory)
        end = anyio.run(live, script, memory, ran, begun, backend=backend)
    assert end == expected
    # Of a call that may have happened the tool is told so; of no other.
    assert set(begun) == left_open
    # What was kept does not run again: each call runs once in each life, and has one result.
    assert len(set(ran)) == len(ran)
    assert sum(isinstance(m, ToolResult) for m in end.messages) == sum(map(len, script))


def unfinished(memory: Memory) -> set[str]:
    """Keys of the calls that were begun and have no result."""
    open_ids = {call.id for call in open_calls(rebuild(memory.facts).messages)} if memory.facts else set[str]()
    step: list[Intent] = []
    for record in memory.records:
        if isinstance(record, ModelResponse):
            step = []
        elif isinstance(record, Intent):
            step.append(record)
    return {intent.key.partition("/")[0] for intent in step if intent.call_id in open_ids}


# -- approvals ----------------------------------------------------------------------------------------


def guarded(*names: str, **runs: Run) -> Toolbox:
    """Tools of which these names ask, unless they were granted for the session."""

    def guard(call: ToolCall, context: ToolContext) -> Answer | None:
        if call.name not in names or context.approval is not None or call.name in context.granted:
            return None
        return ApprovalRequested(call_id=call.id, name=call.name, arguments=call.arguments, reason="dangerous")

    return replace(toolbox(**runs), in_the_way=guard)


@dataclass
class Person:
    """Answers requests with decisions by call id; an unknown one is nobody's business."""

    decisions: dict[str, ApprovalDecision]
    asked: list[ApprovalRequested] = field(default_factory=list)

    async def __call__(self, request: ApprovalRequested) -> ApprovalDecision | None:
        self.asked.append(request)
        return self.decisions.get(request.call_id)


def says(call_id: str, is_approved: bool = True, **more: Any) -> ApprovalDecision:
    return replace(ApprovalDecision(call_id=call_id, is_approved=is_approved), **more)


@pytest.mark.anyio
async def test_a_person_lets_one_call_run_and_denies_another() -> None:
    person = Person({"a": says("a"), "b": says("b", is_approved=False, reason="not today")})
    tools = guarded("work")
    end = await run(Scripted(asking("work", "work"), DONE), tools, approve=person)
    assert results(end.messages) == [("a", "{}"), ("b", "denied: not today")]
    assert tools.ran == ["a"]
    assert [request.call_id for request in person.asked] == ["a", "b"]
    assert tools.contexts[0].approval == says("a")


@pytest.mark.anyio
async def test_calls_that_need_nobody_run_before_a_person_is_asked() -> None:
    ran_when_asked: list[list[str]] = []
    tools = guarded("risky", risky=_name, work=_name)

    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        ran_when_asked.append(sorted(tools.ran))
        return says(request.call_id)

    await run(Scripted(asking("risky", "work", "work"), DONE), tools, approve=approve)
    assert ran_when_asked == [["b", "c"]]


@pytest.mark.anyio
async def test_arguments_that_a_person_edited_are_what_runs() -> None:
    person = Person({"a": says("a", arguments='{"amount": 1}')})
    tools = guarded("work")
    end = await run(Scripted(asking("work", arguments='{"amount": 100}'), DONE), tools, approve=person)
    assert results(end.messages) == [("a", '{"amount": 1}')]
    assert end.messages[1] == asking("work", arguments='{"amount": 100}')


@pytest.mark.anyio
async def test_a_grant_for_the_session_is_asked_for_once() -> None:
    person = Person({"a": says("a", scope="session")})
    tools = guarded("work")
    end = await run(Scripted(asking("work", "work"), asking("work"), DONE), tools, approve=person)
    assert (end.stop_reason, len(person.asked), sorted(tools.ran)) == ("end_turn", 1, ["a", "a", "b"])


@pytest.mark.anyio
@pytest.mark.parametrize("approve", [None, Person({})], ids=["no approver", "nobody there"])
async def test_with_nobody_to_ask_the_turn_waits_and_another_process_goes_on(approve: Any) -> None:
    memory = Memory()
    model = Scripted(asking("work", "free"), DONE)
    made = await driver(model, guarded("work", work=_name, free=_name), steps=memory.steps(), approve=approve)
    start = made.turn
    end = await finish(made)
    assert end.stop_reason == "needs_approval"
    assert end.detail == "the call of 'work' waits for approval (a): dangerous"
    assert [call.id for call in open_calls(end.messages)] == ["a"]

    turn = start
    for fact in memory.facts:
        turn = receive(turn, fact)
    assert turn == made.turn
    tools = guarded("work", work=_name, free=_name)
    later = await driver(model, tools, turn, steps=memory.steps())
    end = await finish(later, says("a"))
    assert (end.stop_reason, tools.ran) == ("end_turn", ["a"])
    assert memory.facts.count(says("a")) == 1


@pytest.mark.anyio
async def test_a_tool_may_ask_for_approval_itself() -> None:
    async def ask(context: ToolContext) -> ApprovalRequested | str:
        if context.approval is None:
            return ApprovalRequested(call_id=context.call.id, name="ask", arguments="{}")
        return f"thanks for {context.approval.reason}"

    person = Person({"a": says("a", reason="trust")})
    end = await run(Scripted(asking("ask"), DONE), toolbox(ask=ask), approve=person)
    assert results(end.messages) == [("a", "thanks for trust")]


@pytest.mark.anyio
async def test_an_early_call_may_wait_for_a_person_too() -> None:
    tools = replace(guarded("look", look=_name), effects={"look": "read"})
    person = Person({"a": says("a")})
    end = await run(Scripted(asking("look"), DONE), tools, approve=person)
    assert results(end.messages) == [("a", "{}")]
    assert (len(person.asked), tools.ran) == (1, ["a"])


@pytest.mark.anyio
async def test_a_decision_on_another_call_than_was_asked_is_an_error() -> None:
    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        return says("z")

    with pytest.raises(TurnError, match="'z', which waits for none"):
        await run(Scripted(asking("work")), guarded("work"), approve=approve)


# -- time, cancellation -------------------------------------------------------------------------------


async def hang(context: ToolContext) -> None:
    await anyio.sleep_forever()


@pytest.mark.anyio
async def test_when_the_time_is_up_the_turn_stops_and_its_history_can_go_on() -> None:
    memory = Memory()
    made = await driver(
        Scripted(asking("hang", "work")), toolbox(hang=hang, work=_name), steps=memory.steps(), timeout_seconds=0.5
    )
    start = made.turn
    end = await finish(made)
    detail = "the time budget of 0.5 seconds is used up"
    assert (end.stop_reason, end.detail) == ("budget", detail)
    assert results(end.messages) == [("a", f"no result: {detail}{HAD_BEGUN}"), ("b", "{}")]
    assert [fact.kind for fact in memory.facts][-2:] == ["tool_result", "turn_stopped"]
    turn = start
    for fact in memory.facts:
        turn = receive(turn, fact)
    assert turn == made.turn


@pytest.mark.anyio
async def test_when_the_time_is_up_while_the_model_speaks_its_stream_is_closed() -> None:
    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield ready()
        await anyio.sleep_forever()

    look, model = Look(), Scripted(stream)
    end = await run(model, look.toolbox(), timeout_seconds=0.5)
    assert (end.stop_reason, end.messages) == ("budget", (HELLO,))
    assert model.was_closed
    assert look.cancelled == 1


@pytest.mark.anyio
async def test_a_turn_that_is_quick_enough_does_not_stop() -> None:
    assert (await run(Scripted(DONE), toolbox(), timeout_seconds=20)).stop_reason == "end_turn"


@pytest.mark.anyio
@pytest.mark.parametrize("names", [("hang",), ("hang", "work", "hang")], ids=["one", "many"])
async def test_cancellation_from_outside_is_not_swallowed_and_leaves_a_turn_that_can_go_on(
    names: tuple[str, ...],
) -> None:
    tools = toolbox(hang=hang, work=_name)
    made = await driver(Scripted(asking(*names), DONE), tools)
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.run)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught
    for fact in cancel(made.turn):
        made.turn = receive(made.turn, fact)
    assert len(results(made.turn.messages)) == len(names)
    assert (await finish(made)).output == "done"


@pytest.mark.anyio
async def test_cancellation_while_the_model_speaks_leaves_the_request_pending() -> None:
    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta(text="do")
        await anyio.sleep_forever()

    model = Scripted(stream)
    made = await driver(model, toolbox())
    with anyio.CancelScope() as scope:
        made.observers = [lambda _: scope.cancel()]
        await made.run()
    assert scope.cancelled_caught
    assert model.was_closed
    assert isinstance(pending(made.turn)[0], ModelRequest)


@pytest.mark.anyio
async def test_a_fact_that_was_kept_is_in_the_turn_also_when_the_gate_is_cancelled() -> None:
    memory = Memory()
    scope = anyio.CancelScope()

    class Gated(MemorySteps):
        @asynccontextmanager
        async def gate(self) -> AsyncIterator[None]:
            yield
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    made = await driver(Scripted(DONE), toolbox(), steps=Gated(memory, "h"))
    with scope:
        await made.run()
    assert scope.cancelled_caught
    assert memory.facts == [DONE]
    assert made.turn.messages == (HELLO, DONE)


@pytest.mark.anyio
async def test_one_gate_is_held_from_an_intent_to_its_calls_result() -> None:
    memory, passed = Memory(), list[tuple[int, int]]()

    class Gated(MemorySteps):
        @asynccontextmanager
        async def gate(self) -> AsyncIterator[None]:
            before = len(memory.records)
            yield
            passed.append((before, len(memory.records)))

    made = await driver(Scripted(asking("write"), DONE), toolbox(write=_name), steps=Gated(memory, "h"))
    await made.run()
    kinds = [[record.kind for record in memory.records[first:last]] for first, last in passed]
    assert kinds == [["model_response"], ["intent", "tool_result"], ["model_response"]]


@pytest.mark.parametrize("names", [("hang",), ("hang", "hang")])
def test_cancellation_of_a_bare_asyncio_task_is_not_swallowed(names: tuple[str, ...]) -> None:
    began = 0

    async def main() -> None:
        nonlocal began
        ready = asyncio.Event()

        async def note(context: ToolContext) -> None:
            nonlocal began
            began += 1
            if began == len(names):
                ready.set()
            await anyio.sleep_forever()

        made = await driver(Scripted(asking(*names)), toolbox(hang=note))
        task = asyncio.create_task(made.run())
        await asyncio.wait_for(ready.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
        assert task.cancelled()
        assert len(open_calls(made.turn.messages)) == len(names)

    asyncio.run(main())
    assert began == len(names)


# -- observers and progress ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_observer_that_fails_is_passed_over_and_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise KeyError("mine")

    events: list[Event] = []
    end = await run(Scripted(DONE), toolbox(), observers=[fail, events.append])
    assert (end.output, events) == ("done", [DONE])
    assert "an observer failed on 'model_response' and was passed over" in caplog.text


@pytest.mark.anyio
async def test_progress_arrives_from_the_tool_and_from_any_thread() -> None:
    async def work(context: ToolContext) -> str:
        context.progress("begun", done=1, total=3)
        await anyio.to_thread.run_sync(lambda: context.progress("half"))
        thread = threading.Thread(target=lambda: context.progress("elsewhere"))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        return "ok"

    seen: list[tuple[Event, int]] = []
    observers = [lambda event: seen.append((event, threading.get_ident()))]
    await run(Scripted(asking("work"), DONE), toolbox(work=work), observers=observers)
    progress = [event for event, _ in seen if isinstance(event, ToolProgress)]
    assert progress[0] == ToolProgress(call_id="a", name="work", text="begun", done=1, total=3)
    assert [event.text for event in progress] == ["begun", "half", "elsewhere"]
    assert {thread for _, thread in seen} == {threading.get_ident()}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_progress_after_the_end_of_the_loop_is_passed_over(backend: str) -> None:
    tools = toolbox()
    events: list[Event] = []

    async def main() -> None:
        await run(Scripted(asking("work"), DONE), tools, observers=[events.append])

    anyio.run(main, backend=backend)
    before = list(events)
    raised: list[BaseException] = []

    def late() -> None:
        try:
            tools.contexts[0].progress("too late")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join(60)
    assert (thread.is_alive(), raised, events) == (False, [], before)


@pytest.mark.anyio
async def test_the_duration_of_a_call_is_told_by_the_drivers_clock() -> None:
    times = iter([10.0, 12.5])
    events: list[Event] = []
    await run(Scripted(asking("work"), DONE), toolbox(), observers=[events.append], clock=lambda: next(times))
    assert [event.duration_seconds for event in events if isinstance(event, ToolFinished)] == [2.5]


# -- a turn as a stream -------------------------------------------------------------------------------


def streamed(made: Driver) -> EventStream:
    async def start(observe: Callable[[Event], None]) -> TurnResult:
        made.observers = [observe]
        return await made.run()

    return EventStream(start)


async def read(made: Driver, seen: list[str], then: Callable[[Event], Awaitable[None]] | None = None) -> None:
    """Read all events of a turn as a stream."""
    with anyio.fail_after(60):
        async with streamed(made) as events:
            async for event in events:
                seen.append(event.kind)
                if then is not None:
                    await then(event)


@contextmanager
def no_task_left() -> Iterator[None]:
    """On asyncio: whatever was started inside is over."""
    try:
        before = asyncio.all_tasks()
    except RuntimeError:
        yield
        return
    yield
    assert asyncio.all_tasks() == before


@pytest.mark.anyio
async def test_events_come_in_order_and_the_result_after_them() -> None:
    made = await driver(Scripted(asking("work"), DONE), toolbox())
    with anyio.fail_after(60), no_task_left():
        async with streamed(made) as events:
            with pytest.raises(AgentError, match="no result yet: iterate over its events to the end first"):
                _ = events.result
            kinds = [event.kind async for event in events]
            assert [event async for event in events] == []
        assert kinds == ["model_response", "tool_started", "tool_finished", "tool_result", "model_response"]
        assert events.result.output == "done"


@pytest.mark.anyio
async def test_an_event_can_be_read_before_the_turn_goes_on() -> None:
    was_read = anyio.Event()

    async def stream() -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta(text="do")
        await was_read.wait()
        yield DONE

    with anyio.fail_after(60):
        async with streamed(await driver(Scripted(stream), toolbox())) as events:
            async for event in events:
                assert event in (TextDelta(text="do"), DONE)
                was_read.set()
    assert events.result.output == "done"


@pytest.mark.anyio
async def test_leaving_the_stream_early_cancels_the_turn() -> None:
    look = Look()
    made = await driver(Scripted(asking("look"), DONE), look.toolbox())
    with anyio.fail_after(60), no_task_left():
        async with streamed(made) as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    await look.began.wait()
                    break
    assert look.cancelled == 1
    assert [call.id for call in open_calls(made.turn.messages)] == ["a"]


@pytest.mark.anyio
async def test_a_stream_that_was_not_opened_or_was_used_already_says_so() -> None:
    events = streamed(await driver(Scripted(DONE), toolbox()))
    with anyio.fail_after(60), pytest.raises(AgentError, match=r"not open: write 'async with agent.stream"):
        await anext(events)
    async with events:
        assert [event.kind async for event in events] == ["model_response"]
    with pytest.raises(AgentError, match="used already"):
        async with events:
            pass
    assert events.result.output == "done"


@pytest.mark.anyio
async def test_an_error_of_the_turn_is_raised_where_the_events_are_read_after_those_before_it() -> None:
    seen: list[str] = []
    error = ModelError("broken")
    made = await driver(Scripted(asking("work"), error), toolbox())
    with no_task_left(), pytest.raises(ModelError) as raised:
        await read(made, seen)
    assert raised.value is error
    assert seen[-1] == "tool_result"


@pytest.mark.anyio
async def test_no_event_is_lost_to_an_error_that_came_after_it() -> None:
    async def fail(observe: Callable[[Event], None]) -> TurnResult:
        observe(HELLO)
        observe(DONE)
        raise ModelError("broken")

    with anyio.fail_after(60):
        async with EventStream(fail) as events:
            await anyio.wait_all_tasks_blocked()
            assert [await anext(events), await anext(events)] == [HELLO, DONE]
            with pytest.raises(ModelError, match="broken"):
                await anext(events)


@pytest.mark.anyio
async def test_an_error_of_the_reader_comes_out_bare_and_cancels_the_turn() -> None:
    look = Look()
    made = await driver(Scripted(asking("look"), DONE), look.toolbox())
    error = KeyError("mine")

    async def fail(event: Event) -> None:
        if isinstance(event, ToolStarted):
            await look.began.wait()
            raise error

    with no_task_left(), pytest.raises(KeyError) as raised:
        await read(made, [], fail)
    assert raised.value is error
    assert look.cancelled == 1


@pytest.mark.anyio
async def test_cancelling_the_reader_cancels_the_turn_and_is_not_swallowed() -> None:
    look = Look()
    made = await driver(Scripted(asking("look"), DONE), look.toolbox())
    with anyio.fail_after(60), anyio.CancelScope() as scope, no_task_left():
        async with streamed(made) as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    scope.cancel()
        raise AssertionError("went on after the cancellation")
    assert scope.cancelled_caught


def test_a_bare_asyncio_timeout_around_a_stream_is_kept() -> None:
    async def main() -> None:
        made = await driver(Scripted(asking("hang"), DONE), toolbox(hang=hang))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(made, []), 0.05)

    asyncio.run(main())


@pytest.mark.anyio
async def test_what_is_no_exception_passes_through_a_stream_bare() -> None:
    async def die(context: ToolContext) -> None:
        raise Killed

    made = await driver(Scripted(asking("die", "die")), toolbox(die=die))
    with pytest.raises(Killed):
        await read(made, [])
