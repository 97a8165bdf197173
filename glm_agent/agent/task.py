"""Task files: a job as Markdown, the prompt in the body, everything else in YAML front matter.

Turns a file into the arguments of ``Agent``; it builds no agent and imports none. The format is
documented in ``docs/task-files.md``, its JSON Schema is ``docs/task.schema.json``.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from glm_agent.agent.front_matter import FrontMatter, read_front_matter
from glm_agent.agent.task_format import Limits, Permissions, Settings, Table, TaskSettings
from glm_agent.errors import ConfigurationError
from glm_agent.permissions import Policy

_PARAMETER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WANTED = {
    "string_type": "must be text",
    "list_type": "must be a list",
    "model_type": "must be a table of keys",
    "dict_type": "must be a table of keys",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}
_FILE_ENDINGS = (".json", ".toml", ".yaml", ".yml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A job, read from its file."""

    path: Path
    settings: TaskSettings
    prompt: str
    """The body with its parameters filled in."""
    instructions: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What each name stands for."""

    def agent_arguments(self) -> dict[str, Any]:
        """Keyword arguments for ``Agent``; ``model`` only where the task names one."""
        settings = self.settings
        arguments: dict[str, Any] = {
            "instructions": self.instructions,
            "tools": [_beside(self.path, name) for name in settings.tools],
            "mcp_servers": self._servers(),
            "max_steps": settings.max_steps,
            "settings": settings.settings.model_settings(),
            "budget": settings.limits.budget(),
            "permissions": self._permissions(),
        }
        if settings.output_schema is not None:
            arguments["output_type"] = self._output_schema()
        return arguments if settings.model is None else {"model": _model(self.path, settings.model), **arguments}

    def _servers(self) -> list[Any]:
        given = self.settings.mcp_servers
        if isinstance(given, dict):
            return [{"mcpServers": given}] if given else []
        servers: list[str | dict[str, Any]] = [given] if isinstance(given, str) else given
        return [_beside(self.path, server) if isinstance(server, str) else server for server in servers]

    def _output_schema(self) -> dict[str, Any] | Path | None:
        given = self.settings.output_schema
        return self.path.parent / given if isinstance(given, str) else given

    def _permissions(self) -> Policy | Path:
        given = self.settings.permissions
        if isinstance(given, str):
            return self.path.parent / given
        return Policy.from_mapping(given.model_dump(exclude_defaults=True), source=str(self.path))


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFile:
    """A task file, read once, to be filled in any number of times."""

    front: FrontMatter
    settings: TaskSettings

    def filled(self, parameters: Mapping[str, Any] | None = None) -> Task:
        """The task with these parameters. Raises ``ConfigurationError`` for one that is missing or unknown."""
        front, settings = self.front, self.settings
        filled = _parameters(front, settings, parameters or {})
        prompt = _fill(front.body, filled).strip()
        if not prompt:
            raise ConfigurationError(f"{front.path}: there is no task: write below the front matter what is to be done")
        return Task(
            path=front.path,
            settings=settings,
            prompt=prompt,
            instructions=_fill(settings.instructions, filled),
            parameters=filled,
        )


def read_task(path: str | Path) -> TaskFile:
    """Read a task file. Raises ``ConfigurationError`` as ``load_task`` does."""
    front = read_front_matter(Path(path))
    return TaskFile(front=front, settings=_checked(front))


def load_task(path: str | Path, *, parameters: Mapping[str, Any] | None = None) -> Task:
    """Read a task file and fill in its parameters.

    Raises:
        ConfigurationError: With file, line and column; an unknown key also with the one that was meant.
    """
    return read_task(path).filled(parameters)


def task_schema() -> dict[str, Any]:
    """The JSON Schema of the front matter."""
    schema = TaskSettings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "glm-agent task, version 1"}


def _checked(front: FrontMatter) -> TaskSettings:
    try:
        return TaskSettings.model_validate(front.values)
    except ValidationError as error:
        raise _explained(front, error) from error


def _explained(front: FrontMatter, error: ValidationError) -> ConfigurationError:
    """The first thing that is wrong, in a sentence; of a union, the branch that came furthest."""
    first = max(error.errors(include_url=False), key=lambda e: (e["type"] == "extra_forbidden", len(e["loc"])))
    # A union's branch stands in the location by its type's name: it is no key of the file.
    at = tuple(part for part in first["loc"] if isinstance(part, int) or not _is_branch(part))
    key = ".".join(str(part) for part in at)
    if first["type"] == "extra_forbidden":
        return front.error(_unknown(str(at[-1]), known=_keys(at[:-1])), at=at)
    if first["type"].endswith("_type") and len(error.errors()) > 1 and at[:1] in (("mcp_servers",), ("permissions",)):
        wanted = cast("str", TaskSettings.model_fields[cast("str", at[0])].description)
        return front.error(f"'{key}' must be {wanted[0].lower()}{wanted[1:].rstrip('.')}", at=at)
    said = first["msg"].removeprefix("Input should be ")
    wanted = _WANTED.get(first["type"], f"must be {said[0].lower()}{said[1:]}")
    return front.error(f"'{key}' {wanted}, not {reprlib.repr(first['input'])}", at=at)


def _is_branch(part: str) -> bool:
    return part in ("str", "int", "float", "bool", "Permissions") or part.startswith(("list[", "dict["))


def _keys(at: tuple[str | int, ...]) -> list[str]:
    tables: dict[tuple[str | int, ...], type[Table]] = {
        (): TaskSettings,
        ("settings",): Settings,
        ("limits",): Limits,
        ("permissions",): Permissions,
    }
    return list(tables[at].model_fields)


def _unknown(name: str, *, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
    return f"unknown key '{name}': {hint}"


def _parameters(front: FrontMatter, settings: TaskSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in settings.params:
            problem = _unknown(name, known=list(settings.params)) if settings.params else "the task has no 'params'"
            raise ConfigurationError(
                f"{front.path}: parameter '{name}': {problem}".replace("unknown key", "unknown name")
            )
    filled = {**settings.params, **given}
    for name, value in filled.items():
        if value is None:
            raise ConfigurationError(f"{front.path}: the parameter '{name}' is missing: give --param {name}=…")
    return filled


def _fill(text: str, parameters: Mapping[str, Any]) -> str:
    """Only declared names are filled in, and what is filled in is not read again: prompts are full of dollars."""
    return _PARAMETER.sub(lambda match: str(parameters.get(match[1], match[0])), text)


def _beside(path: Path, name: str) -> str:
    """A path is relative to the task file; commands, addresses and entry points are left alone."""
    is_path = name.startswith(("./", "../")) or (" " not in name and name.endswith(_FILE_ENDINGS))
    return str(path.parent / name) if is_path and "://" not in name else name


def _model(path: Path, name: str) -> str:
    kind, _, scenario = name.partition(":")
    if kind == "replay" or (kind == "simulate" and scenario.endswith((".yaml", ".yml", ".py"))):
        return f"{kind}:{path.parent / scenario}"
    return name
