"""YAML at the head of a Markdown file, and where in the file each of its values stands.

Knows files, lines and columns; what the keys mean is ``task``'s business. PyYAML is imported at first use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from yaml import Node

Place: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys and indexes."""

_FENCE = "---"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontMatter:
    """The head of a Markdown file, read, and its body as it is."""

    path: Path
    values: dict[str, Any]
    body: str
    marks: dict[Place, tuple[int, int]] = field(repr=False)
    """Line and column, from 1, of each key; of each item in lists."""

    def error(self, problem: str, *, at: Place = ()) -> ConfigurationError:
        """An error that names the file and the line and column of a value, or of what holds it."""
        while at and at not in self.marks:
            at = at[:-1]
        line, column = self.marks.get(at, (1, 1))
        return ConfigurationError(f"{self.path}:{line}:{column}: {problem}")


def read_front_matter(path: Path) -> FrontMatter:
    """Read a file; one without a head is all body. Raises ``ConfigurationError`` with line and column."""
    text = _text(path)
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _FENCE:
        return FrontMatter(path=path, values={}, body=text, marks={})
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.rstrip() == _FENCE), 0)
    if not end:
        raise ConfigurationError(f"{path}:1:1: the front matter is not closed: end it with a line '{_FENCE}'")
    return _parsed(path, head="".join(lines[1:end]), body="".join(lines[end + 1 :]))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise ConfigurationError(f"{path}:{line}:{column}: not UTF-8: save the file as UTF-8 text") from error
    except (OSError, ValueError) as error:  # the latter for a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {reason}") from error


def _parsed(path: Path, *, head: str, body: str) -> FrontMatter:
    import yaml

    marks: dict[Place, tuple[int, int]] = {}
    # The head begins in the file's second line, and YAML counts from 0.
    try:
        loader = yaml.SafeLoader(head)
        try:
            node = loader.get_single_node()
            _walk(path, node, (), marks, seen=set())
            values: Any = loader.construct_document(node) if node is not None else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        finally:
            loader.dispose()  # pyright: ignore[reportUnknownMemberType]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 2, mark.column + 1) if mark is not None else (2, 1)
        raise ConfigurationError(f"{path}:{line}:{column}: no valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}:2:1: no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}:2:1: the front matter must be lines of 'key: value'")
    return FrontMatter(path=path, values=values, body=body, marks=marks)  # pyright: ignore[reportUnknownArgumentType]


def _walk(path: Path, node: Node | None, at: Place, marks: dict[Place, tuple[int, int]], *, seen: set[Node]) -> None:
    """Note where each key and item stands; a key given twice is an error, since YAML would drop the first."""
    from yaml import MappingNode, ScalarNode, SequenceNode

    # An anchor may be used a billion times, or within itself: its place is where it was first seen.
    if node is None or node in seen:
        return
    seen.add(node)
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            marks[*at, index] = (item.start_mark.line + 2, item.start_mark.column + 1)
            _walk(path, item, (*at, index), marks, seen=seen)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else str(key.start_mark.line)
            line, column = key.start_mark.line + 2, key.start_mark.column + 1
            if (*at, name) in marks:
                raise ConfigurationError(f"{path}:{line}:{column}: the key '{name}' stands there twice: keep one")
            marks[*at, name] = (line, column)
            _walk(path, value, (*at, name), marks, seen=seen)
