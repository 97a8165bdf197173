"""What is different when a stored turn goes on: its tools, what the model is told, the model, the code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from glm_agent.messages import ModelSettings, ToolSpec, TurnStarted


def changes(before: TurnStarted, now: TurnStarted) -> list[str]:
    """What changed of a turn since it was begun, one phrase each; none where nothing did."""
    return [
        *_tools({tool.name: tool for tool in before.tools}, {tool.name: tool for tool in now.tools}),
        *(["instructions changed"] if before.instructions != now.instructions else ()),
        *_from_to("model", before.model, now.model),
        *_settings(before.settings, now.settings),
        *_from_to("max_steps", before.max_steps, now.max_steps),
        *(_from_to("glm-agent", before.version, now.version) if before.version and now.version else ()),
    ]


def _tools(before: dict[str, ToolSpec], now: dict[str, ToolSpec]) -> Iterable[str]:
    if added := [name for name in now if name not in before]:
        yield f"tools added: {', '.join(added)}"
    if removed := [name for name in before if name not in now]:
        yield f"tools removed: {', '.join(removed)}"
    for name in (name for name in before if name in now):
        yield from _from_to(f"effect of '{name}'", before[name].effect, now[name].effect)
    # The effect was said, and where a tool comes from is nothing that the model is told.
    same = {
        name: replace(now[name], effect=tool.effect, source=tool.source) for name, tool in before.items() if name in now
    }
    if described := [name for name, tool in same.items() if tool != before[name]]:
        yield f"tools defined otherwise: {', '.join(described)}"


def _settings(before: ModelSettings, now: ModelSettings) -> Iterable[str]:
    for field in fields(ModelSettings):
        yield from _from_to(field.name, getattr(before, field.name), getattr(now, field.name))


def _from_to(name: str, before: object, now: object) -> Iterable[str]:
    if before != now:
        yield f"{name}: {before} -> {now}"
