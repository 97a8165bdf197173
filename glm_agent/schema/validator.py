"""What a function is as a tool: its specification and the compiled check of its arguments. Data alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from pydantic_core import SchemaValidator

from glm_agent.messages import JsonObject, ToolSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentsValidator:
    """JSON text -> keyword arguments, checked in one compiled pass."""

    core: SchemaValidator
    schema: JsonObject
    """The JSON Schema the model is shown."""

    @property
    def properties(self) -> JsonObject:
        return cast("JsonObject", self.schema["properties"])

    @property
    def required(self) -> list[str]:
        return cast("list[str]", self.schema.get("required", []))


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionSchema:
    """A function as a tool, without the function."""

    spec: ToolSpec
    validator: ArgumentsValidator
    injected: tuple[str, ...] = ()
    """Parameters that are filled in by whoever runs the function; the model does not see them."""
    positional: tuple[str, ...] = ()
    """Positional-only parameters, in order."""
