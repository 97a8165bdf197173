"""``glm-agent tools from-openapi``: an API's description becomes a file of tools, with a copy of the description."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final

import typer

from glm_agent.cli import formats, phrases
from glm_agent.cli.exits import reporting, say
from glm_agent.errors import ConfigurationError

_FETCH_SECONDS: Final = 30.0

_FILE: Final = Template('''\
"""$title: tools made of its OpenAPI description. Change the settings below as you like."""

from pathlib import Path

from glm_agent_tools.openapi import openapi_tools

tools = openapi_tools(
    Path(__file__).with_name($document),
    base_url=$base_url,
    headers=$headers,
    only=$only,
    private=$private,
)
''')


def from_openapi(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A JSON or YAML file, or its address.")],
    *,
    base_url: Annotated[str | None, typer.Option(help="Where the API is; else as the description says.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="'Name: value' for every request; write keys as ${NAME}; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Operations by name or 'METHOD /path', with * and ?; repeatable.")
    ] = None,
    private: Annotated[
        list[str] | None, typer.Option(help="A network of your own that the API is in, such as 10.0.0.0/8.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="The Python file; else named after it.")] = None,
) -> None:
    """Make tools of an API: one for each operation of its OpenAPI 3 description.

    Writes a Python file that offers them, and a copy of the description beside it.

    Example: glm-agent tools from-openapi petstore.yaml --header 'X-Key: ${PETSTORE_KEY}' --only 'get_*'
    """
    with reporting():
        document, source = _read(spec)
        settings: dict[str, Any] = {
            "base_url": base_url or _base_url(document, source),
            "headers": _headers(header or []),
            "only": only or ["*"],
            "private": private or [],
        }
        from glm_agent_tools.openapi import openapi_tools

        tools = openapi_tools(document, **settings)
        file = _write(document, settings, Path(output) if output else Path(f"{_slug(_title(document))}.py"))
    for tool in tools:
        made: Any = tool
        formats.write(f"{made.spec.name:<32} {made.spec.effect:<11} {phrases.short(made.spec.description, limit=70)}\n")
    say(f"{phrases.count(len(tools), 'tool')} in {file}; use them with: --tools ./{file}")


def _read(spec: str) -> tuple[dict[str, Any], str]:
    """The document, and where it came from."""
    from glm_agent_tools.openapi_document import load_document, read_document

    if not spec.startswith(("http://", "https://")):
        return load_document(spec), ""
    import httpx2

    try:
        response = httpx2.get(spec, timeout=_FETCH_SECONDS, follow_redirects=True)
        response.raise_for_status()
    except httpx2.HTTPError as error:
        raise ConfigurationError(
            f"the description '{spec}' cannot be fetched: {error or type(error).__name__}"
        ) from error
    return read_document(response.text, source=spec), str(response.url)


def _base_url(document: dict[str, Any], source: str) -> str:
    from glm_agent_tools.openapi_document import base_url_of

    return base_url_of(document, source=source)


def _headers(given: list[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in given]
    for name, colon, value in pairs:
        if not colon or not name.strip() or not value.strip():
            raise ConfigurationError(f"--header '{name}' is none: write 'Name: value'")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _write(document: dict[str, Any], settings: dict[str, Any], file: Path) -> Path:
    beside = file.with_name(f"{file.stem}.openapi.json")
    values = {name: repr(value) for name, value in settings.items()}
    title = json.dumps(phrases.short(_title(document)), ensure_ascii=True)[1:-1]
    text = _FILE.substitute(values, title=title, document=repr(beside.name))
    try:
        if os.path.exists(file):
            raise ConfigurationError(f"'{file}' is there already: give another name with --output")
        beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"'{file}' cannot be written: {error.strerror or error}") from error
    return file


def _title(document: dict[str, Any]) -> str:
    return str(document["info"]["title"]) or "API"


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:40] or "api"
