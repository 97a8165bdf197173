"""A session's beginning goes on in another way, as a session of its own; the first one stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glm_agent import Agent, Policy, tool
from glm_agent.driver import Intent
from glm_agent.errors import ConfigurationError, JournalError, ModelError
from glm_agent.journal import Journal
from glm_agent.messages import (
    ApprovalDecision,
    HistoryReplaced,
    ImagePart,
    ModelRequest,
    ModelResponse,
    ToolCall,
    ToolResult,
    UserMessage,
)
from glm_agent.simulate import ScriptedModel
from glm_agent.turn import open_calls, pending, rebuild

pytestmark = pytest.mark.anyio


@tool(read_only=True)
def stock(sku: str) -> int:
    """Units in stock."""
    return len(sku)


@tool
def pay(amount: int) -> str:
    """Pay somebody."""
    return f"paid {amount}"


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as journal:
        yield journal


def call(id: str, name: str = "stock", **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=json.dumps(arguments or {"sku": "A-17"}))


def agent(journal: Journal, *lines: Any, **options: Any) -> Agent:
    return Agent(ScriptedModel(lines), tools=[stock, pay], journal=journal, **options)


async def counted(journal: Journal) -> None:
    """Two turns: steps 1 and 2, then 3 and 4."""
    await agent(journal, call("1"), "four").run("how many?", session="s")
    await agent(journal, call("2", sku="B"), "one").run("and B?", session="s")


def said(journal: Journal, session: str) -> list[str]:
    return [
        getattr(each, "text", "") or getattr(each, "content", "") for each in rebuild(journal.facts(session)).messages
    ]


@pytest.mark.parametrize(
    ("step", "before"),
    [
        (1, ["how many?"]),
        (2, ["how many?", "", "4"]),
        (3, ["how many?", "", "4", "four", "and B?"]),
        (4, ["how many?", "", "4", "four", "and B?", "", "1"]),
    ],
)
async def test_a_fork_holds_what_stands_before_its_step_and_asks_anew(
    journal: Journal, step: int, before: list[str]
) -> None:
    await counted(journal)
    original = journal.records("s")
    assert journal.fork("s", step=step, new_id="f") == "f"
    assert said(journal, "f") == before
    result = await agent(journal, "something else").resume("f")
    assert (result.output, result.session) == ("something else", "f")
    assert journal.records("s") == original
    assert (await journal.replay("f")).is_identical


async def test_the_message_that_a_turn_began_with_is_exchanged(journal: Journal) -> None:
    await counted(journal)
    journal.fork("s", step=3, edit="and C?", new_id="f")
    assert said(journal, "f") == ["how many?", "", "4", "four", "and C?"]
    journal.fork("s", step=1, edit="who are you?", new_id="g")
    assert (said(journal, "g"), journal.summary("g").title) == (["who are you?"], "who are you?")


async def test_within_a_turn_the_user_says_it_after_the_results(journal: Journal) -> None:
    await counted(journal)
    journal.fork("s", step=2, edit="in words, please", new_id="f")
    assert said(journal, "f") == ["how many?", "", "4", "in words, please"]
    assert (await agent(journal, "four of them").resume("f")).output == "four of them"


async def test_an_exchanged_message_keeps_its_pictures_and_a_given_history_is_edited_at_its_end(
    journal: Journal,
) -> None:
    picture = ImagePart(url="data:image/png;base64,AA==")
    history = (UserMessage(text="hi"), ModelResponse(text="ho"), UserMessage(text="look", attachments=(picture,)))
    await agent(journal, "nice").run(messages=history, session="s")
    journal.fork("s", step=1, edit="look closer", new_id="f")
    assert rebuild(journal.facts("f")).messages[-1] == UserMessage(text="look closer", attachments=(picture,))
    assert any(isinstance(fact, HistoryReplaced) for fact in journal.facts("f"))


async def test_the_model_can_be_made_to_have_answered_otherwise(journal: Journal) -> None:
    await counted(journal)
    journal.fork("s", step=1, answer="I do not count.", new_id="f")
    assert journal.summary("f").stop_reason == "end_turn"
    await agent(journal, "sorry").run("why not?", session="f")
    assert said(journal, "f") == ["how many?", "I do not count.", "why not?", "sorry"]


async def test_another_model_and_other_instructions_go_on_with_it(journal: Journal) -> None:
    await counted(journal)
    journal.fork("s", step=4, new_id="f")
    model = ScriptedModel(["uno"], name="glm-4.6")
    await Agent(model, instructions="In Spanish.", journal=journal).resume("f")
    (request,) = model.requests
    assert (request.model, request.instructions, request.tools) == ("glm-4.6", "In Spanish.", ())


async def test_a_whole_session_is_copied_and_goes_on_by_itself(journal: Journal) -> None:
    await counted(journal)
    new = journal.fork("s")
    assert said(journal, new) == said(journal, "s")
    assert [fact.kind for fact in journal.facts(new)] == [fact.kind for fact in journal.facts("s")]
    await agent(journal, "two").run("and C?", session=new)
    assert journal.summary("s").turns == 2


async def test_open_calls_of_a_copy_run_unless_they_may_have_run_already(journal: Journal) -> None:
    await counted(journal)
    facts = journal.facts("s")
    asks = ModelResponse(
        tool_calls=(call("1"), call("2", "pay", amount=1), call("3", "pay", amount=2)), finish_reason="tool_calls"
    )
    with journal.open("cut") as session:
        for fact in (*facts[:2], asks):
            session.keep(fact)
        session.keep(Intent(key="k", call_id="2", name="pay", holder="gone"))
    journal.fork("cut", new_id="f")
    turn = rebuild(journal.facts("f"))
    assert [each.id for each in open_calls(turn.messages)] == ["1", "3"]
    (closed,) = [fact for fact in journal.facts("f") if isinstance(fact, ToolResult)]
    assert (closed.call_id, closed.is_error) == ("2", True)
    assert "not known" in closed.content
    assert (await agent(journal, "done").resume("f")).stop_reason == "end_turn"


async def test_a_call_that_waits_for_approval_waits_in_the_copy_too(journal: Journal) -> None:
    policy = Policy(ask=("pay",))
    await agent(journal, call("1", "pay", amount=1), permissions=policy).run("go", session="s")
    journal.fork("s", new_id="f")
    approved = [ApprovalDecision(call_id="1", is_approved=True)]
    result = await agent(journal, "paid", permissions=policy).resume("f", decisions=approved)
    assert result.output == "paid"
    assert journal.summary("s").stop_reason == "needs_approval"


async def test_every_step_of_a_session_that_was_cut_off_and_approved_makes_a_history_that_can_go_on(
    journal: Journal,
) -> None:
    policy = Policy(ask=("pay",))
    await agent(journal, [call("1"), call("2", "pay", amount=1)], permissions=policy).run("go", session="s")
    approved = [ApprovalDecision(call_id="2", is_approved=True)]
    with pytest.raises(ModelError):
        await agent(journal, ModelError("gone"), permissions=policy).resume("s", decisions=approved)
    await agent(journal, call("3", sku="C"), "done").resume("s")
    await agent(journal, "bye").run("bye", session="s")
    for step in range(1, journal.summary("s").steps + 1):
        new = journal.fork("s", step=step)
        (todo,) = pending(rebuild(journal.facts(new)))
        assert isinstance(todo, ModelRequest)
        assert (await agent(journal, "other").resume(new)).output == "other"


async def test_long_results_come_along(journal: Journal) -> None:
    @tool(read_only=True)
    def long() -> str:
        """Say much."""
        return "\n".join(f"line {number}" for number in range(60_000))

    lines = [ToolCall(id="1", name="long", arguments="{}"), "much"]
    await Agent(ScriptedModel(lines), tools=[long], journal=journal).run("go", session="s")
    (kept,) = journal.results_of("s").iterdir()
    journal.fork("s", step=2, new_id="f")
    journal.delete("s")
    read = ToolCall(id="1", name="read_result", arguments=json.dumps({"id": kept.name, "from_line": 59_999}))
    await Agent(ScriptedModel([read, "fine"]), tools=[long], journal=journal).resume("f")
    assert "59999: line 59998" in said(journal, "f")[-2]


def test_an_empty_message_is_no_edit(journal: Journal) -> None:
    with pytest.raises(ConfigurationError, match="empty: say what is to be done"):
        journal.fork("s", step=1, edit=" ")


async def test_what_cannot_be_forked_is_said(journal: Journal) -> None:
    await counted(journal)
    for step in (0, 5, -1):
        with pytest.raises(ConfigurationError, match=f"has no step {step}: its steps are 1 to 4"):
            journal.fork("s", step=step)
    with pytest.raises(ConfigurationError, match="say at which step"):
        journal.fork("s", edit="x")
    with pytest.raises(JournalError, match="no session 'x'"):
        journal.fork("x", step=1)
    with pytest.raises(JournalError, match="exists already"):
        journal.fork("s", step=1, new_id="s")
    with journal.open("silent") as session:
        session.keep(journal.facts("s")[0])
    with pytest.raises(ConfigurationError, match="the model answered nothing"):
        journal.fork("silent", step=1)
