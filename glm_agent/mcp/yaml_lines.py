"""A configuration in YAML, as Continue keeps it: its data, and the line of each key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import yaml

from glm_agent.errors import ConfigurationError
from glm_agent.mcp.lines import Positions, Repeat


def read_yaml(text: str, *, label: str) -> tuple[Any, Positions, list[Repeat]]:
    """The data, where its keys stand, and the keys that stand twice. Raises ``ConfigurationError``."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigurationError(f"{label}{where}: this is not YAML: {said}") from None
    positions: Positions = {}
    repeats: list[Repeat] = []
    seen: dict[tuple[int, str], int] = {}
    for path, number, line in _keys(node, (), set()):
        positions.setdefault(path, line)
        if (first := seen.setdefault((number, path[-1]), line)) != line:
            repeats.append(Repeat(path=path, first_line=first, line=line))
    return data, positions, repeats


def _keys(node: Any, path: tuple[str, ...], known: set[int]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each key: its path, the number of its object, its line. What an alias repeats is looked at once."""
    if id(node) in known:
        return
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if isinstance(key, yaml.ScalarNode):
                inner = (*path, str(key.value))
                yield inner, id(node), key.start_mark.line + 1
                yield from _keys(value, inner, known)
    elif isinstance(node, yaml.SequenceNode):
        for item in cast("list[yaml.Node]", node.value):
            yield from _keys(item, (*path, ""), known)
