"""The baseline: the loop one writes by hand, on ``httpx2``, ``json`` and a dict of functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2

from benchmarks import tools

Functions = dict[str, Callable[..., Any]]


@dataclass
class Loop:
    model: str
    functions: Functions
    schemas: list[dict[str, Any]]


class Handwritten:
    """Posts the whole history as JSON, runs what comes back, repeats."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url + "/chat/completions"
        self._client = httpx2.AsyncClient(
            timeout=120,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            headers={"Authorization": "Bearer x.y"},
        )

    def build(self, model: str, functions: Functions) -> Loop:
        return Loop(model, functions, [tools.SCHEMAS[name] for name in functions])

    async def run(self, loop: Loop) -> str:
        messages = _opening()
        while True:
            response = await self._client.post(self._url, json=_body(loop, messages))
            response.raise_for_status()
            message = response.json()["choices"][0]["message"]
            messages.append(message)
            calls = message.get("tool_calls")
            if not calls:
                return str(message["content"])
            if len(calls) == 1:
                messages.append(await _call(loop, calls[0]))
            else:
                messages += await asyncio.gather(*(_call(loop, call) for call in calls))

    async def stream(self, loop: Loop, on_text: Callable[[str], None], on_arguments: Callable[[str], None]) -> str:
        """The same, streamed; a call starts as soon as its arguments are complete."""
        messages = _opening()
        while True:
            answer = Answer(loop, on_text, on_arguments)
            async with self._client.stream(
                "POST", self._url, json=_body(loop, messages) | {"stream": True}
            ) as response:
                response.raise_for_status()
                async for line in response.aiter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        answer.take(json.loads(line[6:]))
            text = "".join(answer.text)
            if not answer.calls:
                return text
            messages.append({"role": "assistant", "content": text or None, "tool_calls": answer.entries()})
            messages += await answer.results()

    @asynccontextmanager
    async def served(self, model: str, command: list[str]) -> AsyncGenerator[Loop, None]:
        """A loop whose only tools are those of an MCP server."""
        from benchmarks.sessions import bare_session

        async with bare_session(command) as session:
            listed = (await session.list_tools()).tools
            yield Loop(
                model,
                {tool.name: _through(session, tool.name) for tool in listed},
                [_served_schema(tool) for tool in listed],
            )

    async def aclose(self) -> None:
        await self._client.aclose()


class Answer:
    """One streamed answer, put together by hand."""

    def __init__(self, loop: Loop, on_text: Callable[[str], None], on_arguments: Callable[[str], None]) -> None:
        self._loop, self._on_text, self._on_arguments = loop, on_text, on_arguments
        self.text: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self._running: dict[int, asyncio.Task[Any]] = {}

    def take(self, chunk: dict[str, Any]) -> None:
        if not chunk["choices"]:
            return
        delta = chunk["choices"][0]["delta"]
        if text := delta.get("content"):
            self.text.append(text)
            self._on_text(text)
        for piece in delta.get("tool_calls") or ():
            self._take_call(piece)

    def _take_call(self, piece: dict[str, Any]) -> None:
        index, arguments = piece["index"], piece["function"].get("arguments")
        call = self.calls.get(index)
        if call is None:
            self._start_all()
            call = self.calls[index] = {"id": piece["id"], "name": piece["function"]["name"], "pieces": []}
        if arguments:
            call["pieces"].append(arguments)
            self._on_arguments(arguments)
            if len(call["pieces"]) < 4 and arguments.endswith("}"):
                with suppress(ValueError):
                    json.loads("".join(call["pieces"]))
                    self._start(index)

    def _start_all(self) -> None:
        for index in self.calls:
            self._start(index)

    def _start(self, index: int) -> None:
        if index not in self._running:
            self._running[index] = asyncio.ensure_future(_call(self._loop, self._entry(self.calls[index])))

    def _entry(self, call: dict[str, Any]) -> dict[str, Any]:
        function = {"name": call["name"], "arguments": "".join(call["pieces"])}
        return {"id": call["id"], "type": "function", "function": function}

    def entries(self) -> list[dict[str, Any]]:
        return [self._entry(call) for call in self.calls.values()]

    async def results(self) -> list[dict[str, Any]]:
        self._start_all()
        return await asyncio.gather(*(self._running[index] for index in self.calls))


def _opening() -> list[dict[str, Any]]:
    return [{"role": "system", "content": tools.INSTRUCTIONS}, {"role": "user", "content": tools.PROMPT}]


def _body(loop: Loop, messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {"model": loop.model, "messages": messages, "tools": loop.schemas}


async def _call(loop: Loop, call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    content = await loop.functions[function["name"]](**json.loads(function["arguments"]))
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def _through(session: Any, name: str) -> Callable[..., Any]:
    async def call(**arguments: Any) -> str:
        return str((await session.call_tool(name, arguments)).content[0].text)

    return call


def _served_schema(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": function}
