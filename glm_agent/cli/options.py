"""What a run is made of, as the command line was given it: kept beside the session, so that it can go on.

Turns options and a task file into the arguments of ``Agent``; shows nothing and runs nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from glm_agent.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from glm_agent.agent.task import Task
    from glm_agent.journal.store import Sessions

DEFAULT_MODEL: Final = "glm-5.3-flash"
_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The choices of one ``run`` or ``chat``; paths are absolute. None and empty: not given."""

    task: str = ""
    """The task file."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    model: str | None = None
    instructions: str = ""
    """Replace the task's."""
    tools: tuple[str, ...] = ()
    mcp_servers: tuple[str, ...] = ()
    max_steps: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    """US dollars."""
    timeout: float | None = None
    """Seconds."""
    permissions: str | None = None
    """A YAML file."""
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    output: str | None = None
    output_schema: str | None = None
    """A file with a JSON Schema, or the schema itself."""

    def load_task(self) -> Task | None:
        """The task, read and filled in; None for a run of plain text."""
        if not self.task:
            return None
        from glm_agent.agent.task import load_task

        return load_task(self.task, parameters=self.parameters)

    def agent_arguments(self, task: Task | None) -> dict[str, Any]:
        """Keyword arguments for ``Agent``: the task's, and what the options say instead or beside."""
        from glm_agent.agent.budget import Budget

        given = task.agent_arguments() if task else {}
        limits = {
            "max_tokens": self.max_tokens,
            "max_cost_usd": self.max_cost,
            "timeout_seconds": self.timeout,
        }
        arguments = {
            **given,
            "model": self.model or given.get("model") or os.environ.get("GLM_AGENT_MODEL") or DEFAULT_MODEL,
            "tools": [*given.get("tools", ()), *self.tools],
            "mcp_servers": [*given.get("mcp_servers", ()), *self.mcp_servers],
            "budget": replace(given.get("budget", Budget()), **{k: v for k, v in limits.items() if v is not None}),
            "permissions": self._policy(given.get("permissions")),
            "output_type": _schema(self.output_schema) or given.get("output_type"),
        }
        if self.instructions:
            arguments["instructions"] = self.instructions
        return arguments if self.max_steps is None else {**arguments, "max_steps": self.max_steps}

    def output_path(self, task: Task | None) -> Path | None:
        """Where the answer is written to beside stdout."""
        name = self.output or (task.settings.output if task else None)
        return Path(name) if name else None

    def _policy(self, given: Any) -> Any:
        """``--permissions`` replaces the task's rules; ``--allow``, ``--ask`` and ``--deny`` add to them."""
        from glm_agent.agent.names import policy

        rules = policy(self.permissions or given)
        allow = None if rules.allow is None and not self.allow else (*(rules.allow or ()), *self.allow)
        return replace(rules, allow=allow, ask=(*rules.ask, *self.ask), deny=(*rules.deny, *self.deny))


def as_typed(
    *,
    tools: list[str] | None = None,
    mcp_config: list[str] | None = None,
    permissions: str | None = None,
    allow: list[str] | None = None,
    ask: list[str] | None = None,
    deny: list[str] | None = None,
    **others: Any,
) -> RunOptions:
    """Options as a command has them: lists may be missing, and paths are seen from the working directory."""
    return RunOptions(
        tools=tuple(map(absolute, tools or ())),
        mcp_servers=tuple(map(absolute, mcp_config or ())),
        permissions=str(Path(os.path.expanduser(permissions)).absolute()) if permissions else None,
        allow=tuple(allow or ()),
        ask=tuple(ask or ()),
        deny=tuple(deny or ()),
        **others,
    )


def remember(journal: Sessions, session: str, options: RunOptions) -> None:
    """Have the options kept with the session, once there is something of it to keep: ``--resume`` takes them."""
    journal.describe(session, task=options.task, options=stored(options))


def stored(options: RunOptions) -> dict[str, Any]:
    """The options as they are kept with a session: keys in the commands and addresses of servers are left out."""
    from glm_agent.mcp.masking import kept as without_keys

    servers = tuple(without_keys(server, os.environ) for server in options.mcp_servers)
    kept = {"version": _VERSION, **asdict(replace(options, mcp_servers=servers))}
    return {name: value for name, value in kept.items() if value or value == 0}


def recall(journal: Sessions, session: str) -> RunOptions:
    """The options a session was run with; empty ones where it was not begun by this command line."""
    kept = dict(journal.setup(session).options)
    if not kept:
        return RunOptions()
    from pydantic import TypeAdapter

    try:
        version = kept.pop("version", None)
        if version != _VERSION:
            raise JournalError(
                f"the options of session '{session}' have version {version!r}: another version of glm-agent wrote them"
            )
        return TypeAdapter(RunOptions).validate_python(kept)
    except (ValueError, TypeError) as error:
        raise JournalError(
            f"the options of session '{session}' cannot be read ({error}): go on with --session, in a new session"
        ) from error


def override(kept: RunOptions, given: RunOptions) -> RunOptions:
    """The kept options with those replaced that are given now."""
    unset = asdict(RunOptions())
    return replace(kept, **{name: value for name, value in asdict(given).items() if value != unset[name]})


def _schema(given: str | None) -> dict[str, Any] | str | None:
    """The schema where it was given as JSON, else the file's name."""
    if given is None or not given.lstrip().startswith("{"):
        return given
    try:
        return cast("dict[str, Any]", json.loads(given))
    except ValueError as error:
        raise ConfigurationError(
            f"--output-schema is no JSON: {error}; give a JSON Schema, or a file with one"
        ) from error


def absolute(name: str) -> str:
    """A name of tools or servers; a path becomes absolute, so that it holds in any working directory."""
    if name.startswith(("./", "../", "~/")):
        return str(Path(os.path.expanduser(name)).absolute())
    is_path = " " not in name and "://" not in name and os.path.exists(name) and not _is_plugin(name)
    return str(Path(name).absolute()) if is_path else name


def _is_plugin(name: str) -> bool:
    """Whether a plugin of this name is installed: it wins over a folder that is called like it."""
    from glm_agent.plugins.installed import entry_point

    return entry_point(name, "tools") is not None


def parameters(given: list[str]) -> dict[str, str]:
    """``--param name=value``, as a mapping."""
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise ConfigurationError(f"--param '{name}' has no value: write --param name=value")
    return {name: value for name, _, value in pairs}
