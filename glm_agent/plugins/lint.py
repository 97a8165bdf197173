"""What could be better about a tool: found by looking at it, without running it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from glm_agent.context import count_tokens
from glm_agent.messages import ToolSpec, UserMessage
from glm_agent.registry import FunctionTool
from glm_agent.schema.docstring import describe

_MANY_TOKENS: Final = 600
_MIN_DESCRIPTION: Final = 20
_MAX_NAME: Final = 40
_SAYS_NOTHING: Final = frozenset({"run", "tool", "test", "main", "call", "execute", "do", "function", "process"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing about one tool."""

    tool: str
    level: Literal["error", "warning"]
    """``error``: the model will use it wrongly or not at all."""
    rule: str
    """One word: ``name description parameter size effect docstring``."""
    text: str
    """What it is, and what to write instead."""

    def __str__(self) -> str:
        return f"{self.level}: '{self.tool}': {self.text} [{self.rule}]"


_AnyFunction: TypeAlias = FunctionTool[..., Any]


def tokens_of(spec: ToolSpec) -> int:
    """What offering a tool costs in every request, in tokens, estimated."""
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return count_tokens([UserMessage(text=json.dumps({"type": "function", "function": function}, ensure_ascii=False))])


def lint(tool: Any) -> list[Finding]:
    """Everything that could be better about a tool; empty where it is well made."""
    spec: ToolSpec = tool.spec
    rules = (_name, _description, _parameters, _size)
    found = [finding for rule in rules for finding in rule(spec)]
    return [*found, *(_function(cast("_AnyFunction", tool)) if isinstance(tool, FunctionTool) else ())]


def _name(spec: ToolSpec) -> Iterator[Finding]:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_+[a-z0-9]+)*", spec.name):
        yield _warning(spec, "name", "the name is not in snake_case, as the names that models know are")
    if len(spec.name) > _MAX_NAME:
        yield _warning(spec, "name", f"the name has {len(spec.name)} characters: say it in {_MAX_NAME}")
    if spec.name in _SAYS_NOTHING:
        yield _warning(spec, "name", "the name does not say what the tool does: begin with a verb and name the thing")


def _description(spec: ToolSpec) -> Iterator[Finding]:
    text = spec.description.strip()
    if not text:
        yield _error(spec, "description", "it has no description: write a docstring that says what it does and when")
    elif len(text) < _MIN_DESCRIPTION:
        yield _warning(spec, "description", f"the description is '{text}': say what it does, when, and what comes back")


def _parameters(spec: ToolSpec) -> Iterator[Finding]:
    properties: dict[str, Any] = spec.parameters.get("properties", {})
    for name, schema in properties.items():
        if not schema.get("description"):
            yield _warning(
                spec, "parameter", f"parameter '{name}' is not described: add it to the docstring's Args section"
            )
        if not set(schema) & {"type", "anyOf", "oneOf", "allOf", "enum", "const"}:
            yield _warning(spec, "parameter", f"parameter '{name}' may be anything: give it a narrower type")


def _size(spec: ToolSpec) -> Iterator[Finding]:
    if (tokens := tokens_of(spec)) > _MANY_TOKENS:
        yield _warning(
            spec, "size", f"it costs {tokens:,} tokens in every request: shorten the texts, or split the tool"
        )


def _function(tool: _AnyFunction) -> Iterator[Finding]:
    spec = tool.spec
    if spec.effect == "write" and tool.destructive is None:
        yield _warning(
            spec,
            "effect",
            "it does not say what it changes: write @tool(read_only=True), (idempotent=True), or (destructive=…)",
        )
    _, described = describe(tool.function.__doc__)
    known = {*spec.parameters.get("properties", {}), *tool.schema.injected}
    for name in described:
        if name not in known:
            yield _error(spec, "docstring", f"the docstring describes '{name}', which is no parameter: one was renamed")


def _warning(spec: ToolSpec, rule: str, text: str) -> Finding:
    return Finding(tool=spec.name, level="warning", rule=rule, text=text)


def _error(spec: ToolSpec, rule: str, text: str) -> Finding:
    return Finding(tool=spec.name, level="error", rule=rule, text=text)
