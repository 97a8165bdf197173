"""Other frameworks, each used as its own documentation shows; imported only in the process that measures one.

Tracing and telemetry, where a framework has them on by default, are off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import tools

Functions = dict[str, Callable[..., Any]]


def openai_client(base_url: str) -> Any:
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=base_url, api_key="x.y")


class PydanticAI:
    def __init__(self, base_url: str) -> None:
        from pydantic_ai.providers.openai import OpenAIProvider

        self._provider = OpenAIProvider(openai_client=openai_client(base_url))

    def build(self, model: str, functions: Functions) -> Any:
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel

        chat = OpenAIChatModel(model, provider=self._provider)
        return Agent(chat, instructions=tools.INSTRUCTIONS, tools=list(functions.values()))

    async def run(self, agent: Any) -> str:
        from pydantic_ai.usage import UsageLimits

        return str((await agent.run(tools.PROMPT, usage_limits=UsageLimits(request_limit=None))).output)

    async def aclose(self) -> None:
        pass


class OpenAIAgents:
    def __init__(self, base_url: str) -> None:
        from agents import set_tracing_disabled

        set_tracing_disabled(True)
        self._client = openai_client(base_url)

    def build(self, model: str, functions: Functions) -> Any:
        from agents import Agent, OpenAIChatCompletionsModel, function_tool

        return Agent(
            name="agent",
            instructions=tools.INSTRUCTIONS,
            model=OpenAIChatCompletionsModel(model, self._client),
            tools=[function_tool(function) for function in functions.values()],
        )

    async def run(self, agent: Any) -> str:
        from agents import Runner

        return str((await Runner.run(agent, tools.PROMPT, max_turns=1_000_000)).final_output)

    async def aclose(self) -> None:
        await self._client.close()


class LangChain:
    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def build(self, model: str, functions: Functions) -> Any:
        from langchain.agents import create_agent
        from langchain_core.tools import tool
        from langchain_openai import ChatOpenAI

        chat = ChatOpenAI(model=model, base_url=self._base_url, api_key="x.y")
        offered = [tool(each, parse_docstring="Args:" in (each.__doc__ or "")) for each in functions.values()]
        return create_agent(chat, offered, system_prompt=tools.INSTRUCTIONS)

    async def run(self, agent: Any) -> str:
        said = {"messages": [{"role": "user", "content": tools.PROMPT}]}
        return str((await agent.ainvoke(said, {"recursion_limit": 1_000_000}))["messages"][-1].content)

    async def aclose(self) -> None:
        pass


class Agno:
    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def build(self, model: str, functions: Functions) -> Any:
        from agno.agent import Agent
        from agno.models.openai.like import OpenAILike

        chat = OpenAILike(id=model, api_key="x.y", base_url=self._base_url)
        return Agent(model=chat, tools=list(functions.values()), instructions=tools.INSTRUCTIONS, telemetry=False)

    async def run(self, agent: Any) -> str:
        return str((await agent.arun(tools.PROMPT)).content)

    async def aclose(self) -> None:
        pass
