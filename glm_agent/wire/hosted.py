"""Tools that run on the provider's side, as typed settings: what they are called there, and what they take.

They stand beside functions in ``Agent(tools=[…])`` and are never dispatched here; what they find comes back on the
response (``web_search``, ``hosted_calls``).

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11, and docs.z.ai, October 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from glm_agent.errors import ConfigurationError
from glm_agent.messages import JsonObject

SearchEngine: TypeAlias = Literal[
    "search_std",
    "search_pro",
    "search_pro_sogou",
    "search_pro_quark",
    "search_pro_jina",
    "search-prime",
]
"""The last two are the international site's."""

Recency: TypeAlias = Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]

_SOGOU_COUNTS = (10, 20, 30, 40, 50)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSearch:
    """The model searches the web on the provider's side; the sources come back in ``response.web_search``."""

    engine: SearchEngine = "search_pro"
    query: str = ""
    """Searches for this instead of what the conversation is about."""
    always: bool = False
    """Search without asking whether the message needs it."""
    count: int | None = None
    """Results, 1 to 50; the server's default is 10."""
    domain: str = ""
    """Only results from this domain."""
    recency: Recency | None = None
    content_size: Literal["medium", "high"] | None = None
    sequence: Literal["before", "after"] | None = None
    """Whether the sources come before the answer or after it."""
    shows_sources: bool = True
    requires_results: bool = False
    """Answer only with what was found."""
    prompt: str = ""
    """Template of what the model is told, with ``{search_result}`` in it."""

    def __post_init__(self) -> None:
        counts = _SOGOU_COUNTS if self.engine == "search_pro_sogou" else range(1, 51)
        if self.count is not None and self.count not in counts:
            allowed = ", ".join(map(str, _SOGOU_COUNTS)) if counts is _SOGOU_COUNTS else "1 to 50"
            raise ConfigurationError(f"the web search's count is {self.count}: '{self.engine}' gives {allowed}")
        if self.domain and self.engine == "search_pro_quark":
            raise ConfigurationError("the web search 'search_pro_quark' cannot be held to a domain: use another engine")

    @property
    def entry(self) -> JsonObject:
        """The entry of the request's ``tools``."""
        options: JsonObject = {
            "enable": True,
            "search_engine": self.engine,
            "search_query": self.query or None,
            "search_intent": "false" if self.always else None,
            "count": self.count,
            "search_domain_filter": self.domain or None,
            "search_recency_filter": self.recency,
            "content_size": self.content_size,
            "result_sequence": self.sequence,
            "search_result": self.shows_sources,
            "require_search": self.requires_results or None,
            "search_prompt": self.prompt or None,
        }
        return {"type": "web_search", "web_search": _given(options)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """The model reads a knowledge base of the account; what it finds flows into its text."""

    knowledge_id: str
    prompt_template: str = ""
    """With ``{{knowledge}}`` and ``{{question}}`` in it."""

    def __post_init__(self) -> None:
        if not self.knowledge_id:
            raise ConfigurationError("the hosted tool Retrieval needs a knowledge_id")

    @property
    def entry(self) -> JsonObject:
        """The entry of the request's ``tools``."""
        options: JsonObject = {"knowledge_id": self.knowledge_id, "prompt_template": self.prompt_template or None}
        return {"type": "retrieval", "retrieval": _given(options)}


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedMCP:
    """An MCP server that the provider calls; its finished calls come back in ``response.hosted_calls``."""

    label: str
    """A name of yours, or the code of one of the provider's own servers, then without ``url``."""
    url: str = ""
    transport: Literal["streamable-http", "sse"] = "streamable-http"
    allowed_tools: tuple[str, ...] = ()
    """Empty: all."""
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """What authorises the provider at the server. ``${NAME}`` is read from the environment when a request is sent,
    so that a stored session holds the name; any other text is stored as it is."""

    def __post_init__(self) -> None:
        if not self.label:
            raise ConfigurationError("the hosted tool HostedMCP needs a label")

    @property
    def entry(self) -> JsonObject:
        """The entry of the request's ``tools``."""
        options: JsonObject = {
            "server_label": self.label,
            "server_url": self.url or None,
            "transport_type": self.transport,
            "allowed_tools": list(self.allowed_tools) or None,
            "headers": self.headers or None,
        }
        return {"type": "mcp", "mcp": _given(options)}


HostedTool: TypeAlias = WebSearch | Retrieval | HostedMCP


def _given(options: JsonObject) -> JsonObject:
    return {name: value for name, value in options.items() if value is not None}
