"""JSON Schema of models, dataclasses and TypedDicts, with what their docstrings say about their fields. Pure."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import DataclassSchema, ModelSchema, TypedDictSchema

from glm_agent.messages import JsonObject
from glm_agent.schema.docstring import describe


class ClassSchemas(GenerateJsonSchema):
    """pydantic's generator; a docstring's ``Attributes`` (or ``Args``, ``:ivar x:``) describe the fields."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def model_schema(self, schema: ModelSchema) -> JsonObject:
        return _described(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: DataclassSchema) -> JsonObject:
        return _described(super().dataclass_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: TypedDictSchema) -> JsonObject:
        return _described(super().typed_dict_schema(schema), schema.get("cls"))


def _described(shown: JsonObject, cls: Any) -> JsonObject:
    """The schema of a class; sections of its docstring go to the fields, where those say nothing themselves."""
    if cls is None or not shown.get("description"):
        return shown
    said, fields = describe(cls.__doc__)
    for name, described in fields.items():
        if name in shown.get("properties", {}):
            shown["properties"][name].setdefault("description", described)
    if fields:
        del shown["description"]
    return {"description": said, **shown} if fields and said else shown
