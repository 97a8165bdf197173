"""What a module offers: the tools in it, or one object of it."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from glm_agent.messages import ToolSpec


def tools_of(module: ModuleType) -> list[Any]:
    """The tools of a module, also those in a list, in the order of their definition or of its ``__all__``."""
    names: Iterable[str] = getattr(module, "__all__", vars(module))
    values = [getattr(module, name) for name in tuple(names)]
    return [tool for value in values for tool in ([value] if _is_tool(value) else _listed(value))]


def _listed(value: Any) -> list[Any]:
    """The tools of a list that holds nothing else."""
    entries: list[Any] = list(value) if isinstance(value, list | tuple) else []  # pyright: ignore[reportUnknownArgumentType]
    return entries if all(_is_tool(entry) for entry in entries) else []


def named(module: ModuleType, name: str) -> list[Any]:
    """The object ``name`` of a module: a tool, a function to make one of, or a list of those."""
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise AttributeError(f"it has no '{part}'; its tools: {_names(module)}")
        value = getattr(value, part)
    if isinstance(value, ModuleType):
        return tools_of(value)
    values: list[Any] = list(value) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownArgumentType]
    for each in values:
        if isinstance(each, type) or not (_is_tool(each) or callable(each)):
            raise TypeError(f"'{name}' is a {type(each).__name__}, not a tool; its tools: {_names(module)}")
    return values


def _names(module: ModuleType) -> str:
    return ", ".join(f"'{tool.spec.name}'" for tool in tools_of(module)) or "none"


def _is_tool(value: Any) -> bool:
    """Whether it looks like a tool; a class has no ``spec`` of its own, and odd objects may raise."""
    try:
        return isinstance(value.spec, ToolSpec) and callable(value.run)
    except Exception:
        return False
