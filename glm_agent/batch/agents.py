"""Lines to agents: lines that differ in their prompt alone share one, with its connections and servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from glm_agent.agent import given
from glm_agent.agent.agent import Agent
from glm_agent.agent.task import Task, TaskFile, read_task
from glm_agent.batch.lines import Item, spoken
from glm_agent.errors import ConfigurationError
from glm_agent.messages import Usage
from glm_agent.models.catalog import ModelInfo, cost_usd
from glm_agent.models.purse import Purse

if TYPE_CHECKING:
    from glm_agent.journal import Journal

Arguments: TypeAlias = Callable[[Task | None], dict[str, Any]]
"""Of ``Agent``, for a task file or for a bare prompt."""

_KEPT_OPEN: Final = 16
"""Agents that stay open; instructions with a parameter in them make one for every line."""

_REMOTE: Final = ("http://", "https://", "data:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A line, ready to be run."""

    agent: Agent
    prompt: str
    attachments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A line as data."""

    task: str
    """The task file; empty for a bare prompt."""
    parameters: dict[str, str]
    prompt: str
    attachments: tuple[str, ...]


class Agents:
    """The agents of a batch; a context manager around its run."""

    def __init__(
        self, *, task: Path | None, folder: Path, arguments: Arguments | None, journal: Journal, purse: Purse
    ) -> None:
        self._default = read_task(task) if task is not None else None
        self._folder = folder
        self._arguments, self._journal, self._purse = arguments, journal, purse
        self._files: dict[str, TaskFile] = {}
        self._checked = set[tuple[str, str]]()
        self._kept: dict[tuple[str, str, str], Agent] = {}
        self._open = AsyncExitStack()

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Names that a line may give directly."""
        return self._default.settings.params if self._default is not None else {}

    def check(self, item: Item) -> None:
        """Everything about a line that can be known before anything is sent; ``ConfigurationError``."""
        task = self._task(item)
        for name in item.line.attachments:
            path = self._folder / name
            if not name.startswith(_REMOTE) and not os.path.isfile(path):
                raise ConfigurationError(f"there is no attachment '{path}'")
        settings = (str(task.path) if task is not None else "", item.line.model or "")
        if self._arguments is not None and settings not in self._checked:  # else workers make them, from data
            self._made(item, task)
            self._checked.add(settings)

    async def of(self, item: Item) -> Work:
        """What runs for a line. Raises ``ConfigurationError``, also for a key that is missing."""
        task = self._task(item)
        names = (str(task.path) if task else "", task.instructions if task else "", item.line.model or "")
        agent = self._kept.get(names)
        if agent is None:
            agent = self._made(item, task)
            if len(self._kept) < _KEPT_OPEN:
                await self._open.enter_async_context(agent)
                self._kept[names] = agent
        text = self.text(item)
        return Work(agent=agent, prompt=text.prompt, attachments=text.attachments)

    def text(self, item: Item) -> Text:
        """What a line says, with its task read and filled in; ``ConfigurationError`` as ``check``."""
        task = self._task(item)
        return Text(
            task=str(task.path.absolute()) if task is not None else "",
            parameters={name: str(value) for name, value in task.parameters.items()} if task is not None else {},
            prompt=task.prompt if task is not None else item.line.prompt or "",
            attachments=tuple(map(self._attachment, item.line.attachments)),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def _task(self, item: Item) -> Task | None:
        line = item.line
        file = self._default
        if line.prompt is not None:
            file = None
        elif line.task is not None:
            file = self._file(line.task)
        if file is None:
            if line.prompt is None:
                raise ConfigurationError("there is nothing to do: give 'prompt', 'task', or --task for all lines")
            if line.parameters:
                raise ConfigurationError("'parameters' are of a task file: a prompt has none")
            return None
        missing = sorted(name for name, value in line.parameters.items() if value is None)
        if missing:
            raise ConfigurationError(f"the parameter '{missing[0]}' is null: give it a value")
        return file.filled({name: spoken(value) for name, value in line.parameters.items()})

    def _file(self, name: str) -> TaskFile:
        if name not in self._files:
            self._files[name] = read_task(self._folder / Path(os.path.expanduser(name)))
        return self._files[name]

    def _made(self, item: Item, task: Task | None) -> Agent:
        assert self._arguments is not None
        arguments = dict(self._arguments(task))
        if item.line.model is not None:
            arguments["model"] = item.line.model
        if "model" not in arguments:
            raise ConfigurationError("no model is named: neither by the line, nor by its task, nor for the batch")
        if self._purse.limit_usd is not None:
            _check_price(arguments["model"], arguments.get("catalog"))
        arguments["budget"] = replace(given.budget(arguments.get("budget")), purse=self._purse)
        arguments["journal"] = self._journal
        return Agent(**arguments)

    def _attachment(self, name: str) -> str:
        return name if name.startswith(_REMOTE) else str(self._folder / name)


def _check_price(model: Any, catalog: Mapping[str, ModelInfo] | None) -> None:
    """A limit of money needs prices. What the simulator plays is known only when it runs."""
    provider, colon, rest = (model if isinstance(model, str) else model.name).partition("|")[0].partition(":")
    name = rest if colon else provider
    if provider != "simulate" and cost_usd(name, Usage(), overrides=catalog) is None:
        raise ConfigurationError(
            f"a limit of money needs prices, and none are known for the model {name!r}: limit tokens instead"
        )


def overridden(replaced: Mapping[str, Any]) -> Arguments:
    """The arguments of a task with some of them replaced, as in ``Agent.from_task``."""

    def arguments(task: Task | None) -> dict[str, Any]:
        return {**(task.agent_arguments() if task is not None else {}), **replaced}

    return arguments
