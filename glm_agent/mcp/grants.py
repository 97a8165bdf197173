"""What the SDK knows of OAuth, one provider for each grant, and the two grants that it lacks.

Only ``oauth`` uses this. A provider is driven by hand there, so that no lock is held while a request runs.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl

from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Login
from glm_agent.mcp.failure import Refused, Unauthorized
from glm_agent.mcp.outside import Outside
from glm_agent.mcp.url_policy import UrlPolicy

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
_ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"

Provider = OAuthClientProvider | IdentityAssertionOAuthProvider


DEFAULT_REDIRECT = "http://127.0.0.1:33418/callback"
"""Stands in the metadata where nobody can log in: a flow that gets to the browser ends there."""


def provider(oauth: OAuth, *, url: str, storage: TokenStorage, login: Login | None) -> Provider:
    """The SDK's provider for the grant. Raises ``Refused`` where the configuration lacks what it needs."""
    with warnings.catch_warnings():
        # It warns where no issuer is given: that is the user's choice, and ``docs/mcp.md`` says what it costs.
        warnings.simplefilter("ignore")
        match oauth.grant:
            case "client_credentials":
                return _client_credentials(oauth, url, storage)
            case "jwt_bearer":
                return WorkloadProvider(oauth, url=url, storage=storage)
            case "enterprise":
                return _enterprise(oauth, url, storage)
            case _:
                return _authorization_code(oauth, url, storage, login)


def _client_credentials(oauth: OAuth, url: str, storage: TokenStorage) -> Provider:
    common: dict[str, Any] = {"scope": oauth.scope, "issuer": oauth.issuer or None}
    if oauth.client_authentication != "private_key_jwt":
        method = oauth.client_authentication
        return ClientCredentialsOAuthProvider(url, storage, oauth.client_id, oauth.client_secret, method, **common)
    signed = SignedJWTParameters(
        issuer=oauth.client_id,
        subject=oauth.client_id,
        signing_key=oauth.private_key,
        signing_algorithm=oauth.signing_algorithm,
    )
    return PrivateKeyJWTOAuthProvider(url, storage, oauth.client_id, signed.create_assertion_provider(), **common)


def _authorization_code(oauth: OAuth, url: str, storage: TokenStorage, login: Login | None) -> Provider:
    answer: dict[str, str] = {}

    async def send(authorization_url: str) -> None:
        if login is None:
            raise Unauthorized("it needs a login, and nobody is here to log in. Run: glm-agent mcp login")
        UrlPolicy.check_page(authorization_url)
        answer.clear()
        answer.update(await login.authorize(authorization_url))

    async def take() -> AuthorizationCodeResult:
        if "code" not in answer:
            said = answer.get("error_description") or answer.get("error") or "no code came back"
            raise Refused(f"the login failed: {said[:200]}")
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))

    redirect = login.redirect_uri if login else DEFAULT_REDIRECT
    return OAuthClientProvider(
        url,
        OAuthClientMetadata(
            client_name="glm-agent",
            redirect_uris=[AnyUrl(redirect)],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
            scope=oauth.scope,
        ),
        storage,
        send,
        take,
        client_metadata_url=oauth.client_metadata_url or None,
    )


def registered(oauth: OAuth, redirect_uri: str) -> OAuthClientInformationFull | None:
    """The record of a client that the configuration names; None where one has to be registered."""
    if not oauth.client_id or oauth.grant != "authorization_code":
        return None
    return OAuthClientInformationFull(
        client_id=oauth.client_id,
        client_secret=oauth.client_secret or None,
        redirect_uris=[AnyUrl(redirect_uri)],
        token_endpoint_auth_method=oauth.client_authentication if oauth.client_secret else "none",
        issuer=oauth.issuer or None,
    )


class WorkloadProvider(ClientCredentialsOAuthProvider):
    """A workload's JWT for a token (SEP-1933, RFC 7523). Delete when mcp has one."""

    def __init__(self, oauth: OAuth, *, url: str, storage: TokenStorage) -> None:
        super().__init__(url, storage, oauth.client_id, "unused", scope=oauth.scope, issuer=oauth.issuer or None)
        self._oauth = oauth

    async def _perform_authorization(self) -> httpx2.Request:
        # The parent's own request refuses to be built for another issuer than the configured one.
        await self._exchange_token_client_credentials()
        data = {
            "grant_type": _JWT_BEARER,
            "assertion": self._oauth.assertion,
            "client_id": self._oauth.client_id,
            "resource": self.context.get_resource_url(),
        }
        if self.context.client_metadata.scope:
            data["scope"] = self.context.client_metadata.scope
        return httpx2.Request("POST", self._get_token_endpoint(), data=data)


def _enterprise(oauth: OAuth, url: str, storage: TokenStorage) -> Provider:
    if oauth.identity_provider is None or not oauth.issuer:
        raise Refused("'oauth' with the grant 'enterprise' needs 'issuer' and 'identityProvider'")
    return IdentityAssertionOAuthProvider(
        url,
        storage,
        oauth.client_id,
        oauth.client_secret,
        oauth.issuer,
        _vouched(oauth),
        scope=oauth.scope,
        token_endpoint_auth_method=(
            "client_secret_basic" if oauth.client_authentication == "client_secret_basic" else "client_secret_post"
        ),
    )


def _vouched(oauth: OAuth) -> Callable[[str, str], Awaitable[str]]:
    """Exchanges the person's id token for an assertion that is for one server only."""
    identity = oauth.identity_provider
    assert identity is not None, "the caller has looked"
    # The user names this one, not the server.
    outside = Outside(UrlPolicy(identity.token_endpoint))

    async def exchange(audience: str, resource: str) -> str:
        data = {
            "grant_type": _TOKEN_EXCHANGE,
            "requested_token_type": _ID_JAG,
            "subject_token": identity.id_token,
            "subject_token_type": _ID_TOKEN,
            "client_id": identity.client_id,
            "audience": audience,
            "resource": resource,
        }
        response = await outside.send(httpx2.Request("POST", identity.token_endpoint, data=data))
        if response.status_code != 200:
            raise Refused(f"the identity provider answered with HTTP {response.status_code}")
        try:
            return str(cast("dict[str, Any]", json.loads(response.content))["access_token"])
        except (ValueError, KeyError, TypeError):
            raise Refused("the identity provider answered without a token") from None

    return exchange
