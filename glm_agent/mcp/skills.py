"""Skills of a server (SEP-2640): listed without being read, read when one is loaded, and refused when not as listed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from glm_agent.mcp.failure import Refused
from glm_agent.messages import JsonObject

SKILLS = "io.modelcontextprotocol/skills"
MAX_SKILLS = 500
MAX_FILE = 1 << 20
"""Bytes of one file of a skill."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillFile:
    """One file of a skill, as it was listed."""

    uri: str
    size: int | None = None
    digest: str = ""
    """``sha256:`` and hexadecimal digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skill:
    """A skill as its server lists it."""

    uri: str
    """Of its SKILL.md."""
    frontmatter: JsonObject = field(default_factory=dict[str, Any])
    files: tuple[SkillFile, ...] = ()

    @property
    def name(self) -> str:
        return str(self.frontmatter.get("name") or self.uri)

    @property
    def description(self) -> str:
        return str(self.frontmatter.get("description") or "")


def read_skills(listed: list[Any]) -> tuple[Skill, ...]:
    """The skills of an answer to ``skills/list``; an entry without an address is left out."""
    entries = [cast(JsonObject, item) for item in listed if isinstance(item, dict)]
    return tuple(_skill(entry) for entry in entries if isinstance(entry.get("uri"), str))[:MAX_SKILLS]


def _skill(entry: JsonObject) -> Skill:
    front = entry.get("frontmatter")
    files = [
        _file(cast(JsonObject, item))
        for item in cast("list[object]", entry.get("resources") or [])
        if isinstance(item, dict)
    ]
    return Skill(
        uri=entry["uri"],
        frontmatter=cast(JsonObject, front) if isinstance(front, dict) else {},
        files=tuple(file for file in files if file.uri),
    )


def _file(entry: JsonObject) -> SkillFile:
    size = entry.get("size")
    return SkillFile(
        uri=str(entry.get("uri") or ""),
        size=size if isinstance(size, int) else None,
        digest=str(entry.get("digest") or ""),
    )


def content_bytes(contents: Any) -> bytes:
    """The bytes of a resource that was read: its text as UTF-8, or its blob. Raises ``Refused``."""
    for content in contents:
        if isinstance(text := getattr(content, "text", None), str):
            return text.encode("utf-8", "replace")
        if isinstance(blob := getattr(content, "blob", None), str):
            try:
                return base64.b64decode(blob, validate=True)
            except (binascii.Error, ValueError):
                raise Refused("a file of a skill is no base64") from None
    raise Refused("a file of a skill is empty")


def verified(skill: Skill, uri: str, data: bytes) -> bytes:
    """The file, if it is the one that was listed. Raises ``Refused`` naming what differs."""
    listed = next((file for file in skill.files if file.uri == uri), SkillFile(uri=uri))
    if len(data) > MAX_FILE:
        raise Refused(f"the file {uri!r} of a skill has more than {MAX_FILE:,} bytes")
    if listed.size is not None and len(data) != listed.size:
        raise Refused(f"the file {uri!r} of a skill has {len(data)} bytes, {listed.size} were listed")
    if listed.digest and f"sha256:{hashlib.sha256(data).hexdigest()}" != listed.digest.lower():
        raise Refused(f"the file {uri!r} of a skill is not the one that was listed: its hash differs")
    if uri == skill.uri and front_matter(data) != skill.frontmatter:
        raise Refused(f"the skill {skill.name!r} says other things of itself than its list does")
    return data


def front_matter(data: bytes) -> JsonObject:
    """The YAML between the first two lines of three hyphens; empty where there is none."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return {}
    head = text[4:].partition("\n---")[0]
    try:
        found = yaml.safe_load(head)
    except yaml.YAMLError:
        return {}
    return cast(JsonObject, found) if isinstance(found, dict) else {}
