"""Structured output around any model: an answer that does not fit the type is asked for once more."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from glm_agent.messages import Message, ModelRequest, ModelResponse, Notice, TurnStopped, UserMessage
from glm_agent.models.model import Model, ModelEvent

_MAX_ERRORS = 5


class OutputType:
    """A type the final answer must fit: what the model is told, and how its answer is read."""

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @property
    def instructions(self) -> str:
        """Added to the system message: GLM takes no JSON Schema in ``response_format``.

        Source: Zhipu OpenAPI of 2026-07-11, ``response_format``: only ``text`` and ``json_object``.
        """
        schema = json.dumps(self._adapter.json_schema(), ensure_ascii=False)
        return f"Give the final answer as JSON alone, no other words, by this JSON Schema:\n{schema}"

    def checked(self, model: Model) -> Model:
        """The model, its final answers read."""
        return OutputModel(model, self)

    def read(self, text: str) -> Any:
        """The value; ``ValueError`` that names what does not fit."""
        try:
            return self._adapter.validate_json(_json_of(text))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
            said = (f"{'.'.join(map(str, fault['loc'])) or 'the answer'}: {fault['msg']}" for fault in faults)
            raise ValueError("; ".join(said)) from None


class OutputModel:
    """Reads every final answer; the first that does not fit is shown to the model with what is wrong."""

    def __init__(self, model: Model, output: OutputType) -> None:
        self._model, self._output = model, output

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        for last_try in (False, True):
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    fault = self._fault(event)
                    if fault is None:
                        yield event
                        continue
                    if last_try:
                        detail = f"the answer does not fit the output type: {fault}"
                        yield TurnStopped(stop_reason="invalid_output", detail=detail)
                        return
                    yield Notice(text=f"the answer does not fit the output type and is asked for again: {fault}")
                    assert isinstance(event, ModelResponse)
                    request = replace(request, messages=(*request.messages, *_again(event, fault)))
                    break
                else:
                    return

    def _fault(self, event: ModelEvent) -> str | None:
        """What is wrong with a final answer; None for every other event and for one that fits."""
        if not isinstance(event, ModelResponse) or event.tool_calls or event.finish_reason != "stop":
            return None
        try:
            self._output.read(event.text)
        except ValueError as error:
            return str(error)
        return None


def _again(response: ModelResponse, fault: str) -> tuple[Message, ...]:
    return response, UserMessage(text=f"That does not fit: {fault}. Give the corrected JSON alone.")


def _json_of(text: str) -> str:
    """The JSON inside a code fence, where the model put one around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.removeprefix("```").removesuffix("```").removeprefix("json").strip()
    return text
