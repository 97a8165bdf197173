"""Any JSON Schema -> one that GLM handles well. Pure; for schemas of strangers too.

GLM 5.2 and 5.3 write nested objects as JSON strings where they see ``$ref``, and the API refuses a whole
request for one invalid sub-schema (code 1210). So references are inlined, what is broken is dropped, and
only known keywords are kept. Every change may only widen: an object that the original accepts is
accepted by the result. What a tool really takes is checked by the tool, not by what is shown here.

Nothing here raises, whatever it is given, and nothing is ever fetched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote

from glm_agent.messages import JsonObject
from glm_agent.schema.shapes import is_array, is_object
from glm_agent.schema.widening import ANNOTATIONS, in_todays_spelling, keep_wide, simplify

_MAX_CHARACTERS = 256 * 1024
_MAX_DESCRIPTION = 8_000
_LIMITS = ((2, 32), (1, 32), (1, 8), (0, 4))
"""How often one reference is followed on a path, and how deep it goes: the first pair that fits is taken."""

_DROP = object()
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")


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
            rule = _RULES.get(key)
            kept = _DROP if rule is None else rule(self, value, depth)
            if kept is not _DROP:
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
        """A value that is not a schema (an example, an enum's entry), bounded the same way; else ``_DROP``."""
        if value is None or isinstance(value, bool):
            self.spend(5)
            return value
        if isinstance(value, int | float):
            self.spend(24)
            return value if _is_finite(value) else _DROP
        if isinstance(value, str):
            self.spend(len(value) + 2)
            return value
        self.spend(2)
        if depth > self._depth:
            return _DROP
        if is_array(value):
            items = [self.json(item, depth + 1) for item in value]
            return _DROP if _DROP in items else items
        return self._members(value, depth) if is_object(value) else _DROP

    def _members(self, value: JsonObject, depth: int) -> object:
        self.spend(sum(len(str(key)) + 4 for key in value))
        entries = {str(key): self.json(item, depth + 1) for key, item in value.items()}
        return _DROP if _DROP in entries.values() else entries

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


# -- one rule for each keyword: its clean value, or _DROP -------------------------------------------------

_Rule = Callable[[_Walk, Any, int], object]


def _type(_walk: _Walk, value: Any, _depth: int) -> object:
    given: list[Any] = value if is_array(value) else [value]
    names = list(dict.fromkeys(given)) if _is_names(value) else []
    if not names or any(name not in _TYPES for name in names):
        return _DROP
    return names if len(names) > 1 else names[0]


def _is_names(value: Any) -> bool:
    return isinstance(value, str) or (is_array(value) and all(isinstance(item, str) for item in value))


def _properties(walk: _Walk, value: Any, depth: int) -> object:
    if not is_object(value):
        return _DROP
    # The names of JSON objects are strings; of what Python hands over perhaps not.
    entries = {str(key): entry for key, entry in value.items()}
    walk.spend(sum(len(key) + 4 for key in entries))
    # ``false`` forbids the property: it is left out, whoever sends it is told by the tool.
    return {key: walk.schema(entry, depth + 1) for key, entry in entries.items() if entry is not False}


def _patterns(walk: _Walk, value: Any, depth: int) -> object:
    kept = _properties(walk, value, depth)
    return {key: entry for key, entry in kept.items() if _is_regex(key)} if is_object(kept) else _DROP


def _schema(walk: _Walk, value: Any, depth: int) -> object:
    return (walk.schema(value, depth + 1) or _DROP) if is_object(value) else _DROP


def _schema_or_bool(walk: _Walk, value: Any, depth: int) -> object:
    return value if isinstance(value, bool) else _schema(walk, value, depth)


def _branches(walk: _Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return _DROP
    return [walk.schema(entry, depth + 1) for entry in value if entry is not False] or _DROP


def _tuple(walk: _Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return _DROP
    return [walk.schema(entry, depth + 1) for entry in value] or _DROP


def _required(walk: _Walk, value: Any, depth: int) -> object:
    if not is_array(value):
        return _DROP
    names = (name for name in value if isinstance(name, str))
    return walk.json(list(dict.fromkeys(names)), depth) or _DROP


def _number(_walk: _Walk, value: Any, _depth: int) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and _is_finite(cast("float", value)) else _DROP


def _is_finite(number: float) -> bool:
    # Longer integers are not writable as JSON: Python refuses to make their text.
    return number.bit_length() < 2_000 if isinstance(number, int) else math.isfinite(number)


def _positive(walk: _Walk, value: Any, depth: int) -> object:
    number = _number(walk, value, depth)
    return number if number is not _DROP and cast("float", number) > 0 else _DROP


def _count(walk: _Walk, value: Any, depth: int) -> object:
    number = _number(walk, value, depth)
    if number is _DROP or cast("float", number) < 0 or cast("float", number) != int(cast("float", number)):
        return _DROP
    return int(cast("float", number))


def _text(walk: _Walk, value: Any, depth: int) -> object:
    return walk.json(value[:_MAX_DESCRIPTION], depth) if isinstance(value, str) else _DROP


def _pattern(walk: _Walk, value: Any, depth: int) -> object:
    return walk.json(value, depth) if isinstance(value, str) and _is_regex(value) else _DROP


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _flag(_walk: _Walk, value: Any, _depth: int) -> object:
    return value if isinstance(value, bool) else _DROP


def _values(walk: _Walk, value: Any, depth: int) -> object:
    return (walk.json(value, depth) or _DROP) if is_array(value) else _DROP


def _default(walk: _Walk, value: Any, depth: int) -> object:
    return _DROP if value is None else walk.json(value, depth)


def _anything(walk: _Walk, value: Any, depth: int) -> object:
    return walk.json(value, depth)


_RULES: Mapping[str, _Rule] = {
    "type": _type,
    "description": _text,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _schema_or_bool,
    "patternProperties": _patterns,
    "propertyNames": _schema,
    "minProperties": _count,
    "maxProperties": _count,
    "items": _schema,
    "prefixItems": _tuple,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": _flag,
    "enum": _values,
    "const": _anything,
    "minLength": _count,
    "maxLength": _count,
    "pattern": _pattern,
    "format": _text,
    "contentEncoding": _text,
    "contentMediaType": _text,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _number,
    "exclusiveMaximum": _number,
    "multipleOf": _positive,
    "anyOf": _branches,
    "oneOf": _branches,
    "allOf": _branches,
    "default": _default,
    "examples": _values,
    "deprecated": _flag,
    "readOnly": _flag,
    "writeOnly": _flag,
}
"""Not in here, hence dropped: ``not``, ``if``, ``contains``, ``unevaluated…`` and ``dependent…``, which turn
narrower when a schema inside them is widened; ``title``, ``$schema`` and words of other dialects."""
