"""What a source of tools names: an entry point, a folder, a file, a module, or one object of those."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from glm_agent.errors import ConfigurationError
from glm_agent.plugins.broken import NoTools
from glm_agent.plugins.files import import_file
from glm_agent.plugins.installed import entry_point, unknown
from glm_agent.plugins.offers import named, tools_of


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to import: a module by name or a file, and perhaps one object in it."""

    source: str
    module: str = ""
    file: Path | None = None
    object: str = ""
    may_be_empty: bool = False

    def tools(self) -> list[Any]:
        module = import_module(self.module) if self.file is None else import_file(self.file)
        if self.object:
            return named(module, self.object)
        tools = tools_of(module)
        if not tools and not self.may_be_empty:
            raise NoTools("it holds no tools: decorate a function with @tool")
        return tools


def parts_of(source: str) -> list[Part]:
    """The things to import for one source; ``ConfigurationError`` where it names nothing."""
    place, _, object = source.partition(":")
    point = entry_point(place, "tools")
    if point is not None:
        module, _, inside = point.value.partition(":")
        return [Part(source, module=module.strip(), object=object or inside.strip())]
    path = Path(os.path.expanduser(place))
    if place and os.path.isdir(path):
        return _files_of(source, path, object)
    if os.path.isfile(path):
        return [Part(source, file=path, object=object)]
    if "/" in place or "\\" in place or place.endswith(".py") or not place:
        raise ConfigurationError(f"there is no file or folder {place!r} to load tools from, seen from '{Path.cwd()}'")
    return [_module(source, place, object)]


def _files_of(source: str, folder: Path, object: str) -> list[Part]:
    if object:
        raise ConfigurationError(f"{source!r} names an object in a folder: name the file in which it is")
    files = sorted(file for file in folder.glob("*.py") if file.name == "__init__.py" or file.name[0] not in "._")
    if not files:
        raise ConfigurationError(f"the folder '{folder}' holds no Python file to load tools from")
    # A folder may hold files that only others of it import.
    return [Part(str(file), file=file, may_be_empty=True) for file in files]


def _module(source: str, name: str, object: str) -> Part:
    """An importable module; else a file of the working directory, which scripts do not have on their path."""
    if all(part.isidentifier() for part in name.split(".")):
        if _is_importable(name):
            return Part(source, module=name, object=object)
        file = Path(*name.split(".")).with_suffix(".py")
        if os.path.isfile(file):
            return Part(source, file=file, object=object)
    raise unknown(name, "tools")


def _is_importable(name: str) -> bool:
    """Whether the module exists. Its parents are imported for that; one that breaks exists."""
    top, _, rest = name.partition(".")
    try:
        return importlib.util.find_spec(top) is not None and (not rest or importlib.util.find_spec(name) is not None)
    except ModuleNotFoundError as error:
        # The parent is no package, or has no such child: otherwise it lacks something itself.
        return error.name is None or not name.startswith(error.name)
    except (Exception, SystemExit):
        return True
