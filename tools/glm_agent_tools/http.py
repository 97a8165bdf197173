"""HTTP: ask an address, send something to one; only hosts that are allowed, never the own network."""

from __future__ import annotations

import json as json_
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

from pydantic import Field

from glm_agent import ToolContext, ToolError, tool
from glm_agent_tools.http_rules import http_rules_of

if TYPE_CHECKING:
    from glm_agent_tools.guarded import Fetched

Headers = Annotated[dict[str, str] | None, Field(max_length=50)]

_SHOWN: Final = ("content-type", "last-modified", "etag", "location", "link", "retry-after", "x-request-id")
_NOT_YOURS: Final = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "accept-encoding",
    }
)
_TEXT: Final = re.compile(r"text/|[/+](json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson|csv|sql|graphql)\b")


class HttpAnswer(TypedDict):
    """What a server answered."""

    status: int
    url: str
    headers: dict[str, str]
    body: str
    note: str | None


@tool(read_only=True, open_world=True, timeout_seconds=120, max_output_tokens=30_000)
async def http_get(
    context: ToolContext,
    url: str,
    headers: Headers = None,
    timeout_seconds: Annotated[float, Field(gt=0, le=100)] = 30,
) -> HttpAnswer:
    """Fetch an address with GET and return its status and text.

    Only allowed hosts of the public Internet are asked, also after a redirect. What is not text is not returned.

    Args:
        url: An http or https address.
        headers: Headers to send.
        timeout_seconds: When to give up.
    """
    from glm_agent_tools.guarded import fetch

    rules = http_rules_of(context)
    return _answer(await fetch(rules, "GET", url, headers=_checked(headers), timeout_seconds=timeout_seconds))


@tool(destructive=True, open_world=True, timeout_seconds=120, max_output_tokens=30_000)
async def http_post(
    context: ToolContext,
    url: str,
    *,
    json: dict[str, Any] | list[Any] | None = None,
    text: str | None = None,
    headers: Headers = None,
    timeout_seconds: Annotated[float, Field(gt=0, le=100)] = 30,
) -> HttpAnswer:
    """Send JSON or text to an address with POST and return what it answers.

    Only allowed hosts of the public Internet are asked, also after a redirect.

    Args:
        url: An http or https address.
        json: What to send, as JSON.
        text: What to send, as plain text; give a content-type header where it is something else.
        headers: Headers to send.
        timeout_seconds: When to give up.
    """
    from glm_agent_tools.guarded import fetch

    if json is not None and text is not None:
        raise ToolError("json and text were both given: send one of them")
    kind = "application/json" if json is not None else "text/plain; charset=utf-8"
    body = json_.dumps(json, ensure_ascii=False) if json is not None else text or ""
    given = {"content-type": kind, "idempotency-key": context.idempotency_key} | _checked(headers)
    rules = http_rules_of(context)
    fetched = await fetch(
        rules,
        "POST",
        url,
        headers={name: value for name, value in given.items() if value},
        content=body.encode(errors="replace"),
        timeout_seconds=timeout_seconds,
    )
    return _answer(fetched)


def _checked(headers: dict[str, str] | None) -> dict[str, str]:
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    for name, value in lowered.items():
        if name in _NOT_YOURS or name.startswith("proxy-"):
            raise ToolError(f"the header '{name}' is set by the connection: leave it out")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ToolError(f"'{name[:50]}' is no header: names are letters, digits and '-', values one line")
    return {name: value.encode(errors="replace").decode("latin-1") for name, value in lowered.items()}


def _answer(fetched: Fetched) -> HttpAnswer:
    kind = fetched.headers.get("content-type", "")
    is_text = not fetched.body or bool(_TEXT.search(kind.lower())) or (not kind and b"\0" not in fetched.body)
    notes = [f"cut after {len(fetched.body):,} bytes"] if fetched.is_cut else []
    if not is_text:
        notes.append(f"{len(fetched.body):,} bytes of '{kind or 'unknown data'}' are not shown")
    return HttpAnswer(
        status=fetched.status,
        url=fetched.url,
        headers={name: fetched.headers[name] for name in _SHOWN if name in fetched.headers},
        body=_decoded(fetched.body, kind) if is_text else "",
        note="; ".join(notes) or None,
    )


def _decoded(body: bytes, kind: str) -> str:
    named = re.search(r"charset=[\"']?([\w.:-]+)", kind)
    try:
        return body.decode(named[1] if named else "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")
