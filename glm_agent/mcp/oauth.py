"""Authorization of the requests to one server: tokens are attached without a lock, got and refreshed under one.

The SDK's providers know the flows, and hold a lock from a request to its answer, so that calls run one after
the other (issue 3209); they forget after a restart when a token ends and who gave it (3250). So the flows are
taken from them, step by step, and everything around is here. Delete this when both are mended.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls, extract_field_from_www_auth
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from pydantic import ValidationError

from glm_agent.mcp import token_store
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Login
from glm_agent.mcp.dpop import Prover
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.grants import DEFAULT_REDIRECT, provider, registered
from glm_agent.mcp.outside import Outside
from glm_agent.mcp.token_store import TokenStore
from glm_agent.mcp.tokens import Tokens, read
from glm_agent.mcp.url_policy import UrlPolicy


class Authorized(httpx2.Auth):
    """Authorization for the client of one server."""

    # The server's answers are read elsewhere, within a bound.
    requires_response_body = False

    def __init__(self, url: str, *, oauth: OAuth, store: TokenStore, login: Login | None = None) -> None:
        self._url = url
        self._outside = Outside(UrlPolicy(url, issuer=oauth.issuer))
        redirect_uri = login.redirect_uri if login else DEFAULT_REDIRECT
        key = token_store.key(url, oauth.client_id)
        self._tokens = Tokens(store, key, registered(oauth, redirect_uri), must_keep=login is not None)
        self._provider = provider(oauth, url=url, storage=self._tokens, login=login)
        self._prover = Prover() if oauth.is_dpop else None
        self._lock = anyio.Lock()
        # Without anybody to log in only what was stored is used: a server with a key of its own, and no
        # authorization server, must not be searched for one.
        self._is_alone = oauth.grant == "authorization_code" and login is None
        self._restore()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._tokens.is_ending and self._tokens.is_refreshable:
            await self._renew(request, None, self._tokens.access_token)
        used = self._attach(request)
        response = yield request
        if self._prover and self._prover.wants_nonce(response):
            self._attach(request)
            response = yield request
        if not _is_challenge(response) or (self._is_alone and not self._tokens.is_refreshable):
            return
        await self._renew(request, response, used)
        self._attach(request)
        response = yield request
        if self._prover and self._prover.wants_nonce(response):
            self._attach(request)
            yield request

    @property
    def has_token(self) -> bool:
        """Whether one is kept."""
        return bool(self._tokens.access_token)

    async def log_in(self) -> bool:
        """Get a token from a server that has not asked for one yet: some ask at the first call.

        False where it names nobody who would give one. Raises ``Refused``.
        """
        for named in build_protected_resource_metadata_discovery_urls(None, self._url):
            response = await self._outside.send(httpx2.Request("GET", named))
            if response.status_code == 200 and b'"authorization_servers"' in response.content:
                request = httpx2.Request("POST", self._url)
                said = {"WWW-Authenticate": f'Bearer resource_metadata="{named}"'}
                challenge = httpx2.Response(401, headers=said, request=request)
                await self._renew(request, challenge, self._tokens.access_token)
                return True
        return False

    def _attach(self, request: httpx2.Request) -> str:
        """Put the token on the request, if there is one."""
        token = self._tokens.access_token
        request.headers.pop("Authorization", None)
        if token:
            request.headers["Authorization"] = f"{'DPoP' if self._prover else 'Bearer'} {token}"
            if self._prover:
                self._prover.prove(request, token=token)
        return token

    async def _renew(self, request: httpx2.Request, challenge: httpx2.Response | None, used: str) -> None:
        """Get another token than the one that was used. Raises ``Refused``."""
        async with self._lock:
            self._tokens.reload()
            if self._tokens.access_token != used:
                return  # Somebody else has got a new one while we waited.
            self._prepare(challenge)
            try:
                await self._walk(request, challenge, used)
            except OAuthFlowError as error:
                raise Refused(f"its authorization failed: {error}"[:500]) from None
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise Refused(f"its authorization server's answer cannot be read: {first['msg']}") from None
            self._keep()

    async def _walk(self, request: httpx2.Request, challenge: httpx2.Response | None, used: str) -> None:
        """The provider's flow without its sending of the request: that has its answer already, or waits."""
        is_fed = False
        async with aclosing(self._provider._auth_flow(request)) as flow:  # pyright: ignore[reportPrivateUsage]
            outgoing = await anext(flow)
            while True:
                if outgoing is not request:
                    outgoing = await flow.asend(_as_bearer(await self._sent(outgoing)))
                elif is_fed or self._is_alone or challenge is None or self._is_refreshed(challenge, used):
                    return
                else:
                    is_fed = True
                    try:
                        outgoing = await flow.asend(challenge)
                    except StopAsyncIteration:
                        return

    async def _sent(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to one request of a flow: proven, and once more with the nonce that is wanted."""
        if request.method != "POST" or self._prover is None:
            return await self._outside.send(request)
        self._prover.prove(request)
        reply = await self._outside.send(request)
        if self._prover.wants_nonce(reply):
            self._prover.prove(request)
            reply = await self._outside.send(request)
        return reply

    def _is_refreshed(self, challenge: httpx2.Response, used: str) -> bool:
        return challenge.status_code == 401 and self._tokens.access_token not in ("", used)

    def _prepare(self, challenge: httpx2.Response | None) -> None:
        """Have the provider refresh before it asks a person: to it the token in use has ended."""
        # It reads its tokens again from ours, which another process may have changed.
        self._provider._initialized = False  # pyright: ignore[reportPrivateUsage]
        if isinstance(self._provider, OAuthClientProvider) and (challenge is None or challenge.status_code == 401):
            self._provider.context.token_expiry_time = 1.0

    def _restore(self) -> None:
        """What an earlier process knew of the authorization server, so that a refresh goes to the right place."""
        if isinstance(self._provider, OAuthClientProvider):
            context, record = self._provider.context, self._tokens.record
            context.oauth_metadata = read(OAuthMetadata, record.get("server"))
            context.protected_resource_metadata = read(ProtectedResourceMetadata, record.get("resource"))
            if (resource := context.protected_resource_metadata) and resource.authorization_servers:
                context.auth_server_url = str(resource.authorization_servers[0])

    def _keep(self) -> None:
        if isinstance(self._provider, OAuthClientProvider) and self._tokens.access_token:
            context = self._provider.context
            self._tokens.keep(
                server=_dumped(context.oauth_metadata), resource=_dumped(context.protected_resource_metadata)
            )


def _as_bearer(response: httpx2.Response) -> httpx2.Response:
    """The answer with its token called ``Bearer``, the only type that the SDK's model of it knows."""
    if response.status_code != 200 or b'"token_type"' not in response.content:
        return response
    try:
        body = json.loads(response.content)
    except ValueError:
        return response
    if not isinstance(body, dict) or str(cast("dict[str, Any]", body).get("token_type", "")).lower() != "dpop":
        return response
    return httpx2.Response(200, json={**cast("dict[str, Any]", body), "token_type": "Bearer"}, request=response.request)


def _is_challenge(response: httpx2.Response) -> bool:
    if response.status_code == 401:
        return True
    return response.status_code == 403 and extract_field_from_www_auth(response, "error") == "insufficient_scope"


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if value is not None else None
