"""A stored session runs once more, offline: byte for byte the same requests, or the first one that is not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from glm_agent import Agent, ToolContext, tool
from glm_agent.errors import ModelError, TurnError
from glm_agent.journal import Journal
from glm_agent.journal.divergence import Change, changes
from glm_agent.journal.replay import Replay, replay
from glm_agent.messages import (
    ApprovalDecision,
    ApprovalRequested,
    Fact,
    ModelRequest,
    ModelResponse,
    ToolCall,
    ToolResult,
    TurnStarted,
    UserMessage,
)
from glm_agent.models.catalog import lookup
from glm_agent.models.glm import GLMModel
from glm_agent.models.record import body_hash
from glm_agent.registry import ToolRegistry
from glm_agent.simulate import ScriptedModel, SimulatorServer
from glm_agent.turn import pending, rebuild
from glm_agent.wire.dialects import Dialect
from glm_agent.wire.encode import encode_parts

pytestmark = pytest.mark.anyio
both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


@tool(read_only=True)
def stock(sku: str) -> int:
    """Units in stock."""
    return len(sku)


@tool
def pay(amount: int) -> str:
    """Pay somebody."""
    return f"paid {amount}"


def call(id: str, name: str = "stock", **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=json.dumps(arguments or ({"sku": "A-17"} if name == "stock" else {})))


def outcomes(found: Replay) -> list[str]:
    return [step.outcome for step in found.steps]


def reworded(fact: Fact, old: str, new: str) -> Fact:
    """The fact with one text exchanged wherever it stands."""
    match fact:
        case ToolResult():
            return replace(fact, content=fact.content.replace(old, new))
        case UserMessage():
            return replace(fact, text=fact.text.replace(old, new))
        case ModelResponse():
            calls = tuple(replace(each, arguments=each.arguments.replace(old, new)) for each in fact.tool_calls)
            return replace(fact, text=fact.text.replace(old, new), tool_calls=calls)
        case TurnStarted():
            return replace(fact, instructions=fact.instructions.replace(old, new))
        case _:
            return fact


async def shopping(journal: Journal, session: str = "s") -> tuple[Fact, ...]:
    """Two turns of two requests each, over real HTTP."""
    agent = Agent("simulate:directive", tools=[stock, pay], instructions="Count, then pay.", journal=journal)
    await agent.run('call stock {"sku": "apple"}\ncall pay {"amount": 3}', session=session)
    await agent.run('call stock {"sku": "pears"}', session=session)
    return journal.facts(session)


# -- the same


@both_loops
async def test_a_session_replays_byte_for_byte(journal: Journal) -> None:
    facts = await shopping(journal)
    found = await journal.replay("s")
    hashes = [fact.sent.hash for fact in facts if isinstance(fact, ModelResponse) and fact.sent]
    assert found.is_identical
    assert [step.hash for step in found.steps] == hashes
    assert [step.number for step in found.steps] == [*range(1, len(hashes) + 1)]
    assert [step.turn for step in found.steps] == sorted(step.turn for step in found.steps)
    assert {step.turn for step in found.steps} == {1, 2}


async def test_no_tool_runs_and_nothing_is_written(journal: Journal, tmp_path: Path) -> None:
    runs: list[str] = []

    @tool
    def once() -> str:
        """Count how often it ran."""
        runs.append("ran")
        return "done"

    await Agent(ScriptedModel([call("1", "once"), "ok"]), tools=[once], journal=journal).run("go", session="s")
    before = journal.records("s")
    assert (await journal.replay("s")).is_identical
    assert runs == ["ran"]
    assert journal.records("s") == before


async def test_calls_made_at_once_may_have_been_answered_in_any_order(journal: Journal) -> None:
    script = [[call("1"), call("2", sku="B"), call("3", "pay", amount=2)], "done"]
    await Agent(ScriptedModel(script), tools=[stock, pay], journal=journal).run("go", session="s")
    facts = journal.facts("s")
    assert (await replay([*facts[:3], *reversed(facts[3:6]), *facts[6:]])).is_identical


async def test_a_session_that_waited_for_approval_and_went_on_replays(journal: Journal) -> None:
    def agent(*lines: Any) -> Agent:
        return Agent(ScriptedModel(lines), tools=[stock, pay], permissions={"ask": ["pay"]}, journal=journal)

    first = await agent([call("1"), call("2", "pay", amount=2)]).run("go", session="s")
    assert first.stop_reason == "needs_approval"
    assert (await journal.replay("s")).is_identical
    await agent("paid").resume("s", decisions=[ApprovalDecision(call_id="2", is_approved=True)])
    await agent(call("1", "pay", amount=1), "ok").run("again", session="s")
    await agent("never mind").run("leave it", session="s")
    found = await journal.replay("s")
    assert (outcomes(found), found.divergence) == (["same"] * 4, None)


async def test_approvals_given_and_refused_while_it_ran_replay(journal: Journal) -> None:
    async def approve(request: ApprovalRequested) -> ApprovalDecision:
        return ApprovalDecision(call_id=request.call_id, is_approved=request.call_id == "1", arguments='{"amount": 7}')

    script = [[call("1", "pay", amount=1), call("2", "pay", amount=2), call("3")], "done"]
    agent = Agent(
        ScriptedModel(script), tools=[stock, pay], permissions={"ask": ["pay"]}, journal=journal, approve=approve
    )
    await agent.run("go", session="s")
    assert outcomes(await journal.replay("s")) == ["same", "same"]


async def test_a_session_that_was_cut_off_at_any_fact_replays(journal: Journal) -> None:
    facts = await shopping(journal)
    for end in range(1, len(facts) + 1):
        found = await replay(facts[:end])
        assert found.divergence is None
        assert len(found.steps) == sum(isinstance(fact, ModelResponse) for fact in facts[:end])


async def test_turns_that_ended_badly_replay(journal: Journal) -> None:
    async def ended(session: str, *lines: Any, **options: Any) -> str:
        agent = Agent(ScriptedModel(lines), tools=[stock, pay], journal=journal, **options)
        return (await agent.run("go", session=session)).stop_reason

    assert await ended("steps", call("1"), call("2"), call("3"), max_steps=1) in ("max_steps", "empty")
    assert await ended("calls", [call("1"), call("2"), call("3")], budget={"max_tool_calls": 1}) == "budget"
    assert await ended("empty", "", "") == "empty"
    assert await ended("output", "a", "b", output_type=int) == "invalid_output"
    assert await ended("length", ModelResponse(text="a", finish_reason="length")) == "max_tokens"
    for session in ("steps", "calls", "empty", "output", "length"):
        assert (await journal.replay(session)).divergence is None, session


async def test_a_turn_whose_time_ran_out_replays(journal: Journal) -> None:
    @tool(read_only=True, timeout_seconds=None)
    async def wait() -> str:
        """Wait for ever."""
        waits.set()
        await anyio.sleep_forever()
        return ""

    waits = anyio.Event()
    agent = Agent(ScriptedModel([[call("1", "wait"), call("2")]]), tools=[wait, stock], journal=journal)
    agent_in_time = Agent(
        ScriptedModel([[call("1", "wait"), call("2")]]),
        tools=[wait, stock],
        journal=journal,
        budget={"timeout_seconds": 0.1},
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: agent.run("go", session="cancelled"))
        await waits.wait()
        tasks.cancel_scope.cancel()
    assert (await agent_in_time.run("go", session="late")).stop_reason == "budget"
    assert (await journal.replay("late")).divergence is None
    assert (await journal.replay("cancelled")).divergence is None


async def test_a_run_that_raised_and_was_resumed_under_other_terms_replays(journal: Journal) -> None:
    with pytest.raises(ModelError):
        await Agent(ScriptedModel([call("1"), ModelError("gone")]), tools=[stock], journal=journal).run(
            "go", session="s"
        )
    await Agent(ScriptedModel(["four"]), tools=[pay], instructions="New.", journal=journal).resume("s")
    assert outcomes(await journal.replay("s")) == ["same", "same"]


async def test_a_history_from_outside_replays(journal: Journal) -> None:
    given = await Agent(ScriptedModel([call("1"), "4"]), tools=[stock]).run("how many?")
    agent = Agent(ScriptedModel(["and 5"]), tools=[stock], journal=journal)
    await agent.run("and now?", messages=given.messages, session="s")
    assert outcomes(await journal.replay("s")) == ["same"]


async def test_an_imported_session_replays(journal: Journal) -> None:
    await shopping(journal)
    journal.import_(journal.export("s"), session_id="copy")
    assert (await journal.replay("copy")).is_identical


async def test_what_has_no_hash_is_not_compared_and_counted(journal: Journal) -> None:
    facts = await shopping(journal)
    found = await replay([replace(each, sent=None) if isinstance(each, ModelResponse) else each for each in facts])
    assert (found.is_identical, found.not_compared) == (True, len(found.steps))
    assert set(outcomes(found)) == {"not compared"}


async def test_facts_that_are_no_session_are_refused() -> None:
    for facts in ((), (UserMessage(text="hi"),)):
        with pytest.raises(TurnError, match="no session"):
            await replay(facts)


# -- different


@pytest.mark.parametrize(
    ("kind", "words", "where"),
    [
        ("user_message", ("apple", "apply"), (1, "messages[1] (user)")),
        ("turn_started", ("Count", "Kount"), (1, "messages[0] (system)")),
        ("model_response", ('"amount": 3', '"amount": 4'), (2, "messages[2] (assistant)")),
        ("tool_result", ("paid 3", "paid 4"), (2, "messages[4] (tool)")),
        ("user_message", ("pears", "bears"), (3, "messages[6] (user)")),
    ],
)
async def test_one_character_of_one_fact_is_found_at_its_step_and_named(
    journal: Journal, kind: str, words: tuple[str, str], where: tuple[int, str]
) -> None:
    facts = await shopping(journal)
    changed = [reworded(fact, *words) if fact.kind == kind else fact for fact in facts]
    assert changed != [*facts]
    found = await replay(changed)
    assert found.divergence is not None
    assert (found.divergence.step, [each.path for each in found.divergence.changes]) == (where[0], [where[1]])
    assert outcomes(found) == ["same"] * (where[0] - 1)
    assert words[1] in (found.divergence.changes[0].today or "").replace('\\\\\\"', '"').replace('\\"', '"')


async def test_every_fact_that_is_sent_is_guarded(journal: Journal) -> None:
    """A character more in any text: found, except in the last answer, which was sent to nobody."""
    facts = await shopping(journal)
    for at, fact in enumerate(facts):
        if fact.kind in ("user_message", "tool_result", "model_response"):
            text = {"tool_result": "content"}.get(fact.kind, "text")
            edited: Any = replace(fact, **{text: getattr(fact, text) + "!"})  # type: ignore[type-var]
            found = await replay([*facts[:at], edited, *facts[at + 1 :]])
            later = sum(isinstance(each, ModelResponse) for each in facts[: at + 1]) + 1
            assert (found.divergence.step if found.divergence else None) == (later if at < len(facts) - 1 else None)


async def test_the_request_as_it_was_sent_shows_the_difference_word_for_word(journal: Journal) -> None:
    facts = await shopping(journal)
    bodies = {}
    for at, fact in enumerate(facts):
        if isinstance(fact, ModelResponse):
            (asked,) = pending(rebuild(facts[:at]))
            assert isinstance(asked, ModelRequest)
            parts = encode_parts(asked, capabilities=lookup(asked.model).capabilities)
            bodies[body_hash(parts)] = parts.joined("an-id-of-its-own")
    changed = [reworded(fact, "paid 3", "paid 4") for fact in facts]
    found = await replay(changed, bodies=bodies)
    assert found.divergence is not None
    assert found.divergence.has_recorded
    (change,) = found.divergence.changes
    assert (change.path, change.recorded, change.today) == ("messages[4].content", '"paid 3"', '"paid 4"')


async def test_another_dialect_another_model_or_a_tool_less_is_a_difference(journal: Journal) -> None:
    facts = await shopping(journal)
    first = facts[0]
    assert isinstance(first, TurnStarted)
    fewer = await replay([replace(first, tools=first.tools[:1]), *facts[1:]])
    assert fewer.divergence is not None
    assert [each.path for each in fewer.divergence.changes] == ["tools"]
    for part in ({"model": "glm-4.6"}, {"dialect": "nowhere"}):
        (at, response) = next((at, fact) for at, fact in enumerate(facts) if isinstance(fact, ModelResponse))
        assert response.sent is not None
        other = replace(response, sent=replace(response.sent, **part))  # type: ignore[arg-type]
        found = await replay([*facts[:at], other, *facts[at + 1 :]])
        assert found.divergence is not None
        assert found.divergence.step == 1


async def test_a_dialect_of_ones_own_is_asked_for_by_name_and_replays_where_it_is_given(journal: Journal) -> None:
    mine = Dialect(name="mine", base_url="", key_names=(), always={"temperature": 0.5})
    with SimulatorServer({"version": 1, "steps": [{"name": "only", "say": "done"}]}) as server:
        model = GLMModel("glm-5.3", api_key="id.secret", base_url=server.base_url, dialect=mine)
        await Agent(model, journal=journal).run("go", session="s")
    unknown = await journal.replay("s")
    assert unknown.divergence is not None
    assert re.search(r"dialect 'mine'.*replay\(…, dialects=\[…\]\)", unknown.divergence.reason)
    assert (await journal.replay("s", dialects=[mine])).is_identical
    other = replace(mine, always={})
    assert not (await journal.replay("s", dialects=[other])).is_identical


async def test_a_record_that_the_driver_would_not_have_made_is_said_to_be_one(journal: Journal) -> None:
    facts = await shopping(journal)
    answer = next(at for at, fact in enumerate(facts) if isinstance(fact, ModelResponse))
    lost = [fact for at, fact in enumerate(facts) if at != answer]
    found = await replay([*facts[: len(facts) - 1], ModelResponse(text="one"), ModelResponse(text="more")])
    assert found.divergence is not None
    assert "ends before this request" in found.divergence.reason
    with pytest.raises(TurnError):
        await replay([UserMessage(text="x"), *lost])


# -- live tools


async def test_live_tools_run_again_and_what_they_say_otherwise_is_shown(journal: Journal) -> None:
    shelf = {"apple": 5, "pears": 2}

    @tool(name="stock", read_only=True)
    def counted(sku: str) -> int:
        """Units in stock."""
        return shelf[sku]

    script = [[call("1", sku="apple"), call("2", sku="pears")], "seven"]
    agent = Agent(ScriptedModel(script), tools=[counted], journal=journal)
    await agent.run("how many?", session="s")
    live = ToolRegistry([counted])
    assert (await journal.replay("s", tools=live)).is_identical
    shelf["pears"] = 3
    found = await journal.replay("s", tools=live)
    assert found.divergence is not None
    assert (found.divergence.step, found.divergence.has_recorded) == (2, True)
    assert found.divergence.changes == (Change(path="messages[3].content", recorded='"2"', today='"3"'),)


async def test_live_tools_of_a_session_that_was_cut_off_run_once_each(journal: Journal) -> None:
    ran: list[str] = []

    @tool(name="stock", read_only=True)
    def counted(sku: str, context: ToolContext) -> str:
        """Units in stock."""
        ran.append(context.call.id)
        return "2"

    with pytest.raises(ModelError):
        await Agent(ScriptedModel([call("1"), ModelError("gone")]), tools=[counted], journal=journal).run(
            "go", session="s"
        )
    await Agent(ScriptedModel([call("2"), "two"]), tools=[counted], journal=journal).resume("s")
    ran.clear()
    assert (await journal.replay("s", tools=ToolRegistry([counted]))).is_identical
    assert ran == ["1", "2"]


# -- how requests differ


def body(**values: Any) -> bytes:
    return json.dumps(values).encode()


def test_differences_are_shown_by_path_and_cut_around_the_first_character() -> None:
    long = "x" * 1000
    found = changes(
        body(messages=[{"role": "user", "content": long + "a" + long}], top_p=0.5),
        body(messages=[{"role": "user", "content": long + "b" + long}], max_tokens=5),
    )
    assert [each.path for each in found] == ["messages[0].content", "top_p", "max_tokens"]
    assert found[0].recorded is not None
    assert found[0].today is not None
    assert len(found[0].today) < 300
    assert "xa" in found[0].recorded
    assert "xb" in found[0].today
    assert (found[1].today, found[2].recorded) == (None, None)


def test_one_more_message_is_one_difference() -> None:
    (found,) = changes(body(messages=["a", "b", "c"]), body(messages=["a", "c"]))[:1]
    assert (found.path, found.recorded, found.today) == ("messages[1]", '"b"', None)
    (more,) = changes(body(messages=["a", "c"]), body(messages=["a", "b", "c"]))
    assert (more.path, more.recorded, more.today) == ("messages[1]", None, '"b"')


def test_request_ids_do_not_count_and_the_same_values_in_other_bytes_do() -> None:
    (found,) = changes(b'{"a":1,"b":2,"request_id":"x"}', b'{"b":2,"a":1,"request_id":"y"}')
    assert found.path.startswith("character")
    assert changes(body(a=1), body(a=1.0))[0].path == "a"
