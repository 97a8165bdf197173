"""What the turns of one agent have in common, and how one of them is put together and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glm_agent.agent import callbacks, given, names, stores
from glm_agent.agent.budget import Budget
from glm_agent.agent.changes import changes
from glm_agent.agent.runtime import Runtime, Runtimes
from glm_agent.agent.said import Said
from glm_agent.agent.start import begin
from glm_agent.agent.wrapping import wrapped
from glm_agent.driver import Approver, Driver, InlineSteps, NestingTools, Observer, Steps, heeding, tell
from glm_agent.messages import Decision, Message, ModelSettings, Notice, TurnResult, TurnStarted, UserMessage
from glm_agent.models.catalog import ModelInfo
from glm_agent.models.endings import Endings
from glm_agent.models.model import Model
from glm_agent.models.record import RecordingModel
from glm_agent.models.view import ContextPolicy
from glm_agent.permissions import Policy, misspelt
from glm_agent.registry import ToolRegistry, Tools
from glm_agent.registry.asking import Asker
from glm_agent.registry.budgeted import BudgetedTools
from glm_agent.registry.equipped import EquippedTools
from glm_agent.registry.handles import Handles
from glm_agent.registry.permitted import PermittedTools
from glm_agent.turn import Turn

if TYPE_CHECKING:
    from glm_agent.models.output import Output
    from glm_agent.registry.results import KeptResults


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The settings of an agent, checked and looked up; what each of them means is said at ``Agent``."""

    tools: tuple[Any, ...]
    """Its own; those of MCP servers are the runtime's."""
    instructions: str
    output: Output | None
    max_steps: int
    policy: Policy
    budget: Budget
    context: ContextPolicy | None
    observers: tuple[Observer, ...]
    session: str | None
    journal: Any
    approve: Approver | None
    ask: Asker | None
    keep_results: bool | None
    endings: Endings | None
    catalog: Mapping[str, ModelInfo] | None
    settings: ModelSettings
    """With the provider's own tools."""
    tool_search: float
    expose_errors: bool

    async def run(
        self,
        runtimes: Runtimes,
        message: UserMessage | None,
        *,
        messages: Sequence[Message] | None = None,
        session: str | None = None,
        deps: Any = None,
        observers: Sequence[Observer] = (),
        decisions: Sequence[Decision] = (),
    ) -> TurnResult:
        """One turn; arguments and errors are those of ``Agent.run``, ``message`` is what the user says in it."""
        session, messages = given.session(session) or self.session, given.messages(messages)
        said = Said((*(messages or ()), *((message,) if message else ())), session or "")
        async with (
            said,  # outermost: also when the store or a server fails, nothing that was said is lost
            stores.kept(self.journal, session, is_new=bool(message or messages)) as kept,
            runtimes as runtime,
        ):
            watchers = (*self.observers, *callbacks.observers(observers))
            with names.results(self.keep_results, kept.results) as results, runtime.watched(watchers):
                tools = await self.offered(runtime, kept.steps, results, kept.results, watchers=watchers)
                started = await self._started(runtime.model, tools, kept)
                turn, facts = begin(
                    kept.turn,
                    started,
                    message,
                    messages=messages,
                    decisions=decisions,
                    left=kept.steps.decisions(),
                    begun=kept.steps.begun(),
                )
                if message is None and kept.turn is not None and facts:
                    for change in changes(kept.turn.started, started):
                        tell(watchers, Notice(text=f"since the turn began: {change}", source="session"))
                driver = said.driver = Driver(
                    turn=turn,
                    model=self._wrapped(runtime.model, turn, kept.steps),
                    tools=tools,
                    steps=kept.steps,
                    observers=watchers,
                    approve=heeding(self.approve, kept.steps) if self.approve is not None else None,
                    deps=deps,
                    timeout_seconds=self.budget.timeout_seconds,
                )
                return self._valued(await driver.run(*facts))

    async def _started(self, model: Model, tools: Tools, kept: stores.Kept) -> TurnStarted:
        return TurnStarted(
            model=model.name,
            instructions=self._instructed(),
            tools=await tools.specs(),
            settings=self.settings,
            max_steps=self.max_steps,
            session=kept.session,
            version=kept.version,
        )

    async def offered(
        self,
        runtime: Runtime,
        steps: Steps,
        results: KeptResults | None,
        folder: Path | None,
        *,
        watchers: Sequence[Observer] = (),
    ) -> Tools:
        """The tools as a turn gets them, with rules and budgets."""
        served = await runtime.served()
        registry = ToolRegistry([*self.tools, *served], expose_errors=self.expose_errors)
        for said in misspelt(self.policy, [tool.spec.name for tool in registry]):
            tell(watchers, Notice(text=said, level="warning", source="permissions"))
        tools: Tools = PermittedTools(registry, self.policy)
        if self.budget.max_tool_calls is not None:
            tools = BudgetedTools(tools, max_calls=self.budget.max_tool_calls)
        if served:
            tools = await names.searched(tools, model=runtime.model.name, share=self.tool_search)
        tools = NestingTools(tools, steps=steps, approve=self.approve)
        handles = Handles(folder) if folder is not None else None
        return EquippedTools(tools, asker=self.ask, results=results, handles=handles)

    def _instructed(self) -> str:
        told = (self.instructions, self.output.instructions if self.output is not None else "")
        return "\n\n".join(filter(None, told))

    def _wrapped(self, model: Model, turn: Turn, steps: Steps) -> Model:
        model = wrapped(
            model,
            context=self.context,
            budget=self.budget,
            spent=turn.usage,
            catalog=self.catalog,
            endings=self.endings,
            settings=self.settings,
            output=self.output,
        )
        # Where answers are kept, they say what was asked, so that the session can be replayed.
        return model if isinstance(steps, InlineSteps) else RecordingModel(model)

    def _valued(self, result: TurnResult) -> TurnResult:
        """The result with the answer as a value of the output type."""
        if self.output is None or result.stop_reason != "end_turn":
            return result
        return replace(result, output=self.output.read(result.output))
