"""An API as tools: one for each operation of its OpenAPI document.

    tools = openapi_tools("petstore.json", base_url="https://petstore.example/v3", headers={"X-Key": "${PETSTORE_KEY}"})

Requests go to the API's own host only, keys stay out of the model's sight, arguments are checked by their schemas
before anything is sent. Needs the extra ``openapi``.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict, cast
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, WithJsonSchema

from glm_agent import ConfigurationError, ToolContext, ToolError, tool
from glm_agent_tools.http_rules import HttpRules
from glm_agent_tools.openapi_document import (
    Json,
    Operation,
    Parameter,
    base_url_of,
    checked,
    is_array,
    is_object,
    load_document,
    operations,
)

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_READS: Final = frozenset({"GET", "HEAD"})
_REPEATABLE: Final = frozenset({"PUT", "DELETE"})
_SECONDS: Final = 60.0


class ApiAnswer(TypedDict):
    """What the API answered."""

    status: int
    body: Any


def openapi_tools(
    document: str | Path | Mapping[str, Any],
    *,
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    only: Iterable[str] = ("*",),
    prefix: str = "",
    private: Iterable[str] = (),
    max_bytes: int = 1_000_000,
) -> list[Callable[..., Any]]:
    """The operations of an API as tools.

    Args:
        document: A JSON or YAML file, or its content.
        base_url: Where the API is; else the document's first server.
        headers: Added to every request, such as its key; ``${NAME}`` is a variable, read from the environment.
        query: Likewise for the query.
        only: Patterns for names of operations or ``METHOD /path``.
        prefix: Put before every name.
        private: Networks that are asked although they are not public, where the API is there: ``10.0.0.0/8``.
        max_bytes: The longest answer.

    Raises:
        ConfigurationError: The document cannot be used, no operation fits, or there is no absolute address.
    """
    source = str(document) if isinstance(document, str | Path) else "the mapping"
    known = load_document(document) if isinstance(document, str | Path) else checked(dict(document), source=source)
    api = _Api(base_url or base_url_of(known), headers or {}, query or {}, tuple(private), max_bytes)
    found = operations(known, only=only)
    if not found:
        raise ConfigurationError(f"no operation of '{source}' fits {', '.join(only)}")
    return [_tool(operation, api, prefix=prefix) for operation in found]


class _Api:
    """Where an API is, and what every request to it carries."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        private: tuple[str, ...],
        max_bytes: int,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"the API's address '{base_url}' is not absolute: give base_url=, or --base-url")
        self.base_url = base_url.rstrip("/")
        self._query, self._headers = query, headers
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._site = parts.hostname if parts.scheme == "https" else f"http://{parts.hostname}"
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._allow, self._private, self._max_bytes = (f"{host}:{port}",), private, max_bytes

    def rules(self) -> HttpRules:
        """Only this host, and the key for it."""
        secrets = {self._site: {name.lower(): _filled(value) for name, value in self._headers.items()}}
        return HttpRules(allow=self._allow, private=self._private, max_bytes=self._max_bytes, secrets=secrets)

    def query(self) -> list[tuple[str, str]]:
        return [(name, _filled(value)) for name, value in self._query.items()]


def _filled(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        if (found := os.environ.get(match[1])) is None:
            raise ToolError(f"the API's key is not set: whoever runs this has to set {match[1]}")
        return found

    return _VARIABLE.sub(value, text)


# -- an operation as a function ---------------------------------------------------------------------------


def _tool(operation: Operation, api: _Api, *, prefix: str) -> Callable[..., Any]:
    async def call(context: ToolContext, **arguments: Any) -> ApiAnswer:
        _check(operation, arguments)
        return await _ask(operation, api, arguments, context)

    function = cast("Any", call)
    function.__signature__ = _signature(operation)
    function.__name__ = function.__qualname__ = operation.name
    function.__module__ = __name__
    made = tool(
        name=f"{prefix}{operation.name}"[:64],
        description=operation.description,
        read_only=operation.method in _READS,
        idempotent=operation.method in _REPEATABLE,
        destructive=None if operation.method in _READS else True,
        open_world=True,
        timeout_seconds=_SECONDS + 10,
    )
    return made(cast("Callable[..., Awaitable[ApiAnswer]]", function))


def _signature(operation: Operation) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=ToolContext)
    if any(parameter.argument == "context" for parameter in operation.parameters):
        context = context.replace(name="tool_context")
    shown = [
        inspect.Parameter(
            parameter.argument,
            kind,
            annotation=_annotation(parameter),
            default=inspect.Parameter.empty if parameter.is_required else None,
        )
        for parameter in operation.parameters
    ]
    return inspect.Signature([context, *shown])


def _annotation(parameter: Parameter) -> Any:
    schema = {key: value for key, value in parameter.schema.items() if key != "description"}
    said = (
        parameter.description
        or str(parameter.schema.get("description") or "")
        or f"{parameter.name} ({parameter.place})"
    )
    return Annotated[Any, WithJsonSchema(schema), Field(description=said)]


def _check(operation: Operation, arguments: Json) -> None:
    """Drop what was left out; raise ``ToolError`` for what does not fit its schema."""
    for parameter in operation.parameters:
        value = arguments.get(parameter.argument)
        if value is None and not parameter.is_required:
            arguments.pop(parameter.argument, None)
            continue
        if said := _misfit(value, parameter.schema):
            raise ToolError(f"{parameter.argument}{said}. Nothing was sent: correct it.")


def _misfit(value: Any, schema: Json) -> str:
    """Where and why a value does not fit; empty where it does."""
    jsonschema: Any = import_module("jsonschema")
    try:
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(value))
    except (re.error, TypeError, ValueError, RecursionError):
        return ""  # The schema is at fault: the API decides.
    return "" if error is None else f"{''.join(f'[{step!r}]' for step in error.absolute_path)}: {error.message[:300]}"


async def _ask(operation: Operation, api: _Api, arguments: Json, context: ToolContext) -> ApiAnswer:
    from glm_agent_tools.guarded import fetch

    path, query, headers, content = operation.path, api.query(), dict[str, str](), None
    headers |= {"accept": "application/json"} | _key(operation, context)
    for parameter in operation.parameters:
        if parameter.argument not in arguments:
            continue
        value = arguments[parameter.argument]
        match parameter.place:
            case "path":
                path = path.replace("{" + parameter.name + "}", _in_path(parameter, value))
            case "query":
                query += _in_query(parameter, value)
            case "header":
                headers[parameter.name.lower()] = _one_line(_joined(value))
            case "cookie":
                pair = f"{parameter.name}={quote(_joined(value), safe='')}"
                headers["cookie"] = f"{headers['cookie']}; {pair}" if "cookie" in headers else pair
            case "body":
                content = _body(parameter, value)
                headers["content-type"] = parameter.media_type
    if "{" in path:
        raise ToolError(f"the path '{path}' needs a value that the API's description does not name")
    url = f"{api.base_url}{path}" + (f"?{urlencode(query)}" if query else "")
    fetched = await fetch(
        api.rules(), operation.method, url, headers=headers, content=content, timeout_seconds=_SECONDS
    )
    if fetched.is_cut:
        raise ToolError(
            f"the answer (status {fetched.status}) is longer than {len(fetched.body):,} bytes: ask for less"
        )
    return ApiAnswer(status=fetched.status, body=_read(fetched.body))


def _key(operation: Operation, context: ToolContext) -> dict[str, str]:
    is_write = operation.method not in _READS and context.idempotency_key
    return {"idempotency-key": context.idempotency_key} if is_write else {}


def _in_path(parameter: Parameter, value: Any) -> str:
    """One segment, whatever it holds: not another path."""
    text = _joined(value)
    if text.strip(".") == "" or "\0" in text:
        raise ToolError(f"{parameter.argument} is '{text}', which would change the path: give a real value")
    return quote(text, safe="")


def _in_query(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    if parameter.style == "json":
        return [(parameter.name, json.dumps(value, ensure_ascii=False))]
    if is_object(value):
        entries = value.items()
        if parameter.style == "deepObject":
            return [(f"{parameter.name}[{key}]", _text(each)) for key, each in entries]
        if parameter.explode:
            return [(key, _text(each)) for key, each in entries]
    if is_array(value) and parameter.explode:
        return [(parameter.name, _text(each)) for each in value]
    mark = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
    return [(parameter.name, _joined(value, mark))]


def _joined(value: Any, mark: str = ",") -> str:
    if is_object(value):
        return mark.join(f"{key}{mark}{_text(each)}" for key, each in value.items())
    return mark.join(map(_text, value)) if is_array(value) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
        raise ToolError("a header holds a line end or a control character: leave it out")
    return text.encode(errors="replace").decode("latin-1")


def _body(parameter: Parameter, value: Any) -> bytes:
    if parameter.media_type == "application/x-www-form-urlencoded" and is_object(value):
        pairs = [(key, _text(each)) for key, each in value.items()]
        return urlencode(pairs).encode()
    if parameter.media_type == "text/plain":
        return _text(value).encode(errors="replace")
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _read(body: bytes) -> Any:
    text = body.decode(errors="replace")
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError):
        return text
