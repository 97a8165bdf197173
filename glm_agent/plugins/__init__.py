"""Finds tools, models and observers that others wrote: by entry point, folder, file or module name.

Loading is explicit: nothing is imported until it is named, and a plugin that breaks while it is
imported is reported with its file and line while the rest loads. This module knows what a tool
looks like, not what it does; nothing here is specific to the tools this project ships.

    installed  entry points, listed without importing them
    sources    what a source names: entry point, folder, file, module, object
    files      Python files as modules, without touching ``sys.path``
    offers     the tools in a module
    broken     what went wrong, with its file and line
    reload     files that change while they are used
    lint       what could be better about a tool
    scaffold   the files of a new plugin package
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm_agent.errors import ConfigurationError
from glm_agent.plugins.broken import Broken, broken
from glm_agent.plugins.installed import Group, Plugin, available, entry_point, unknown
from glm_agent.plugins.sources import parts_of

__all__ = ["Broken", "Group", "Loaded", "Plugin", "available", "load_object", "load_tools"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What loading gave."""

    tools: tuple[Any, ...] = ()
    """Tools, and plain functions that were named one by one; each once, in the order of the sources."""
    broken: tuple[Broken, ...] = ()


def load_tools(sources: Iterable[str | Path]) -> Loaded:
    """The tools of all sources.

    A source is the name of an entry point (``files``), a folder or file (``./tools``, ``tools.py``),
    a module (``package.module``), or one of these with an object in it (``files:read_file``,
    ``tools.py:add``). A module gives all its tools in the order of their definition, or of its
    ``__all__``. Raises ``ConfigurationError`` for a source that does not exist; what exists and
    breaks is in ``Loaded.broken``.
    """
    tools: list[Any] = []
    failed: list[Broken] = []
    for source in sources:
        for part in parts_of(str(source)):
            try:
                tools.extend(part.tools())
            except (Exception, SystemExit) as error:
                failed.append(broken(part.source, error))
    return Loaded(tools=tuple(_once(tools)), broken=tuple(failed))


def load_object(name: str, *, group: Group) -> Any:
    """The object an entry point names, such as the factory of a model or an observer.

    Raises ``ConfigurationError`` where no such plugin is installed, or where it breaks.
    """
    point = entry_point(name, group)
    if point is None:
        raise unknown(name, group)
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"the {group} plugin cannot be loaded: {broken(name, error)}") from error


def _once(values: Iterable[Any]) -> Iterator[Any]:
    """Each object once: a package may offer the tools of its modules again."""
    seen = set[int]()
    for value in values:
        if id(value) not in seen:
            seen.add(id(value))
            yield value
