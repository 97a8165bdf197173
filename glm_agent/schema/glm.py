"""Any JSON Schema -> one that GLM handles well. Pure; for schemas of strangers too.

GLM 5.2 and 5.3 write nested objects as JSON strings where they see ``$ref``, and the API refuses a whole
request for one invalid sub-schema (code 1210). So references are inlined, what is broken is dropped, and
only known keywords are kept. Every change may only widen: an object that the original accepts is
accepted by the result. What a tool really takes is checked by the tool, not by what is shown here.

Nothing here raises, whatever it is given, and nothing is ever fetched.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from glm_agent.messages import JsonObject
from glm_agent.schema.keywords import DROP, RULES, is_finite
from glm_agent.schema.shapes import is_array, is_object
from glm_agent.schema.widening import ANNOTATIONS, in_todays_spelling, keep_wide, simplify

_MAX_CHARACTERS = 256 * 1024
_LIMITS = ((2, 32), (1, 32), (1, 8), (0, 4))
"""How often one reference is followed on a path, and how deep it goes: the first pair that fits is taken."""


def glm_schema(schema: object) -> JsonObject:
    """The schema with an object root, without references, titles, nulls and what is not valid.

    Idempotent. At most 256 KB and 32 levels: a larger one is cut at a smaller depth, at last to an open
    object. A reference that leads back to itself is followed twice, then only its type is left.
    """
    for follow, depth in _LIMITS:
        try:
            return _root(_Walk(schema, follow=follow, depth=depth).schema(schema, 0))
        except _TooLarge:
            continue
    return _root({})


def _root(schema: JsonObject) -> JsonObject:
    kind = schema.pop("type", "object")
    if "object" not in (kind if isinstance(kind, list) else [kind]):
        schema = {key: value for key, value in schema.items() if key == "description"}
    return {"type": "object", "properties": schema.pop("properties", {}), **schema}


class _TooLarge(Exception):
    pass


class _Walk:
    """One pass over a document, with bounds on what comes out."""

    def __init__(self, document: Any, *, follow: int, depth: int) -> None:
        self._document = document
        self._follow, self._depth = follow, depth
        self._left = _MAX_CHARACTERS
        self._path: list[str] = []

    def schema(self, value: Any, depth: int) -> JsonObject:
        """The clean form of one sub-schema; an open one where it is none."""
        if not is_object(value) or depth > self._depth:
            return {}
        if isinstance(reference := value.get("$ref"), str):
            target = self._resolve(reference)
            if is_object(target):
                return self._inline(reference, target, value, depth)
        return simplify(self._keywords(in_todays_spelling(value), depth))

    def _keywords(self, node: JsonObject, depth: int) -> JsonObject:
        clean: JsonObject = {}
        for key, value in node.items():
            rule = RULES.get(key)
            kept = DROP if rule is None else rule(self, value, depth)
            if kept is not DROP:
                self.spend(len(key) + 4)
                clean[key] = kept
        return keep_wide(node, clean)

    def _inline(self, reference: str, target: JsonObject, node: JsonObject, depth: int) -> JsonObject:
        """The target in place. Of the keywords beside a reference only annotations can be merged without narrowing."""
        beside = self._keywords({key: node[key] for key in node if key in ANNOTATIONS}, depth)
        if self._path.count(reference) >= self._follow:
            shown = self._keywords({key: target[key] for key in ("type", "description") if key in target}, depth)
        else:
            self._path.append(reference)
            shown = self.schema(target, depth + 1)
            self._path.pop()
        return {**shown, **beside}

    def _resolve(self, reference: str) -> object:
        """What a reference within the document points at; None where it points elsewhere or nowhere."""
        if reference == "#" or reference.startswith("#/"):
            return _follow_pointer(self._document, reference[2:])
        for definition in _definitions(self._document):
            if reference in (definition.get("$id"), f"#{definition.get('$anchor')}"):
                return definition
        return None

    def json(self, value: Any, depth: int) -> object:
        """A value that is not a schema (an example, an enum's entry), bounded the same way; else ``DROP``."""
        if value is None or isinstance(value, bool):
            self.spend(5)
            return value
        if isinstance(value, int | float):
            self.spend(24)
            return value if is_finite(value) else DROP
        if isinstance(value, str):
            self.spend(len(value) + 2)
            return value
        self.spend(2)
        if depth > self._depth:
            return DROP
        if is_array(value):
            items = [self.json(item, depth + 1) for item in value]
            return DROP if DROP in items else items
        return self._members(value, depth) if is_object(value) else DROP

    def _members(self, value: JsonObject, depth: int) -> object:
        self.spend(sum(len(str(key)) + 4 for key in value))
        entries = {str(key): self.json(item, depth + 1) for key, item in value.items()}
        return DROP if DROP in entries.values() else entries

    def spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise _TooLarge


def _follow_pointer(document: Any, pointer: str) -> object:
    """RFC 6901, in a URI fragment."""
    node: Any = document
    for part in pointer.split("/") if pointer else ():
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if is_object(node):
            node = node.get(name)
        elif is_array(node) and name.isascii() and name.isdecimal() and len(name) < 9:
            node = node[int(name)] if int(name) < len(node) else None
        else:
            return None
    return node


def _definitions(document: Any) -> list[JsonObject]:
    groups = [document.get("$defs"), document.get("definitions")] if is_object(document) else []
    return [entry for group in groups if is_object(group) for entry in group.values() if is_object(entry)]
