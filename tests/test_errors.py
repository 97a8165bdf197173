"""The exceptions: one tree, as drawn, that reads well and travels between processes."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from glm_agent import errors
from glm_agent.errors import (
    AgentError,
    AuthenticationError,
    ContentFiltered,
    MCPServerError,
    ModelError,
    ModelStatusError,
    ModelTimeout,
    RateLimited,
    ToolError,
    TurnError,
)
from glm_agent.messages import ModelResponse, UserMessage

ALL = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__]


def drawn_tree() -> dict[str, str]:
    """Class to base, read off the indents of the module's docstring."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    parents: list[tuple[int, str]] = []
    tree: dict[str, str] = {}
    for line in lines:
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parents = [(depth, parent) for depth, parent in parents if depth < indent]
        tree[name] = parents[-1][1] if parents else "Exception"
        parents.append((indent, name))
    return tree


def made(kind: type[AgentError]) -> AgentError:
    if issubclass(kind, ModelStatusError):
        return kind(
            "slow down",
            status_code=429,
            code="1302",
            request_id="r1",
            is_retryable=True,
            retry_after_seconds=1.5,
        )
    if issubclass(kind, ModelError):
        return kind("broken", request_id="r1", is_retryable=True, response=ModelResponse(text="half"))
    if issubclass(kind, MCPServerError):
        return kind("gone", server="git")
    return kind("wrong")


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    assert drawn_tree() == {kind.__name__: kind.__base__.__name__ for kind in ALL}
    assert len(ALL) > 15


def test_every_error_has_one_root_and_no_other_base() -> None:
    assert all(len(kind.__bases__) == 1 and issubclass(kind, AgentError) for kind in ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])
def test_every_error_travels_with_all_it_knows(kind: type[AgentError], copied: object) -> None:
    error = made(kind)
    error.messages, error.session = (UserMessage(text="hello"),), "s1"
    again = copied(error)  # type: ignore[operator]
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_model_error_says_its_request() -> None:
    assert str(ModelError("it broke", request_id="r1")) == "it broke (request r1)"
    assert str(ModelError("it broke")) == "it broke"


def test_a_model_error_is_final_unless_somebody_says_that_it_may_pass() -> None:
    error = ModelError("it broke")
    assert (error.request_id, error.is_retryable, error.response) == ("", False, None)


def test_a_status_error_carries_status_code_and_wait() -> None:
    error = made(RateLimited)
    assert isinstance(error, ModelStatusError)
    assert str(error) == "slow down (request r1)"
    assert (error.status_code, error.code, error.retry_after_seconds) == (429, "1302", 1.5)
    assert (error.request_id, error.is_retryable) == ("r1", True)


def test_nothing_said_is_lost_where_nothing_was_said() -> None:
    assert (ToolError("x").messages, ToolError("x").session) == ((), "")


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [(ModelTimeout, errors.ModelConnectionError), (AuthenticationError, ModelError), (ContentFiltered, ModelError)],
)
def test_an_error_is_caught_as_what_it_is(kind: type[AgentError], caught_as: type[AgentError]) -> None:
    assert issubclass(kind, caught_as)
    assert not issubclass(kind, TurnError)
