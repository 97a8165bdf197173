"""One tool as its server defines it, as data that can be kept, compared and offered. Does not import ``mcp``."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from glm_agent.messages import JsonObject


class Listed(Protocol):
    """What both a tool of the SDK and one of a lock file have."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str | None: ...

    @property
    def description(self) -> str | None: ...

    @property
    def input_schema(self) -> JsonObject: ...

    @property
    def annotations(self) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """What a server says a tool does."""

    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


_HINTS = {
    "title": "title",
    "readOnlyHint": "read_only_hint",
    "destructiveHint": "destructive_hint",
    "idempotentHint": "idempotent_hint",
    "openWorldHint": "open_world_hint",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A tool's definition."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: JsonObject = field(default_factory=dict[str, Any])
    annotations: Hints | None = None


def to_json(tool: Listed) -> JsonObject:
    """What of a tool a model or a permission depends on, in the protocol's words."""
    hints = {key: getattr(tool.annotations, name, None) for key, name in _HINTS.items()} if tool.annotations else {}
    parts: JsonObject = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": {key: value for key, value in hints.items() if value is not None} or None,
    }
    return {key: value for key, value in parts.items() if value is not None}


def from_json(data: JsonObject) -> Definition:
    """The definition that ``to_json`` wrote."""
    hints = cast(JsonObject, data.get("annotations") or {})
    known = {name: hints[key] for key, name in _HINTS.items() if key in hints}
    return Definition(
        name=str(data["name"]),
        title=data.get("title"),
        description=data.get("description"),
        input_schema=data.get("inputSchema", {}),
        annotations=Hints(**known) if known else None,
    )


def digest(tool: Listed) -> str:
    """A hash over the whole definition, the same for the same definition in every process."""
    text = json.dumps(to_json(tool), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def difference(old: Listed, new: Listed) -> str:
    """What has changed, for a person: the lines of both, with ``-`` and ``+`` before them."""
    return "\n".join(list(difflib.unified_diff(_lines(old), _lines(new), n=1, lineterm=""))[2:])


def _lines(tool: Listed) -> list[str]:
    return json.dumps(to_json(tool), indent=1, ensure_ascii=True, sort_keys=True).splitlines()
