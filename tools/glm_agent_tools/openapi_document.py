"""An OpenAPI document -> its operations, each as plain data. Pure but for reading the file; knows nothing of HTTP.

The document is checked by ``openapi-pydantic`` (3.0 and 3.1); references are followed inside the document only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeGuard, cast
from urllib.parse import unquote, urljoin

from glm_agent import ConfigurationError

Json: TypeAlias = dict[str, Any]

_METHODS: Final = ("get", "put", "post", "delete", "head", "patch")
_BODIES: Final = ("application/json", "application/x-www-form-urlencoded", "text/plain")
_MAX_DEPTH: Final = 12
_MAX_REPEATS: Final = 2
_MAX_DESCRIPTION: Final = 1_500
_NOT_SHOWN: Final = frozenset({"accept", "content-type", "authorization", "host", "content-length", "connection"})
"""Headers that the specification says are ignored as parameters, and those of the connection itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One thing to send: in the path, the query, a header, a cookie or as the body."""

    name: str
    """As the API calls it."""
    argument: str
    """As the tool calls it."""
    place: Literal["path", "query", "header", "cookie", "body"]
    schema: Json
    description: str = ""
    is_required: bool = False
    style: str = "form"
    explode: bool = True
    media_type: str = ""
    """Of a body."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing an API does."""

    name: str
    method: str
    path: str
    description: str
    parameters: tuple[Parameter, ...]


def load_document(path: str | Path) -> Json:
    """Read a JSON or YAML file. Raises ``ConfigurationError``."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the specification '{path}' cannot be read: {error}") from None
    return read_document(text, source=str(path))


def read_document(text: str, *, source: str) -> Json:
    """Read JSON or YAML text and check that it is an OpenAPI document. Raises ``ConfigurationError``."""
    try:
        document = json.loads(text)
    except ValueError:
        document = _yaml(text, source)
    return checked(document, source=source)


def checked(document: Any, *, source: str) -> Json:
    """The document, if it is one. Raises ``ConfigurationError``."""
    if not is_object(document):
        raise ConfigurationError(f"'{source}' is no OpenAPI document: it holds no object")
    if "swagger" in document:
        raise ConfigurationError(
            f"'{source}' is Swagger 2.0: convert it to OpenAPI 3 first, such as with swagger2openapi"
        )
    try:
        from openapi_pydantic import parse_obj
    except ImportError:
        raise ConfigurationError("OpenAPI needs one more package: pip install 'glm-agent[openapi]'") from None
    try:
        parse_obj(document)
    except ValueError as error:
        first = " ".join(str(error).split()[:60])
        raise ConfigurationError(f"'{source}' is no OpenAPI 3.0 or 3.1 document: {first}") from None
    return document


def _yaml(text: str, source: str) -> Any:
    import yaml

    try:
        # By way of JSON: YAML makes dates of some texts, and numbers of the names of answers.
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"'{source}' is neither JSON nor YAML: {error}") from None


def is_object(value: Any) -> TypeGuard[Json]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a JSON array."""
    return isinstance(value, list)


def operations(document: Json, *, only: Iterable[str] = ("*",)) -> list[Operation]:
    """The operations whose name, or ``METHOD /path``, fits a pattern; each under a name of its own."""
    patterns, found, taken = tuple(only), list[Operation](), set[str]()
    for path, entry in _objects(document.get("paths")):
        item = _resolved(document, entry)
        for method in _METHODS:
            if not is_object(operation := item.get(method)):
                continue
            made = _operation(document, _Place(path, method, item), operation, taken)
            if made and any(fnmatchcase(text, p) for p in patterns for text in (made.name, f"{method.upper()} {path}")):
                taken.add(made.name)
                found.append(made)
    return found


def base_url_of(document: Json, *, source: str = "") -> str:
    """The first server's address, variables filled in; relative ones joined with where the document came from."""
    servers: list[Json] = document.get("servers") or []
    url = str(servers[0].get("url", "")) if servers else "/"
    for name, variable in _objects(servers[0].get("variables")) if servers else ():
        url = url.replace("{" + name + "}", str(variable.get("default", "")))
    return urljoin(source, url) if source.startswith(("http://", "https://")) else url


# -- one operation ----------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where an operation stands."""

    path: str
    method: str
    item: Json


def _operation(document: Json, place: _Place, operation: Json, taken: set[str]) -> Operation | None:
    path, method, item = place
    given = {
        (entry.get("name"), entry.get("in")): entry
        for raw in (*(item.get("parameters") or ()), *(operation.get("parameters") or ()))
        if (entry := _resolved(document, raw))
    }
    arguments = set[str]()
    parameters = [made for entry in given.values() if (made := _parameter(document, entry, arguments))]
    body = _resolved(document, operation.get("requestBody") or {})
    if body:
        made = _body(document, body, arguments)
        if made is None and body.get("required"):
            return None
        parameters += [made] if made else []
    texts = (operation.get("summary"), operation.get("description"))
    said = "\n\n".join(dict.fromkeys(str(text).strip() for text in texts if text)) or f"{method.upper()} {path}"
    note = "\n\nDeprecated." if operation.get("deprecated") else ""
    return Operation(
        name=_unique(_name(str(operation.get("operationId") or f"{method}_{path}"), limit=60), taken),
        method=method.upper(),
        path=path,
        description=said[:_MAX_DESCRIPTION] + note,
        parameters=tuple(sorted(parameters, key=lambda parameter: not parameter.is_required)),
    )


def _parameter(document: Json, entry: Json, taken: set[str]) -> Parameter | None:
    name, place = str(entry.get("name", "")), entry.get("in")
    if place not in ("path", "query", "header", "cookie") or (place == "header" and name.lower() in _NOT_SHOWN):
        return None
    content: Json = next((value for _, value in _objects(entry.get("content"))), dict[str, Any]())
    style = str(entry.get("style") or ("form" if place in ("query", "cookie") else "simple"))
    return Parameter(
        name=name,
        argument=_argument(name, taken),
        place=place,
        schema=inlined(document, entry.get("schema") or content.get("schema") or {}),
        description=str(entry.get("description") or ""),
        is_required=place == "path" or bool(entry.get("required")),
        style="json" if content else style,
        explode=bool(entry.get("explode", style == "form")),
    )


def _body(document: Json, body: Json, taken: set[str]) -> Parameter | None:
    content = dict(_objects(body.get("content")))
    for wanted in _BODIES:
        for kind, media in content.items():
            plain = kind.partition(";")[0].strip().lower()
            if plain == wanted or (wanted == _BODIES[0] and (plain.endswith("+json") or plain == "*/*")):
                return Parameter(
                    name="body",
                    argument=_argument("body", taken),
                    place="body",
                    schema=inlined(document, media.get("schema") or {}),
                    description=str(body.get("description") or "What to send."),
                    is_required=bool(body.get("required")),
                    media_type=wanted if plain == "*/*" else plain,
                )
    return None


def inlined(document: Json, schema: Any, *, trail: tuple[str, ...] = ()) -> Json:
    """The schema without references, in the words of JSON Schema; one that leads back to itself ends as anything."""
    if not is_object(schema) or len(trail) > _MAX_DEPTH:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if trail.count(reference) >= _MAX_REPEATS:
            return {}
        target = inlined(document, _target(document, reference), trail=(*trail, reference))
        return target | {key: value for key, value in schema.items() if key == "description"}
    return _in_todays_words({key: _walked(document, key, value, trail) for key, value in schema.items()})


def _in_todays_words(schema: Json) -> Json:
    """What OpenAPI 3.0 says in its own way, as JSON Schema says it."""
    is_nullable = schema.pop("nullable", False) is True
    schema.pop("example", None)
    if is_nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if is_array(schema.get("enum")) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for strict, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(strict), bool) and schema.pop(strict) and bound in schema:
            schema[strict] = schema.pop(bound)
    return schema


def _walked(document: Json, key: str, value: Any, trail: tuple[str, ...]) -> Any:
    deeper = (*trail, "")
    if key in ("properties", "patternProperties", "$defs") and is_object(value):
        return {name: inlined(document, each, trail=deeper) for name, each in value.items()}
    if key in ("items", "additionalProperties", "not") and is_object(value):
        return inlined(document, value, trail=deeper)
    if key in ("allOf", "anyOf", "oneOf", "prefixItems") and is_array(value):
        return [inlined(document, each, trail=deeper) for each in value]
    return value


def _resolved(document: Json, entry: Any) -> Json:
    for _ in range(_MAX_DEPTH):
        if not is_object(entry):
            return {}
        reference = entry.get("$ref")
        if not isinstance(reference, str):
            return entry
        entry = _target(document, reference)
    return {}


def _target(document: Json, reference: str) -> Any:
    """What a reference inside the document means; nothing is fetched from elsewhere."""
    if not reference.startswith("#/"):
        return None
    value: Any = document
    for word in reference[2:].split("/"):
        name = unquote(word).replace("~1", "/").replace("~0", "~")
        value = value.get(name) if is_object(value) else None
    return value


# -- names ------------------------------------------------------------------------------------------------


def _name(text: str, *, limit: int) -> str:
    """Snake case, of letters, digits and underscores."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    plain = re.sub(r"[^a-zA-Z0-9]+", "_", words).strip("_").lower()[:limit].rstrip("_") or "x"
    return plain if plain[0].isalpha() else f"n_{plain}"


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(other for number in range(2, 10_000) if (other := f"{name}_{number}") not in taken)


def _argument(name: str, taken: set[str]) -> str:
    argument = _unique(_name(name, limit=50), taken)
    taken.add(argument)
    return argument


def _objects(value: Any) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for key, each in cast("Mapping[str, Any]", value).items():
            if is_object(each):
                yield key, each
