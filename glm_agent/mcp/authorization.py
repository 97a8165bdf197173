"""How to get a token for a server, as data. Pure; the flows are in ``oauth``, the providers in ``grants``.

Without any of this an HTTP server that asks for authorization gets the tokens that ``glm-agent mcp login`` stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Grant = Literal["authorization_code", "client_credentials", "jwt_bearer", "enterprise"]
"""A person logs in; a program has a secret or a key; a workload has a JWT; an identity provider vouches for us."""

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityProvider:
    """Who vouches for this client where an enterprise manages access (SEP-990)."""

    token_endpoint: str
    client_id: str
    id_token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class OAuth:
    """What is known about a server's authorization before it is asked."""

    grant: Grant = "authorization_code"
    client_id: str = ""
    """Of a client that is registered already; else one is registered, or ``client_metadata_url`` is the id."""
    client_secret: str = field(default="", repr=False)
    client_authentication: ClientAuthentication = "client_secret_basic"
    client_metadata_url: str = ""
    """An https address where this client's metadata can be read, for servers that take it as a client id."""
    scope: str | None = None
    """Scopes to ask for, apart by blanks; None asks for what the server says."""
    issuer: str = ""
    """The authorization server that a client id, a key or an assertion is for; no other one is told them."""
    private_key: str = field(default="", repr=False)
    """PEM, for ``private_key_jwt``."""
    signing_algorithm: str = "RS256"
    assertion: str = field(default="", repr=False)
    """The workload's JWT, for ``jwt_bearer``."""
    identity_provider: IdentityProvider | None = None
    is_dpop: bool = False
    """Whether tokens are bound to a key of this process (RFC 9449)."""
    callback_port: int = 0
    """Port of the address a browser is sent back to; 0 takes a free one."""
