"""Servers that ask a person, through an agent: forms, addresses, and nobody there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import types
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from glm_agent import Agent, ToolCall, ToolResult
from glm_agent.mcp import patience, server_log, tools, visits
from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.patience import Patience
from glm_agent.mcp.peer import Peer
from glm_agent.mcp.visits import Visits
from glm_agent.messages import Notice, ToolProgress
from glm_agent.registry import ToolRegistry
from glm_agent.registry.asking import DISMISSED, Question
from glm_agent.registry.bound import Bound
from glm_agent.serve.offers import Offer
from glm_agent.serve.server import ToolServer
from glm_agent.simulate import ScriptedModel

SERVER = str(Path(__file__).parent / "servers" / "asking.py")


def agent(tool: str, *, arguments: dict[str, Any] | None = None, **settings: Any) -> Agent:
    call = ToolCall(id="1", name=f"asking__{tool}", arguments=json.dumps(arguments or {}))
    servers = [{"name": "asking", "command": sys.executable, "args": [SERVER]}]
    return Agent(ScriptedModel([call, "done"]), mcp_servers=servers, **settings)


async def outcome(asking: Agent) -> str:
    result = await asking.run("go")
    (answer,) = [message.content for message in result.messages if isinstance(message, ToolResult)]
    return answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"name": "Ada", "hot": False}, {"action": "accept", "content": {"name": "Ada", "hot": False}}),
        (None, {"action": "decline"}),
        (False, {"action": "decline"}),
        (DISMISSED, {"action": "cancel"}),
    ],
)
@pytest.mark.anyio
async def test_the_one_who_answers_tools_answers_servers(said: Any, answer: dict[str, Any]):
    asked: list[Question] = []

    async def ask(question: Question) -> Any:
        asked.append(question)
        return said

    assert json.loads(await outcome(agent("order", ask=ask))) == answer
    (question,) = asked
    assert (question.server, question.tool, question.url) == ("asking", "", "")
    assert question.text == "What may it be?"
    assert list(question.schema["properties"]) == ["name", "size", "hot"]


@pytest.mark.anyio
async def test_an_answer_that_does_not_fit_never_reaches_the_server():
    asked: list[Question] = []

    async def ask(question: Question) -> Any:
        asked.append(question)
        return [{}, {"name": "A"}, {"name": "Ada", "hot": "yes"}][len(asked) - 1]

    assert json.loads(await outcome(agent("order", ask=ask)))["content"] == {"name": "Ada", "hot": True}
    assert [question.problem for question in asked] == ["", "'name' is missing", "'name': write 2 or more characters"]

    async def never(question: Question) -> Any:
        return "something"

    assert json.loads(await outcome(agent("order", ask=never))) == {"action": "decline"}


@pytest.mark.anyio
async def test_a_question_that_a_server_takes_back_is_asked_no_longer(tmp_path: Path):
    door = tmp_path / "door"
    ended: list[str] = []

    async def ask(question: Question) -> Any:
        door.touch()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(question.text)

    assert await outcome(agent("hasty", arguments={"door": str(door)}, ask=ask)) == "never mind"
    assert ended == ["What may it be?"]


@pytest.mark.parametrize("tool", ["order", "enter"])
@pytest.mark.anyio
async def test_where_nobody_is_a_question_is_declined_and_an_event_says_so(tool: str):
    events: list[Any] = []
    assert json.loads(await outcome(agent(tool, observers=[events.append]))) == {"action": "decline"}
    (notice,) = warnings_of(events)
    assert notice.source == "mcp:asking"
    assert "Nobody is here to answer: declined" in notice.text


def warnings_of(events: list[Any]) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice) and event.level == "warning"]


@pytest.mark.anyio
async def test_what_a_server_logs_is_a_notice_from_a_warning_on_and_not_a_flood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_log, "WITHIN_SECONDS", 1000)
    events: list[Any] = []
    await outcome(agent("talk", observers=[events.append]))
    said = [notice.text for notice in warnings_of(events)]
    assert len(said) == 5
    assert said[0].endswith("it logs: db: no. 0.")


@pytest.mark.anyio
async def test_a_call_says_how_far_it_is_a_few_times_and_at_its_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools, "PROGRESS_SECONDS", 1000)
    events: list[Any] = []
    await outcome(agent("count", observers=[events.append]))
    shown = [(event.done, event.total, event.text) for event in events if isinstance(event, ToolProgress)]
    assert shown == [(1, 200, "1"), (200, 200, "200")]


class Order(BaseModel):
    name: str


@pytest.mark.parametrize(("is_legacy", "said"), [(True, "accept Ada"), (False, '"protocol": "2025-11-25"')])
@pytest.mark.anyio
async def test_a_server_that_asks_as_older_protocols_do_is_spoken_to_in_one_of_them_where_its_entry_says_so(
    is_legacy: bool, said: str
):
    server = MCPServer("shop")

    @server.tool()
    async def order(context: Context) -> str:
        answer = await context.elicit("What may it be?", Order)
        return f"{answer.action} {answer.data.name if answer.action == 'accept' else ''}"

    async def ask(question: Question) -> Any:
        return {"name": "Ada"}

    config = ServerConfig(name="asking", transport="memory", instance=server, is_legacy=is_legacy)
    call = ToolCall(id="1", name="asking__order", arguments="{}")
    assert said in await outcome(Agent(ScriptedModel([call, "done"]), mcp_servers=[config], ask=ask))


@pytest.mark.anyio
async def test_a_server_that_never_has_enough_is_given_up():
    async def run(request: Any) -> Any:
        question = {"mode": "form", "message": "More?", "requestedSchema": {"type": "object", "properties": {}}}
        asked = {"more": {"method": "elicitation/create", "params": question}}
        return types.InputRequiredResult.model_validate({"resultType": "input_required", "inputRequests": asked})

    async def ask(question: Question) -> Any:
        return {}

    offer = Offer(tool=types.Tool(name="order", input_schema={"type": "object"}), run=run)
    server = ToolServer(ToolRegistry(), extra=[offer]).server
    config = ServerConfig(name="asking", transport="memory", instance=server)
    call = ToolCall(id="1", name="asking__order", arguments="{}")
    said = await outcome(Agent(ScriptedModel([call, "done"]), mcp_servers=[config], ask=ask))
    assert "it asked again and again, and was given up" in said


@pytest.mark.anyio
async def test_an_address_is_agreed_to_with_true():
    async def ask(question: Question) -> Any:
        return question.url == "https://login.example/x"

    assert json.loads(await outcome(agent("enter", ask=ask))) == {"action": "accept"}


@pytest.mark.anyio
async def test_a_call_that_wants_a_visit_is_sent_again_until_the_server_has_seen_the_person(tmp_path: Path):
    asked: list[Question] = []

    async def ask(question: Question) -> Any:
        asked.append(question)
        return True

    with anyio.fail_after(60):
        said = await outcome(agent("admit", arguments={"door": str(tmp_path / "door")}, ask=ask))
    assert said == "in after 3"
    assert len(asked) == 1


@pytest.mark.anyio
async def test_a_visit_that_is_declined_refuses_the_call(tmp_path: Path):
    async def ask(question: Question) -> Any:
        return None

    said = await outcome(agent("admit", arguments={"door": str(tmp_path / "door")}, ask=ask))
    assert "a login is needed" in said


@pytest.mark.anyio
async def test_an_address_is_asked_for_once_and_then_waited_for_longer_and_longer(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    waits: list[float] = []
    monkeypatch.setattr(visits.anyio, "move_on_after", lambda seconds: waits.append(seconds) or anyio.CancelScope())
    visited = Visits()
    visited.seen("v1")

    async def ask() -> bool:
        asked.append("?")
        return True

    for _ in range(9):
        assert await visited.agree("https://x", "v1", ask)
    assert asked == ["?"]
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60]


@pytest.mark.anyio
async def test_calls_stand_still_while_a_person_is_asked(monkeypatch: pytest.MonkeyPatch):
    bounds: list[Bound] = []
    monkeypatch.setattr(patience, "Bound", lambda seconds: bounds.append(Bound(seconds)) or bounds[-1])
    open_calls = Patience()
    with open_calls.bounded(60):
        with open_calls.paused(), open_calls.paused():
            assert bounds[0].scope.deadline == float("inf")
        assert bounds[0].scope.deadline < float("inf")
    with pytest.raises(TimeoutError), open_calls.bounded(0.01):
        await anyio.sleep_forever()


@pytest.mark.anyio
async def test_the_time_that_a_person_takes_is_not_the_calls(monkeypatch: pytest.MonkeyPatch):
    bounds: list[Bound] = []
    deadlines: list[float] = []
    monkeypatch.setattr(patience, "Bound", lambda seconds: bounds.append(Bound(seconds)) or bounds[-1])

    async def ask(question: Question) -> Any:
        deadlines.append(bounds[-1].scope.deadline)

    await outcome(agent("order", ask=ask))
    await outcome(agent("enter", ask=ask))
    assert deadlines == [float("inf")] * 2


@pytest.mark.parametrize(
    "data",
    [None, {}, {"elicitations": []}, {"elicitations": [7]}, {"elicitations": [{"mode": "url", "url": 3}]}],
)
@pytest.mark.anyio
async def test_an_error_that_names_no_address_is_no_invitation(data: Any):
    async def ask(question: Question) -> Any:
        raise AssertionError(question)

    peer = Peer(ServerConfig(name="s", command="x"), Callbacks(elicit=ask))
    assert not await peer.visited(data)
    params = types.ElicitCompleteNotificationParams(elicitation_id="v1")
    peer.heard(types.ElicitCompleteNotification(params=params))
