"""What HTTP tools may ask: hosts, networks, sizes, and the headers that carry keys. Knows no HTTP library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from glm_agent import ConfigurationError, ToolContext


def check_secret(value: str, *, what: str) -> None:
    """Whether it can stand in a header; the HTTP library would show it in its error. Raises ``ConfigurationError``."""
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigurationError(f"{what} is empty, or holds spaces at its ends, a line end or what is no ASCII")


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRules:
    """In ``deps``, or as ``.http`` of them; else read from ``GLM_AGENT_HTTP_ALLOW`` and ``GLM_AGENT_HTTP_PRIVATE``."""

    allow: tuple[str, ...] = ()
    """Hosts: ``api.example.com``, ``*.example.com``, with another port than the usual ``host:8080``; ``*`` for all."""
    private: tuple[str, ...] = ()
    """Networks that may be asked although they are not public: ``10.1.0.0/16``, ``127.0.0.1``."""
    max_bytes: int = 1_000_000
    """Of a body, unpacked; the rest is not read."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]], repr=False)
    """Headers that are added for a host, such as its key; the model does not see them, and no other host gets them."""

    def __post_init__(self) -> None:
        for network in self.private:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise ConfigurationError(f"'{network}' is no network: write one such as 10.0.0.0/8") from None

        for host, headers in self.secrets.items():
            for name, value in headers.items():
                check_secret(value, what=f"the header '{name}' for '{host}'")

    def secrets_for(self, host: str, *, is_encrypted: bool) -> Mapping[str, str]:
        """The headers to add; over a plain connection only for hosts that are written with ``http://``."""
        return self.secrets.get(host if is_encrypted else f"http://{host}", {})


def http_rules_of(context: ToolContext) -> HttpRules:
    """The rules of a call."""
    for candidate in (context.deps, getattr(context.deps, "http", None)):
        if isinstance(candidate, HttpRules):
            return candidate
    return HttpRules(allow=_words("GLM_AGENT_HTTP_ALLOW"), private=_words("GLM_AGENT_HTTP_PRIVATE"))


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in os.environ.get(name, "").split(",") if word.strip())
