"""The functions that the measured turns call, their hand-written schemas, and what counts the calls."""

from __future__ import annotations

import asyncio
import linecache
import time
from collections.abc import Callable
from typing import Any, Literal, Optional

PROMPT = "Please do the task."
INSTRUCTIONS = "You are a helpful assistant. Use the tools to answer."
PAGE = ("The quick brown fox jumps over the lazy dog; 0123456789. " * 40)[:2048]


class Seen:
    """What the tools saw."""

    calls = 0
    cpu_seconds: list[float] | None = None
    """CPU clock at each call, where a workload wants it."""


def hit() -> None:
    Seen.calls += 1
    if Seen.cpu_seconds is not None:
        Seen.cpu_seconds.append(time.process_time())


async def get_item(item_id: int, note: str) -> str:  # noqa: ARG001
    """Get an item by its id.

    Args:
        item_id: The id of the item to get.
        note: A short free text note.
    """
    hit()
    return f'{{"id":{item_id},"price":12.5,"stock":3}}'


async def stock(sku: str) -> int:
    """Units in stock."""
    hit()
    return len(sku)


async def fetch_page(page: int) -> str:  # noqa: ARG001
    """Fetch one page of text.

    Args:
        page: The page number.
    """
    hit()
    return PAGE


async def sleep_ms(ms: int, tag: int) -> str:
    """Wait for some milliseconds.

    Args:
        ms: How long to wait, in milliseconds.
        tag: A tag to tell calls apart.
    """
    hit()
    await asyncio.sleep(ms / 1000)
    return f"slept {tag}"


async def save_text(text: str) -> str:
    """Save a text.

    Args:
        text: The text to save.
    """
    hit()
    return f"saved {len(text)}"


def schema(name: str, description: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def typed(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (get_item, stock, fetch_page, sleep_ms, save_text)}

SCHEMAS = {
    "get_item": schema(
        "get_item",
        "Get an item by its id.",
        {
            "item_id": typed("integer", "The id of the item to get."),
            "note": typed("string", "A short free text note."),
        },
        ["item_id", "note"],
    ),
    "stock": schema("stock", "Units in stock.", {"sku": {"type": "string"}}, ["sku"]),
    "fetch_page": schema(
        "fetch_page", "Fetch one page of text.", {"page": typed("integer", "The page number.")}, ["page"]
    ),
    "sleep_ms": schema(
        "sleep_ms",
        "Wait for some milliseconds.",
        {
            "ms": typed("integer", "How long to wait, in milliseconds."),
            "tag": typed("integer", "A tag to tell calls apart."),
        },
        ["ms", "tag"],
    ),
    "save_text": schema("save_text", "Save a text.", {"text": typed("string", "The text to save.")}, ["text"]),
}

_SOURCE = '''
async def {name}(query: str, limit: int = 10, tags: Optional[list[str]] = None,
                 mode: Literal["fast", "full", "deep"] = "fast", min_score: float = 0.5) -> str:
    """{description}

    Args:
        query: Free text query; quoted parts must match exactly.
        limit: The largest number of records to give back.
        tags: Only records having all of these tags.
        mode: How thorough the search should be.
        min_score: Records scoring below this are left out.
    """
    hit()
    return "found {number}"
'''

_PROPERTIES: dict[str, Any] = {
    "query": typed("string", "Free text query; quoted parts must match exactly."),
    "limit": typed("integer", "The largest number of records to give back.", default=10),
    "tags": {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
        "default": None,
        "description": "Only records having all of these tags.",
    },
    "mode": typed("string", "How thorough the search should be.", enum=["fast", "full", "deep"], default="fast"),
    "min_score": typed("number", "Records scoring below this are left out.", default=0.5),
}


def many(count: int) -> dict[str, Callable[..., Any]]:
    """``count`` typed functions of five parameters, ``tool_000`` and on; their schemas are registered too."""
    return {f"tool_{number:03}": _one_of_many(number) for number in range(count)}


def _one_of_many(number: int) -> Callable[..., Any]:
    name = f"tool_{number:03}"
    description = f"Search the catalogue number {number} and give back the best matching records."
    source = _SOURCE.format(name=name, number=number, description=description)
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {"hit": hit, "Optional": Optional, "Literal": Literal, "__name__": __name__}
    exec(compile(source, file, "exec"), space)
    SCHEMAS[name] = schema(name, description, _PROPERTIES, ["query"])
    function: Callable[..., Any] = space[name]
    return function


def chosen(*names: str) -> dict[str, Callable[..., Any]]:
    return {name: FUNCTIONS[name] for name in names}
