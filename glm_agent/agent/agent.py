"""``Agent``: the settings of many turns, and the ways to run one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glm_agent.agent import callbacks, given, names, stores
from glm_agent.agent.attachments import Attachment, parts
from glm_agent.agent.budget import Budget
from glm_agent.agent.callbacks import Approving
from glm_agent.agent.changes import changes
from glm_agent.agent.providers import model_maker
from glm_agent.agent.runtime import Blocking, Runtime, Runtimes
from glm_agent.agent.said import Said
from glm_agent.agent.start import begin
from glm_agent.agent.wrapping import wrapped
from glm_agent.driver import Driver, EventStream, InlineSteps, NestingTools, Observer, Steps, heeding, tell
from glm_agent.errors import ConfigurationError
from glm_agent.messages import (
    Decision,
    Message,
    ModelSettings,
    Notice,
    TurnResult,
    TurnStarted,
    UserMessage,
)
from glm_agent.models.catalog import ModelInfo
from glm_agent.models.endings import Endings
from glm_agent.models.model import Model
from glm_agent.models.record import RecordingModel
from glm_agent.models.view import ContextPolicy
from glm_agent.permissions import Policy
from glm_agent.registry import ToolRegistry, Tools
from glm_agent.registry.asking import Asker
from glm_agent.registry.budgeted import BudgetedTools
from glm_agent.registry.equipped import EquippedTools
from glm_agent.registry.handles import Handles
from glm_agent.registry.permitted import PermittedTools
from glm_agent.turn import Turn

if TYPE_CHECKING:
    from glm_agent.models.glm.clients import Client
    from glm_agent.registry.results import KeptResults


class Agent:
    """A model with instructions, tools and limits. One agent serves many turns, also at once.

    Args:
        model: A GLM model's id (``glm-5.3-flash``), ``provider:id`` (``zai: bigmodel: coding: openrouter: vllm:`` …),
            ``simulate:SCENARIO``, or anything with the ``Model`` protocol.
        instructions: What the model is told before everything else.
        tools: Functions, ``@tool`` objects, or names: an entry point, ``./folder``, ``./file.py``, ``module:object``;
            and tools of the provider: ``WebSearch()``, ``Retrieval(…)``, ``HostedMCP(…)``.
        mcp_servers: ``.mcp.json`` files, commands (``"uvx mcp-server-time"``), addresses, or mappings.
        output_type: A type the answer must fit, or a JSON Schema (a mapping, or a file of JSON or YAML);
            ``result.output`` is then a value of it.
        max_steps: Model requests in a turn before the model is asked once more without tools.
        permissions: A ``Policy``, a mapping, or a YAML file with ``allow``, ``ask`` and ``deny``.
        budget: What one turn may spend: ``Budget``, or a mapping of the same names.
        context: A pure function on the messages of each request: what of the history is sent.
        observers: Functions that see every event.
        session: Id of the stored conversation that every run goes on with.
        journal: Where sessions are stored: a path or a ``Journal``, or a database, ``"sqlite:///runs.db"`` or
            ``"postgresql://…"`` (extra ``durable``). Else ``GLM_AGENT_DATABASE_URL``, else the nearest ``.glm-agent``.
        ask: Asks a person what a tool (``context.ask``) or an MCP server wants to know; without it all is declined.
        keep_results: Whether results too long for the model are kept whole, for it to read on in with ``read_result``;
            None: where the session is stored.
        approve: Asks a person about a call: True, False or an ``ApprovalDecision``; without it, or with None, such a
            turn stops with ``needs_approval``.
        api_key: Else ``ZAI_API_KEY``, ``ZHIPUAI_API_KEY`` or ``GLM_API_KEY``.
        base_url: Else ``ZAI_BASE_URL`` and the like, else the provider's.
        client: An ``httpx2.AsyncClient`` to use; it stays open.
        fallback: Models that are asked, in order, when ``model`` fails; ``"glm-5.3|glm-5.2"`` says the same.
        catalog: Windows, limits and prices of models by name, where you know better than the table that ships.
        endings: What is done about answers that are none (empty, cut, too long a history) before they end the turn.
        settings: Temperature, thinking and the like: ``ModelSettings``, or a mapping of the same names.
        tool_search: Share of the model's context that definitions of MCP tools may take; beyond it they are found
            by search. 0 is always, 1 never.
        expose_errors: Whether the model reads the message of a tool's exception.

    Raises:
        ConfigurationError: Something given cannot work; found before any network traffic.
    """

    def __init__(
        self,
        model: str | Model,
        *,
        instructions: str = "",
        tools: Iterable[Any] = (),
        mcp_servers: Iterable[Any] = (),
        output_type: Any = None,
        max_steps: int = 20,
        permissions: Policy | Mapping[str, Any] | str | Path | None = None,
        budget: Budget | Mapping[str, Any] | None = None,
        context: ContextPolicy | None = None,
        observers: Sequence[Observer] = (),
        session: str | None = None,
        journal: Any = None,
        approve: Approving | None = None,
        ask: Asker | None = None,
        keep_results: bool | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Client | None = None,
        fallback: Sequence[str | Model] = (),
        endings: Endings | None = None,
        catalog: Mapping[str, ModelInfo] | None = None,
        settings: ModelSettings | Mapping[str, Any] | None = None,
        tool_search: float = 0.1,
        expose_errors: bool = True,
    ) -> None:
        new_model = model_maker(
            given.model(model),
            fallback=[given.model(each) for each in names.listed(fallback, argument="fallback")],
            catalog=given.catalog(catalog),
            api_key=api_key,
            base_url=base_url,
            client=given.client(client),
        )
        new_servers = names.servers_maker(mcp_servers, ask=callbacks.asker(ask))
        self._runtimes = Runtimes(lambda: Runtime(new_model(), new_servers()))
        self._blocking = Blocking()
        own, hosted = names.split_hosted(tools)
        self.offer(own)
        self._expose_errors = expose_errors
        self._tool_search = given.share(tool_search)
        self._output = names.output(output_type)
        self._instructions = given.instructions(instructions)
        self._task_prompt: str | None = None
        self._max_steps = given.max_steps(max_steps)
        self._policy = names.policy(permissions)
        self._budget = given.budget(budget)
        self._context = callbacks.context(context)
        self._observers = callbacks.observers(observers)
        self._session, self._journal = given.session(session), given.journal(journal)
        self._approve, self._ask = callbacks.approver(approve), ask
        self._keep_results = keep_results
        self._endings, self._catalog = given.endings(endings), catalog
        self._settings = given.settings(settings)
        if hosted:
            self._settings = replace(self._settings, hosted_tools=(*self._settings.hosted_tools, *hosted))

    @classmethod
    def from_task(cls, path: str | Path, *, parameters: Mapping[str, Any] | None = None, **overrides: Any) -> Self:
        """The agent of a task file; ``run`` and the like without a prompt begin with the task's text.

        Args:
            path: Markdown with YAML front matter, see ``docs/task-files.md``.
            parameters: What its ``${name}`` stand for.
            overrides: Arguments of ``Agent`` that replace the task's, such as ``model`` where it names none.

        Raises:
            ConfigurationError: With file, line and column.
        """
        from glm_agent.agent.task import load_task

        task = load_task(path, parameters=parameters)
        arguments = {**task.agent_arguments(), **overrides}
        if "model" not in arguments:
            raise ConfigurationError(
                f'{task.path}: the task names no model: write model="glm-5.3-flash" beside the path'
            )
        agent = cls(**arguments)
        agent._task_prompt = task.prompt
        return agent

    def offer(self, tools: Iterable[Any]) -> None:
        """Offer these functions, ``@tool`` objects and names from the next turn on, instead of those before.

        Raises:
            ConfigurationError: One of them cannot be loaded, or two have one name; those before stay.
        """
        found = names.tools(tools)
        ToolRegistry(found)  # finds two tools of one name before any run
        self._tools = found

    # -- running

    async def run(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        session: str | None = None,
        deps: Any = None,
        attachments: Sequence[Attachment] = (),
        observers: Sequence[Observer] = (),
    ) -> TurnResult:
        """One turn, from the prompt to the answer or to whatever else stopped it.

        Args:
            prompt: What the user says; None goes on with ``messages`` or with the rest of the session.
            messages: The conversation so far, such as an earlier ``result.messages``.
            session: Id of a stored conversation (made if new) that this turn is added to.
            deps: Handed to tools as ``context.deps``.
            attachments: Pictures and the like for a model that takes them.

        Returns:
            The result; ``stop_reason`` says whether it is an answer (``end_turn``) or what else happened.

        Raises:
            ConfigurationError: Nothing can be run as it is set.
            ModelError: The provider could not be used; ``.messages`` and ``.session`` hold what was said.
            MCPServerError: A server did not start.
            JournalError: The session cannot be stored, or another process holds it.
        """
        message = self._message(prompt, attachments, goes_on=messages is not None)
        return await self._run(message, messages=messages, session=session, deps=deps, observers=observers)

    async def resume(
        self,
        session: str | None = None,
        *,
        decisions: Sequence[Decision] = (),
        deps: Any = None,
        observers: Sequence[Observer] = (),
    ) -> TurnResult:
        """Finish the turn of a stored session that was cut off: nothing that was answered is asked again.

        ``decisions`` answer what it waits for: an ``ApprovalDecision`` whether a call may run, an ``OutcomeDecision``
        what came of a call that a process left when it died. What was decided elsewhere (``Journal.decide``) is taken
        first. A turn that has its answer returns it. What is different since it began is a ``Notice``.
        """
        return await self._run(None, session=session, deps=deps, observers=observers, decisions=decisions)

    def run_sync(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        session: str | None = None,
        deps: Any = None,
        attachments: Sequence[Attachment] = (),
        observers: Sequence[Observer] = (),
    ) -> TurnResult:
        """``run`` for code without an event loop, and for notebooks, where one is running already."""
        return self._blocking.call(
            self.run,
            prompt,
            messages=messages,
            session=session,
            deps=deps,
            attachments=attachments,
            observers=observers,
        )

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        session: str | None = None,
        deps: Any = None,
        attachments: Sequence[Attachment] = (),
    ) -> EventStream:
        """One turn as events: ``async with agent.stream(…) as events``, iterate, then ``events.result``."""
        message = self._message(prompt, attachments, goes_on=messages is not None)

        async def run(observer: Observer) -> TurnResult:
            return await self._run(message, messages=messages, session=session, deps=deps, observers=(observer,))

        return EventStream(run)

    # -- staying open

    async def __aenter__(self) -> Self:
        self._runtimes.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runtimes.leave()

    def __enter__(self) -> Self:
        self._blocking.open()
        try:
            self._blocking.call(self.__aenter__)
        except BaseException:
            self._blocking.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._blocking.call(self._runtimes.leave)
        finally:
            self._blocking.close()

    @asynccontextmanager
    async def open_tools(self) -> AsyncGenerator[Tools]:
        """The tools as a turn gets them, with rules and budgets, as long as the block lasts: to replay a session on."""
        keep = self._keep_results is not False
        async with self._runtimes as runtime:
            with names.results(keep, None) as results:
                yield await self._offered(runtime, InlineSteps(), results, None)

    # -- one turn, put together

    async def _run(
        self,
        message: UserMessage | None,
        *,
        messages: Sequence[Message] | None = None,
        session: str | None = None,
        deps: Any = None,
        observers: Sequence[Observer] = (),
        decisions: Sequence[Decision] = (),
    ) -> TurnResult:
        session, messages = given.session(session) or self._session, given.messages(messages)
        said = Said((*(messages or ()), *((message,) if message else ())), session or "")
        async with (
            said,  # outermost: also when the store or a server fails, nothing that was said is lost
            stores.kept(self._journal, session, is_new=bool(message or messages)) as kept,
            self._runtimes as runtime,
        ):
            watchers = (*self._observers, *callbacks.observers(observers))
            with names.results(self._keep_results, kept.results) as results, runtime.watched(watchers):
                tools = await self._offered(runtime, kept.steps, results, kept.results)
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
                    approve=heeding(self._approve, kept.steps) if self._approve is not None else None,
                    deps=deps,
                    timeout_seconds=self._budget.timeout_seconds,
                )
                return self._valued(await driver.run(*facts))

    async def _started(self, model: Model, tools: Tools, kept: stores.Kept) -> TurnStarted:
        return TurnStarted(
            model=model.name,
            instructions=self._instructed(),
            tools=await tools.specs(),
            settings=self._settings,
            max_steps=self._max_steps,
            session=kept.session,
            version=kept.version,
        )

    async def _offered(self, runtime: Runtime, steps: Steps, results: KeptResults | None, folder: Path | None) -> Tools:
        served = await runtime.served()
        tools: Tools = ToolRegistry([*self._tools, *served], expose_errors=self._expose_errors)
        tools = PermittedTools(tools, self._policy)
        if self._budget.max_tool_calls is not None:
            tools = BudgetedTools(tools, max_calls=self._budget.max_tool_calls)
        if served:
            tools = await names.searched(tools, model=runtime.model.name, share=self._tool_search)
        tools = NestingTools(tools, steps=steps, approve=self._approve)
        handles = Handles(folder) if folder is not None else None
        return EquippedTools(tools, asker=self._ask, results=results, handles=handles)

    def _message(self, prompt: str | None, attachments: Sequence[Attachment], *, goes_on: bool) -> UserMessage | None:
        said = given.prompt(prompt, has_more=bool(attachments))
        if said is None and not goes_on:
            said = self._task_prompt
        return None if said is None else UserMessage(text=said, attachments=parts(attachments))

    def _instructed(self) -> str:
        told = (self._instructions, self._output.instructions if self._output is not None else "")
        return "\n\n".join(filter(None, told))

    def _wrapped(self, model: Model, turn: Turn, steps: Steps) -> Model:
        model = wrapped(
            model,
            context=self._context,
            budget=self._budget,
            spent=turn.usage,
            catalog=self._catalog,
            endings=self._endings,
            settings=self._settings,
            output=self._output,
        )
        # Where answers are kept, they say what was asked, so that the session can be replayed.
        return model if isinstance(steps, InlineSteps) else RecordingModel(model)

    def _valued(self, result: TurnResult) -> TurnResult:
        """The result with the answer as a value of the output type."""
        if self._output is None or result.stop_reason != "end_turn":
            return result
        return replace(result, output=self._output.read(result.output))
