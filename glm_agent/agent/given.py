"""What an agent is given, checked on arrival: a slip of the hand is a sentence here, and no riddle in a turn.

Names of models, tools and servers are looked up in ``names``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from glm_agent.agent.budget import Budget
from glm_agent.errors import ConfigurationError
from glm_agent.messages import Message, ModelSettings
from glm_agent.models.catalog import ModelInfo
from glm_agent.models.endings import Endings
from glm_agent.models.model import Model

_Table = TypeVar("_Table", Budget, ModelSettings)

_PLACES: Final = (
    "write journal='sessions/journal.db', a database such as journal='sqlite:///runs.db', or journal=Journal(); "
    "leave it out for the nearest journal"
)


def settings(given: Any) -> ModelSettings:
    """The settings, also from a mapping of the same names."""
    return _table(ModelSettings, given, argument="settings", example="temperature=0.2")


def budget(given: Any) -> Budget:
    """The budget, also from a mapping of the same names."""
    return _table(Budget, given, argument="budget", example="max_cost_usd=0.5, max_tokens=100_000")


def max_steps(given: Any) -> int:
    """A count of model requests."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise ConfigurationError(f"max_steps= takes a whole number, and got {given!r}: write max_steps=20")
    if given < 1:
        raise ConfigurationError(f"max_steps is {given}: a turn needs at least 1")
    return given


def session(given: Any) -> str | None:
    """The id of a stored conversation, where there is one."""
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(
            f'session= takes the id of a stored conversation as text, and got {given!r}: write session="{given}"'
        )
    return given


def journal(given: Any) -> Any:
    """Where sessions are: the name of a file or a database, or a store of sessions; None where nothing was said."""
    if isinstance(given, str | Path):
        if not str(given).strip():
            raise ConfigurationError(f"journal= is empty: {_PLACES}")
        if not (isinstance(given, str) and "://" in given) and os.path.isdir(os.path.expanduser(given)):
            raise ConfigurationError(f"journal= names the folder '{given}': name a file in it, '{given}/journal.db'")
    elif given is not None and not (hasattr(given, "open") and hasattr(given, "results_of")):
        raise ConfigurationError(f"journal= says where sessions are, and got {given!r}: {_PLACES}")
    return given


def instructions(given: Any) -> str:
    """What the model is told before everything else; None is nothing."""
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"instructions= takes text, and got {given!r}")
    return given or ""


def model(given: Any) -> str | Model:
    """A name, or an object that answers requests."""
    if isinstance(given, str) or (hasattr(given, "name") and hasattr(given, "stream")):
        return cast("str | Model", given)
    raise ConfigurationError(f"a model is a name such as 'glm-5.3-flash' or a Model, and got {given!r}")


def client(given: Any) -> Any:
    """An HTTP client that works in an event loop."""
    if given is not None and not all(hasattr(given, name) for name in ("stream", "is_closed", "aclose")):
        raise ConfigurationError(f"client= takes an httpx2.AsyncClient, and got {given!r}")
    return given


def endings(given: Any) -> Endings | None:
    """What is done about answers that are none."""
    if given is not None and not isinstance(given, Endings):
        raise ConfigurationError(f"endings= takes an Endings, and got {given!r}: write endings=Endings(…)")
    return given


def catalog(given: Any) -> Mapping[str, ModelInfo] | None:
    """Models by name."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ConfigurationError(f'catalog= takes models by name, and got {given!r}: write {{"my-glm": ModelInfo(…)}}')
    known: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
    for name, info in known.items():
        if not isinstance(info, ModelInfo):
            raise ConfigurationError(f"catalog= has {info!r} for {name!r}: wanted a ModelInfo")
    return known


def share(given: Any) -> float:
    """A part of the model's context, from 0 to 1."""
    if not isinstance(given, int | float) or not 0 <= given <= 1:
        raise ConfigurationError(f"tool_search= takes a share from 0 to 1, and got {given!r}: write tool_search=0.1")
    return given


def messages(given: Any) -> Sequence[Message] | None:
    """A conversation so far."""
    if given is None:
        return None
    # Type checkers know better than notebooks.
    items: list[Any] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]  # pyright: ignore[reportUnknownVariableType]
    if wrong := [item for item in items if not isinstance(item, Message)]:
        raise ConfigurationError(
            "messages= takes UserMessage, ModelResponse and ToolResult, such as an earlier result.messages, "
            f"not {wrong[0]!r}"
        )
    return items


def prompt(given: Any, *, has_more: bool = False) -> str | None:
    """What the user says; None where nothing is said. Empty only where something else is sent (``has_more``)."""
    if given is None:
        return None
    if not isinstance(given, str):
        raise ConfigurationError(f"the prompt is text, and got {given!r}: earlier messages go in messages=[…]")
    if not given.strip() and not has_more:
        raise ConfigurationError("the prompt is empty: say what is to be done")
    return given


def _table(kind: type[_Table], given: Any, *, argument: str, example: str) -> _Table:
    if given is None or isinstance(given, kind):
        return given or kind()
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{argument}= takes a {kind.__name__}, and got {given!r}: write {argument}={kind.__name__}({example})"
        )
    values: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{argument}= has no {name!r}: {_meant(str(name), known)}")
    return _checked(kind, values, argument=argument)


def _checked(kind: type[_Table], values: Mapping[Any, Any], *, argument: str) -> _Table:
    from pydantic import TypeAdapter, ValidationError  # at first use: most agents are given no mapping

    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        wanted = first["msg"].removeprefix("Input should be ")
        raise ConfigurationError(f"{argument}= has {first['input']!r} for {place!r}: wanted {wanted}") from None


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
