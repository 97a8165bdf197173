"""How a tool as the model sees it differs from what its server says, in sentences for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from glm_agent.mcp import normal_tools, sanitize
from glm_agent.mcp.definition import Listed
from glm_agent.messages import JsonObject, ToolSpec

_SHOWN_KEYWORDS = 8
_SAYS_NOTHING = frozenset({"$schema", "$id", "$comment", "title", "$ref", "$defs", "definitions", "anyOf", "default"})
"""Keywords that a model does without, and those whose meaning is written out in their place."""


def mended(listed: Listed, spec: ToolSpec) -> tuple[str, ...]:
    """What was mended, removed, cut and renamed; empty for a tool that is passed on as it came."""
    found = [*_noted(listed), *_renamed(listed, spec), *_described(listed), *_simplified(listed, spec)]
    return tuple(sanitize.description(said, limit=300) for said in found)


def _noted(listed: Listed) -> list[str]:
    """What was mended before the definition could be read at all."""
    meta = getattr(listed, "meta", None)
    noted: object = cast(JsonObject, meta).get(normal_tools.MENDED) if isinstance(meta, dict) else None
    return [str(said) for said in cast("list[object]", noted)] if isinstance(noted, list) else []


def _renamed(listed: Listed, spec: ToolSpec) -> Iterator[str]:
    if not spec.name.endswith(listed.name):
        yield f"its name is {listed.name!r} on the server"


def _described(listed: Listed) -> Iterator[str]:
    said = listed.description or ""
    visible = sanitize.description(said, limit=len(said) + 1)
    if removed := len(said.strip()) - len(visible):
        yield f"{removed} characters that nobody sees were removed from its description"
    if len(visible) > sanitize.MAX_DESCRIPTION:
        yield f"its description of {len(visible):,} characters was cut to {sanitize.MAX_DESCRIPTION:,}"


def _simplified(listed: Listed, spec: ToolSpec) -> Iterator[str]:
    gone = sorted(set(_keywords(listed.input_schema)) - set(_keywords(spec.parameters)) - _SAYS_NOTHING)
    if gone:
        more = f" and {len(gone) - _SHOWN_KEYWORDS} more" if len(gone) > _SHOWN_KEYWORDS else ""
        yield f"its schema is written without {', '.join(gone[:_SHOWN_KEYWORDS])}{more}"


def _keywords(schema: object, *, depth: int = 64) -> Iterator[str]:
    """The keywords of a schema at any depth; names of properties are none, and definitions may be of no use."""
    if depth and isinstance(schema, list):
        for item in cast("list[object]", schema):
            yield from _keywords(item, depth=depth - 1)
    elif depth and isinstance(schema, dict):
        for key, value in cast(JsonObject, schema).items():
            if value not in ([], {}, None):
                yield key
            if key in ("properties", "patternProperties") and isinstance(value, dict):
                yield from _keywords([*cast(JsonObject, value).values()], depth=depth - 1)
            elif key not in ("enum", "const", "default", "examples", "required", "$defs", "definitions"):
                yield from _keywords(value, depth=depth - 1)
