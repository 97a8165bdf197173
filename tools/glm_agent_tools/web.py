"""The web through GLM's own service: search it, read a page. Needs the provider's key; no page is fetched from here.

Source: Zhipu's OpenAPI document of 2026-07-11, ``POST /web_search`` and ``POST /reader``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypedDict, cast
from urllib.parse import urlsplit

from pydantic import Field

from glm_agent import ConfigurationError, ToolContext, ToolError, tool
from glm_agent_tools.addresses import is_public
from glm_agent_tools.http_rules import check_secret

if TYPE_CHECKING:
    import httpx2

_MAX_QUERY: Final = 70
_CALL_SECONDS: Final = 60.0
_OWN: Final = (".local", ".localhost", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".private")
_SERVICES: Final = (
    (("ZAI_API_KEY", "GLM_API_KEY"), ("ZAI_BASE_URL",), "https://api.z.ai/api/paas/v4", "search-prime"),
    (("ZHIPUAI_API_KEY",), ("ZHIPUAI_BASE_URL",), "https://open.bigmodel.cn/api/paas/v4", "search_std"),
)
"""Names of keys and addresses, the address and the engine of Zhipu's two sites."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebService:
    """Whose search and reader to ask; in ``deps``, or as ``.web`` of them, else from the environment."""

    api_key: str = field(repr=False)
    base_url: str = "https://api.z.ai/api/paas/v4"
    engine: str = "search-prime"
    """``search_std``, ``search_pro`` … of bigmodel.cn; ``search-prime`` of z.ai."""

    def __post_init__(self) -> None:
        check_secret(self.api_key, what="the key of the web service")


class Hit(TypedDict):
    """One page that was found."""

    title: str
    url: str
    site: str
    date: str
    text: str


class Page(TypedDict):
    """A page, as Markdown or plain text."""

    url: str
    title: str
    description: str
    text: str


@tool(read_only=True, open_world=True, timeout_seconds=75, retries=1)
async def web_search(
    context: ToolContext,
    query: Annotated[str, Field(min_length=1, max_length=500)],
    *,
    count: Annotated[int, Field(ge=1, le=50)] = 10,
    site: str = "",
    recency: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"] = "noLimit",
) -> list[Hit]:
    """Search the web and return the pages found, with what they say in short.

    Args:
        query: What to look for: a few words, at most 70 characters.
        count: How many pages to return at most.
        site: Only pages of this domain, such as docs.python.org.
        recency: How old a page may be.
    """
    service = _service(context)
    asked: dict[str, Any] = {
        "search_query": query[:_MAX_QUERY],
        "search_engine": service.engine,
        "search_intent": False,
        "count": count,
        "search_recency_filter": recency,
    }
    body = await _ask(service, "/web_search", asked | ({"search_domain_filter": site} if site else {}))
    found = body.get("search_result")
    return [_hit(entry) for entry in _objects(found)][:count]


@tool(read_only=True, open_world=True, timeout_seconds=75, max_output_tokens=30_000, retries=1)
async def read_page(context: ToolContext, url: str, as_markdown: bool = True) -> Page:
    """Read a page of the web, as text without menus and advertising.

    Args:
        url: The page's http or https address.
        as_markdown: Keep headings, lists and links as Markdown; else plain text.
    """
    _check(url)
    asked = {
        "url": url,
        "return_format": "markdown" if as_markdown else "text",
        "retain_images": False,
        "timeout": 20,
    }
    body = await _ask(_service(context), "/reader", asked)
    page: Any = body.get("reader_result")
    if not isinstance(page, dict):
        raise ToolError(f"'{url}' could not be read: the service returned no page")
    known = cast("dict[str, Any]", page)
    return Page(
        url=str(known.get("url") or url),
        title=str(known.get("title") or ""),
        description=str(known.get("description") or ""),
        text=str(known.get("content") or ""),
    )


def _service(context: ToolContext) -> WebService:
    for candidate in (context.deps, getattr(context.deps, "web", None)):
        if isinstance(candidate, WebService):
            return candidate
    for keys, addresses, base_url, engine in _SERVICES:
        if key := _first(keys):
            return WebService(api_key=key, base_url=_first(addresses) or base_url, engine=engine)
    raise ConfigurationError("web search and reader need a key: set ZAI_API_KEY or ZHIPUAI_API_KEY")


def _first(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def _check(url: str) -> None:
    """Addresses of one's own network are not told to a stranger."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        raise ToolError(f"'{url[:200]}' is no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ToolError(f"'{url[:200]}' is no http: or https: address")
    if parts.username or parts.password:
        raise ToolError("the address holds a user name or a password: leave it out")
    is_number = ":" in host or host.rpartition(".")[2].removeprefix("0x").isdigit()
    is_ours = not is_public(host) if is_number else "." not in host or host.endswith(_OWN)
    if is_ours:
        raise ToolError(f"'{host}' is no address of the public web")


async def _ask(service: WebService, path: str, body: dict[str, Any]) -> dict[str, Any]:
    import httpx2

    url = service.base_url.rstrip("/") + path
    headers = {"authorization": f"Bearer {service.api_key}"}
    try:
        async with httpx2.AsyncClient(timeout=_CALL_SECONDS) as client:
            response = await client.post(url, json=body, headers=headers)
    except httpx2.HTTPError as error:
        raise RuntimeError(f"the web service was not reached: {error or type(error).__name__}") from None
    answer = _object(response)
    if answer is None:
        raise ToolError(f"the web service answered with status {response.status_code} and no JSON object")
    if response.is_error or answer.get("error"):
        raise ToolError(f"the web service refused (status {response.status_code}): {_refusal(answer)}")
    return answer


def _object(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        answer: Any = response.json()
    except ValueError:
        return None
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None


def _refusal(answer: dict[str, Any]) -> str:
    error: Any = answer.get("error") or answer
    if not isinstance(error, dict):
        return str(error)[:300]
    known = cast("dict[str, Any]", error)
    return (
        f"{known.get('code', '')} {known.get('message') or known.get('msg') or ''}".strip()[:300] or "no reason given"
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", entry) for entry in cast("list[object]", value) if isinstance(entry, dict)]


def _hit(entry: dict[str, Any]) -> Hit:
    def text(name: str) -> str:
        return str(entry.get(name) or "")

    return Hit(
        title=text("title"), url=text("link"), site=text("media"), date=text("publish_date"), text=text("content")
    )
