"""The public face: what users, examples and strangers' plugins may count on."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import glm_agent
from glm_agent import messages
from glm_agent.messages import Event, ModelResponse, StopReason, ToolCall, ToolResult, TurnResult, Usage

ROOT = Path(__file__).parents[2]
NAMES = [name for name in glm_agent.__all__ if not name.startswith("_")]
FACE = ast.parse((ROOT / "glm_agent" / "__init__.py").read_text())


def typed_names() -> dict[str, str]:
    """Name to module, of the imports that type checkers see."""
    block = next(node for node in FACE.body if isinstance(node, ast.If))
    return {
        alias.name: node.module or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def test_what_is_offered_what_is_found_and_what_type_checkers_see_is_the_same() -> None:
    assert typed_names() == glm_agent._ROOM_OF
    assert set(NAMES) == set(typed_names())
    assert glm_agent.__all__ == sorted(glm_agent.__all__)
    assert dir(glm_agent) == sorted(glm_agent.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_its_own(name: str) -> None:
    room = importlib.import_module(glm_agent._ROOM_OF[name])
    assert getattr(glm_agent, name) is getattr(room, name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("Event", "Message", "Part")])
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(glm_agent, name))


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'glm_agent' has no attribute 'Agnet'"):
        glm_agent.Agnet  # noqa: B018
    assert glm_agent.__version__.count(".") == 2


def parameters(function: object) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)  # type: ignore[arg-type]
    found.pop("self", None)
    return found


AGENT = {
    *("instructions", "tools", "mcp_servers", "output_type", "max_steps", "permissions", "budget", "context"),
    *("observers", "session", "api_key", "base_url", "client"),
}


def test_an_agent_takes_a_model_and_then_words_by_name() -> None:
    first, *rest = parameters(glm_agent.Agent).values()
    assert first.name == "model"
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {one.kind for one in rest} <= {inspect.Parameter.KEYWORD_ONLY}
    assert {one.name for one in rest} >= AGENT
    assert all(one.default is not inspect.Parameter.empty for one in rest)


@pytest.mark.parametrize("method", ["run", "run_sync", "stream"])
def test_a_run_takes_a_prompt_and_then_words_by_name(method: str) -> None:
    first, *rest = parameters(getattr(glm_agent.Agent, method)).values()
    assert first.name == "prompt"
    if method == "run_sync" and [one.kind for one in rest] == [inspect.Parameter.VAR_KEYWORD]:
        return  # it passes on what ``run`` takes
    assert {one.kind for one in rest} <= {inspect.Parameter.KEYWORD_ONLY}
    assert {"messages", "session", "deps", "attachments"} <= {one.name for one in rest}


def test_an_agent_is_a_context_with_and_without_an_event_loop() -> None:
    for method in ("__aenter__", "__aexit__", "__enter__", "__exit__"):
        assert callable(getattr(glm_agent.Agent, method))


@pytest.mark.parametrize(
    ("noun", "attributes"),
    [
        (TurnResult, "output stop_reason usage messages"),
        (ModelResponse, "text reasoning tool_calls finish_reason usage"),
        (ToolCall, "id name arguments"),
        (ToolResult, "call_id content is_error"),
        (Usage, "input_tokens cached_tokens output_tokens reasoning_tokens total_tokens"),
    ],
)
def test_results_have_the_attributes_that_users_read(noun: type, attributes: str) -> None:
    assert all(hasattr(noun, attribute) for attribute in attributes.split())


def test_events_are_of_the_kinds_that_are_documented() -> None:
    documented = (
        "turn_started user_message model_response tool_result approval_requested approval_decision outcome_unknown "
        "outcome_decision history_replaced turn_stopped text_delta reasoning_delta "
        "tool_call_delta tool_started tool_progress tool_finished retrying notice"
    )
    assert [get_args(get_type_hints(event)["kind"])[0] for event in get_args(Event)] == documented.split()


def test_a_turn_stops_for_the_reasons_that_are_documented() -> None:
    documented = (
        "end_turn max_tokens refusal context_overflow empty invalid_output max_steps budget loop needs_approval "
        "needs_decision cancelled error"
    )
    assert list(get_args(StopReason)) == documented.split()
    assert messages.StopReason is StopReason


def test_public_functions_take_words_by_name_from_the_second_argument_on() -> None:
    for name in NAMES:
        value = getattr(glm_agent, name)
        if inspect.isfunction(value):
            positional = [
                one for one in parameters(value).values() if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
            ]
            assert len(positional) <= 1, name
