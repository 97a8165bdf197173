"""Structured output around any model: an answer that does not fit its type or schema is asked for once more."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from glm_agent.messages import (
    JsonObject,
    Message,
    ModelRequest,
    ModelResponse,
    Retrying,
    TurnStopped,
    Usage,
    UserMessage,
)
from glm_agent.models.model import Model, ModelEvent
from glm_agent.schema.annotations import portable

_MAX_ERRORS = 5
_FENCED = re.compile(r"```(?:[\w-]*\s)?(.*?)```", re.DOTALL)
_SHOWN = 500
"""Characters of an answer that a person is shown when it never fitted."""


class Output(ABC):
    """What the final answer must be: what the model is told, and how its answer is read."""

    @property
    @abstractmethod
    def schema(self) -> JsonObject:
        """The JSON Schema of the answer."""

    @abstractmethod
    def read(self, text: str) -> Any:
        """The value; ``ValueError`` that names what does not fit."""

    @property
    def instructions(self) -> str:
        """Added to the system message: GLM takes no JSON Schema in ``response_format``.

        Source: Zhipu OpenAPI of 2026-07-11, ``response_format``: only ``text`` and ``json_object``.
        """
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"Give the final answer as JSON alone, no other words, by this JSON Schema:\n{schema}"

    def checked(self, model: Model) -> Model:
        """The model, its final answers read."""
        return OutputModel(model, self)


class OutputType(Output):
    """A Python type that JSON can hold."""

    def __init__(self, kind: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(portable(kind))
        self._is_text = _is_text(self.schema)

    @property
    def schema(self) -> JsonObject:
        return self._adapter.json_schema()

    def read(self, text: str) -> Any:
        try:
            return self._adapter.validate_json(_json_of(text, is_text=self._is_text))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
            raise ValueError("; ".join(_fault(fault["loc"], fault["msg"]) for fault in faults)) from None


class OutputSchema(Output):
    """A JSON Schema (draft 2020-12, or the one its ``$schema`` names); the answer is what its JSON holds.

    Raises ``ValueError`` where the schema is none, or refers to a schema elsewhere: nothing is fetched.
    """

    def __init__(self, schema: JsonObject) -> None:
        # Imported here: it costs as much as the rest of this package, and few runs need it.
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        kind = validator_for(schema, default=Draft202012Validator)
        # A registry of this one document: an address in a schema is no reason to ask the network.
        empty: Registry[Any] = Registry()  # pyright: ignore[reportUnknownVariableType]
        known = empty.with_contents([("", schema)], default_specification=DRAFT202012)
        try:
            kind.check_schema(schema)
            for target in _references(schema):
                known.resolver().lookup(target)
        except SchemaError as error:
            raise ValueError(_fault(error.absolute_path, error.message)) from None
        except Unresolvable as error:
            raise ValueError(f"it refers to {error.ref!r}, and that does not stand in it") from None
        self._schema, self._validator = schema, kind(schema, registry=known)

    @property
    def schema(self) -> JsonObject:
        return self._schema

    def read(self, text: str) -> Any:
        try:
            value = from_json(_json_of(text, is_text=_is_text(self._schema)), allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(_fault((), str(error))) from None
        try:
            faults = [*islice(self._validator.iter_errors(value), _MAX_ERRORS)]
        except RecursionError:
            raise ValueError(_fault((), "it goes too deep for the schema")) from None
        if faults:
            raise ValueError("; ".join(_fault(fault.absolute_path, fault.message[:_SHOWN]) for fault in faults))
        return value


class OutputModel:
    """Reads every final answer; the first that does not fit is shown to the model with what is wrong."""

    def __init__(self, model: Model, output: Output) -> None:
        self._model, self._output = model, output

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        spent = Usage()
        for last_try in (False, True):
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    fault = self._fault(event)
                    if isinstance(event, ModelResponse | TurnStopped):
                        spent += event.usage
                        event = replace(event, usage=spent)  # noqa: PLW2901 (the same answer, with what it cost)
                    if fault is None:
                        yield event
                        continue
                    assert isinstance(event, ModelResponse)
                    if last_try:
                        detail = f"the answer does not fit: {fault}; it was {event.text[:_SHOWN]!r}"
                        yield TurnStopped(stop_reason="invalid_output", detail=detail, usage=spent)
                        return
                    yield Retrying(attempt=2, wait_seconds=0.0, reason=f"the answer does not fit: {fault}")
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


def _fault(place: Iterable[int | str], said: str) -> str:
    return f"{'.'.join(map(str, place)) or 'the answer'}: {said}"


def _references(schema: object) -> Iterator[str]:
    match schema:
        case dict():
            for key, value in cast("dict[str, object]", schema).items():
                if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                    yield value
                yield from _references(value)
        case list():
            for value in cast("list[object]", schema):
                yield from _references(value)
        case _:
            pass


def _is_text(schema: JsonObject) -> bool:
    choices = cast("list[object]", schema.get("enum") or [])
    return schema.get("type") == "string" or (bool(choices) and all(isinstance(choice, str) for choice in choices))


def _json_of(text: str, *, is_text: bool) -> str:
    """The JSON inside the one code fence, where the model put one around it, also with words around that.

    Of text, a word is as good as the word in quotes.
    """
    text = text.strip()
    if text[:1] not in ("{", "[", '"') and len(fenced := _FENCED.findall(text)) == 1:
        text = fenced[0].strip()
    return json.dumps(text) if is_text and not text.startswith('"') else text
