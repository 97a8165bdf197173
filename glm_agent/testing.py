"""Test doubles for plugin authors: one tool called as the model would call it, and a model with a script.

    from glm_agent.testing import ToolTester

    def test_stock_knows_the_article():
        assert ToolTester(stock).call_sync("stock", sku="A-17").content == "4"

No network, no key, no files. What runs is what runs in an agent: the schema, the checks, the bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from glm_agent.driver import InlineSteps, NestingTools
from glm_agent.errors import ConfigurationError
from glm_agent.messages import Event, Part, ToolCall, ToolProgress, ToolResult, ToolSpec
from glm_agent.registry import ToolContext, ToolRegistry
from glm_agent.registry.asking import Question
from glm_agent.simulate import ScriptedModel

__all__ = ["Outcome", "Question", "ScriptedModel", "ToolTester"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one call."""

    result: ToolResult
    """As the model would get it."""
    events: tuple[Event, ...] = ()
    """What was shown meanwhile."""

    @property
    def content(self) -> str:
        """The text that the model reads."""
        return self.result.content

    @property
    def is_error(self) -> bool:
        return self.result.is_error

    @property
    def attachments(self) -> tuple[Part, ...]:
        """Pictures and the like."""
        return self.result.attachments

    @property
    def value(self) -> Any:
        """The text read as JSON; ``ValueError`` where it is none."""
        return json.loads(self.content)

    @property
    def progress(self) -> tuple[str, ...]:
        """The texts of what was shown as progress."""
        return tuple(event.text for event in self.events if isinstance(event, ToolProgress))


class ToolTester:
    """Calls tools the way a model does: by name, with arguments as JSON text that may be wrong.

    Args:
        tools: Functions, ``@tool`` objects, or names as for ``Agent(tools=[…])``: ``"acme_stock"``, ``"./tools"``.
        deps: What the tools find as ``context.deps``.
        session: What they find as ``context.session``.
        answers: What the person says to ``context.ask``, in order; None declines. Without more, everything is declined.

    Raises:
        ConfigurationError: Something given is no tool, two have one name, or a plugin is broken.
    """

    def __init__(self, *tools: Any, deps: Any = None, session: str = "test", answers: Iterable[Any] = ()) -> None:
        self._registry = ToolRegistry([found for given in tools for found in _found(given)])
        self._tools = NestingTools(self._registry, steps=InlineSteps())
        self._deps, self._session = deps, session
        self._answers = iter(answers)
        self.asked: list[Question] = []
        """What the tools asked the person."""

    @property
    def specs(self) -> dict[str, ToolSpec]:
        """What the model is shown, by name."""
        return {tool.spec.name: tool.spec for tool in self._registry}

    async def call(self, name: str, text: str | None = None, /, **arguments: Any) -> Outcome:
        """One call with these arguments, or with ``text`` as the model might have written it, broken or not.

        Whatever the tool does is an outcome, as it is for the model; nothing is raised but cancellation.
        """
        events: list[Event] = []
        written = json.dumps(arguments, ensure_ascii=False) if text is None else text
        call = ToolCall(id="call_test", name=name, arguments=written)
        context = ToolContext(
            call=call,
            deps=self._deps,
            session=self._session,
            idempotency_key=f"test-{name}",
            emit=events.append,
            asker=self._ask,
        )
        result = await self._tools.call(call, context)
        assert isinstance(result, ToolResult)  # no permissions and no budget here, which answer with other things
        return Outcome(result=result, events=tuple(events))

    async def _ask(self, question: Question) -> Any:
        self.asked.append(question)
        return next(self._answers, None)

    def call_sync(self, name: str, text: str | None = None, /, **arguments: Any) -> Outcome:
        """``call`` for tests without an event loop."""
        return anyio.run(partial(self.call, name, text, **arguments))


def _found(given: Any) -> Iterator[Any]:
    if not isinstance(given, str | Path):
        yield given
        return
    from glm_agent.plugins import load_tools

    loaded = load_tools([str(given)])
    if loaded.broken:
        raise ConfigurationError(f"the tools {str(given)!r} cannot be loaded: {loaded.broken[0]}")
    yield from loaded.tools
