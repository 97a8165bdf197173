"""``Agent``: the settings of many turns, and the ways to run one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glm_agent.agent import callbacks, given, names
from glm_agent.agent.attachments import Attachment, parts
from glm_agent.agent.budget import Budget
from glm_agent.agent.callbacks import Approving
from glm_agent.agent.providers import model_maker
from glm_agent.agent.runtime import Blocking, Runtime, Runtimes
from glm_agent.agent.terms import Terms
from glm_agent.driver import EventStream, InlineSteps, Observer
from glm_agent.errors import ConfigurationError
from glm_agent.messages import Decision, Message, ModelSettings, TurnResult, UserMessage
from glm_agent.models.catalog import ModelInfo
from glm_agent.models.endings import Endings
from glm_agent.models.model import Model
from glm_agent.models.view import ContextPolicy
from glm_agent.permissions import Policy
from glm_agent.registry import ToolRegistry, Tools
from glm_agent.registry.asking import Asker

if TYPE_CHECKING:
    from glm_agent.models.glm.clients import Client


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
        self._task_prompt: str | None = None
        own, hosted = names.split_hosted(tools)
        chosen = given.settings(settings)
        self._terms = Terms(
            tools=_distinct(own),
            instructions=given.instructions(instructions),
            output=names.output(output_type),
            max_steps=given.max_steps(max_steps),
            policy=names.policy(permissions),
            budget=given.budget(budget),
            context=callbacks.context(context),
            observers=callbacks.observers(observers),
            session=given.session(session),
            journal=given.journal(journal),
            approve=callbacks.approver(approve),
            ask=ask,
            keep_results=keep_results,
            endings=given.endings(endings),
            catalog=catalog,
            settings=replace(chosen, hosted_tools=(*chosen.hosted_tools, *hosted)) if hosted else chosen,
            tool_search=given.share(tool_search),
            expose_errors=expose_errors,
        )

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
        self._terms = replace(self._terms, tools=_distinct(tools))

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
        return await self._terms.run(
            self._runtimes, message, messages=messages, session=session, deps=deps, observers=observers
        )

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
        return await self._terms.run(
            self._runtimes, None, session=session, deps=deps, observers=observers, decisions=decisions
        )

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
            return await self._terms.run(
                self._runtimes, message, messages=messages, session=session, deps=deps, observers=(observer,)
            )

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
        keep = self._terms.keep_results is not False
        async with self._runtimes as runtime:
            with names.results(keep, None) as results:
                yield await self._terms.offered(runtime, InlineSteps(), results, None)

    def _message(self, prompt: str | None, attachments: Sequence[Attachment], *, goes_on: bool) -> UserMessage | None:
        said = given.prompt(prompt, has_more=bool(attachments))
        if said is None and not goes_on:
            said = self._task_prompt
        return None if said is None else UserMessage(text=said, attachments=parts(attachments))


def _distinct(tools: Iterable[Any]) -> tuple[Any, ...]:
    """The tools, looked up; two of one name are found here, before any run."""
    found = names.tools(tools)
    ToolRegistry(found)
    return found
