"""Python files as modules, without touching ``sys.path``.

A folder is a package of its own, under a name no import statement can write. So a file never
shadows a module of the standard library, and files of one folder import each other as in any
package: ``from .sibling import thing``.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

_PACKAGE: Final = "glm_agent plugins"
"""Parent of every folder's package; the space keeps it out of reach of ``import``."""


def import_file(file: Path) -> ModuleType:
    """The module of a file, as part of its folder's package; the same module when asked again."""
    file = file.resolve()
    package = _package_of(file.parent)
    if file.name == "__init__.py":
        return sys.modules[package]
    return _execute(f"{package}.{file.stem.replace('.', '_')}", file)


def forget(folder: Path) -> None:
    """Have the files of a folder executed again when they are asked for next."""
    package = _package_name(folder)
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _package_of(folder: Path) -> str:
    """The name of the folder's package, which is made and, where it has an ``__init__.py``, executed."""
    if _PACKAGE not in sys.modules:
        sys.modules[_PACKAGE] = ModuleType(_PACKAGE, "Folders of plugins.")
        sys.modules[_PACKAGE].__path__ = []
    name = _package_name(folder)
    if name not in sys.modules:
        first = folder / "__init__.py"
        if os.path.isfile(first):
            _execute(name, first, search=[str(folder)])
        else:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
            sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def _package_name(folder: Path) -> str:
    digest = hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{_PACKAGE}.{folder.name.replace('.', '_')}-{digest}"


class _AsWritten(importlib.machinery.SourceFileLoader):
    """Reads the source each time: compiled code counts as new for a second after a change, and litters folders."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"'{path}' is not cached")


def _execute(name: str, file: Path, *, search: list[str] | None = None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    loader = _AsWritten(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=search)
    if spec is None:
        raise ImportError(f"'{file}' is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
