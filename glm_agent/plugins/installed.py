"""Plugins that packages bring: the entry points ``glm_agent.tools``, ``.models`` and ``.observers``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from glm_agent.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group: TypeAlias = Literal["tools", "models", "observers"]

_GROUPS: Final[tuple[Group, ...]] = ("tools", "models", "observers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """An entry point that is installed, not imported."""

    name: str
    """What to write to load it."""
    group: Group
    value: str
    """``module`` or ``module:object``."""
    package: str
    """The distribution that brings it."""


def available(group: Group | None = None) -> tuple[Plugin, ...]:
    """The plugins that are installed, by name. Imports none of them."""
    found = {
        Plugin(name=point.name, group=each, value=point.value, package=point.dist.name if point.dist else "")
        for each in (_GROUPS if group is None else (group,))
        for point in _entry_points(each)
    }
    return tuple(sorted(found, key=lambda plugin: (plugin.group, plugin.name, plugin.package)))


def entry_point(name: str, group: Group) -> EntryPoint | None:
    """The entry point of this name. An editable and a plain install of one package may both list it."""
    found = {point.value: point for point in _entry_points(group) if point.name == name}
    if len(found) > 1:
        packages = " and ".join(
            f"'{point.dist.name if point.dist else '?'}' ({value})" for value, point in found.items()
        )
        raise ConfigurationError(f"{name!r} is offered by {packages}: write the module instead of the name")
    return next(iter(found.values()), None)


def unknown(name: str, group: Group) -> ConfigurationError:
    """The error for a name that is nothing, with what there is."""
    known = sorted({plugin.name for plugin in available(group)})
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    also = " A file or folder is written with its path, such as './tools'." if group == "tools" else ""
    return ConfigurationError(
        f"there is no {group} plugin and no module {name!r}: {hint}Installed: {', '.join(known) or 'none'}.{also}"
    )


def _entry_points(group: Group) -> Sequence[EntryPoint]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=f"glm_agent.{group}"))
