"""Authorization of the requests to one server: tokens are attached without a lock, got and refreshed under one.

The SDK's providers know the flows, and hold a lock from a request to its answer, so that calls run one after
the other (issue 3209); they forget after a restart when a token ends and who gave it (3250). So the flows are
taken from them, step by step, and everything around is here. Delete this when both are mended.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.utils import extract_field_from_www_auth
from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken, ProtectedResourceMetadata
from pydantic import BaseModel, ValidationError

from glm_agent.mcp import token_store
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Login
from glm_agent.mcp.dpop import Prover
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.grants import DEFAULT_REDIRECT, provider, registered
from glm_agent.mcp.token_store import Record, TokenStore
from glm_agent.mcp.url_policy import MAX_BODY, UrlPolicy

_EARLY_SECONDS = 30.0
"""A token that ends this soon is refreshed before it is used."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3

_Model = TypeVar("_Model", bound=BaseModel)
_Flow = AsyncGenerator[httpx2.Request, httpx2.Response]


class Tokens:
    """One server's record, as the SDK's providers read and write it."""

    def __init__(self, store: TokenStore, key: str, fixed: OAuthClientInformationFull | None) -> None:
        self._store, self._key, self._fixed = store, key, fixed
        self.record: Record = store.load(key)

    @property
    def access_token(self) -> str:
        return str(self.record.get("token", {}).get("access_token", ""))

    @property
    def is_refreshable(self) -> bool:
        return bool(self.record.get("token", {}).get("refresh_token"))

    @property
    def is_ending(self) -> bool:
        return bool(self.access_token) and 0 < float(self.record.get("expires_at") or 0) < time.time() + _EARLY_SECONDS

    def reload(self) -> None:
        """Another process may have refreshed the token since."""
        self.record = self._store.load(self._key) or self.record

    def keep(self, **parts: Any) -> None:
        self.record = {**self.record, **parts}
        self._store.save(self._key, self.record)

    async def get_tokens(self) -> OAuthToken | None:
        return _read(OAuthToken, self.record.get("token"))

    async def set_tokens(self, tokens: OAuthToken) -> None:
        expires_at = time.time() + tokens.expires_in if tokens.expires_in is not None else 0
        self.keep(token=tokens.model_dump(mode="json", exclude_none=True), expires_at=expires_at)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self._fixed or _read(OAuthClientInformationFull, self.record.get("client"))

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.keep(client=client_info.model_dump(mode="json", exclude_none=True))


class Authorized(httpx2.Auth):
    """Authorization for the client of one server."""

    # The answers of authorization servers are read here, within a bound, and those of the server elsewhere.
    requires_response_body = False

    def __init__(self, url: str, *, oauth: OAuth, store: TokenStore, login: Login | None = None) -> None:
        self._policy = UrlPolicy(url)
        redirect_uri = login.redirect_uri if login else DEFAULT_REDIRECT
        key = token_store.key(url, oauth.client_id)
        self._tokens = Tokens(store, key, registered(oauth, redirect_uri))
        self._provider = provider(oauth, url=url, storage=self._tokens, login=login, policy=self._policy)
        self._prover = Prover() if oauth.is_dpop else None
        self._lock = anyio.Lock()
        # Without anybody to log in only what was stored is used: a server with a key of its own, and no
        # authorization server, must not be searched for one.
        self._is_alone = oauth.grant == "authorization_code" and login is None
        self._restore()

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._tokens.is_ending and self._tokens.is_refreshable:
            async with aclosing(self._renewed(request, None, self._tokens.access_token)) as renewal:
                async for outgoing in (walk := _Walk(renewal)):
                    walk.reply = yield outgoing
        used = self._attach(request)
        response = yield request
        if self._prover and self._prover.wants_nonce(response):
            self._attach(request)
            response = yield request
        if not _is_challenge(response) or (self._is_alone and not self._tokens.is_refreshable):
            return
        async with aclosing(self._renewed(request, response, used)) as renewal:
            async for outgoing in (walk := _Walk(renewal)):
                walk.reply = yield outgoing
        self._attach(request)
        response = yield request
        if self._prover and self._prover.wants_nonce(response):
            self._attach(request)
            yield request

    def _attach(self, request: httpx2.Request) -> str:
        """Put the token on the request, if there is one."""
        token = self._tokens.access_token
        request.headers.pop("Authorization", None)
        if token:
            request.headers["Authorization"] = f"{'DPoP' if self._prover else 'Bearer'} {token}"
            if self._prover:
                self._prover.prove(request, token=token)
        return token

    async def _renewed(self, request: httpx2.Request, challenge: httpx2.Response | None, used: str) -> _Flow:
        """What has to be sent to get another token than the one that was used. Raises ``Refused``."""
        async with self._lock:
            self._tokens.reload()
            if self._tokens.access_token != used:
                return  # Somebody else has got a new one while we waited.
            self._prepare(challenge)
            try:
                async with aclosing(self._obtained(request, challenge, used)) as flow:
                    async for outgoing in (walk := _Walk(flow)):
                        async with aclosing(self._sent(outgoing)) as sending:
                            async for each in (steps := _Walk(sending)):
                                steps.reply = await _bounded((yield each))
                            assert steps.reply is not None, "whatever is sent has an answer"
                            walk.reply = _as_bearer(steps.reply)
            except OAuthFlowError as error:
                raise Refused(f"its authorization failed: {error}"[:500]) from None
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise Refused(f"its authorization server's answer cannot be read: {first['msg']}") from None
            self._keep()

    async def _sent(self, request: httpx2.Request) -> _Flow:
        """One request of a flow: where it may go, proven, once more with a nonce, and after it what it leads to."""
        await self._policy.check(str(request.url))
        request.headers["Accept-Encoding"] = "identity"
        if request.method == "POST" and self._prover:
            self._prover.prove(request)
        reply = yield request
        if self._prover and self._prover.wants_nonce(reply):
            self._prover.prove(request)
            reply = yield request
        for _ in range(_MAX_REDIRECTS):
            if (follow := _redirected(reply)) is None:
                return
            reply = yield follow

    async def _obtained(self, request: httpx2.Request, challenge: httpx2.Response | None, used: str) -> _Flow:
        """The provider's flow without its sending of the request: that has its answer already, or waits."""
        flow = self._provider._auth_flow(request)  # pyright: ignore[reportPrivateUsage]
        is_fed = False
        async with aclosing(flow):
            outgoing = await anext(flow)
            while True:
                if outgoing is not request:
                    outgoing = await flow.asend((yield outgoing))
                elif is_fed or self._is_alone or challenge is None or self._is_refreshed(challenge, used):
                    return
                else:
                    is_fed = True
                    try:
                        outgoing = await flow.asend(challenge)
                    except StopAsyncIteration:
                        return

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
            context.oauth_metadata = _read(OAuthMetadata, record.get("server"))
            context.protected_resource_metadata = _read(ProtectedResourceMetadata, record.get("resource"))
            if (resource := context.protected_resource_metadata) and resource.authorization_servers:
                context.auth_server_url = str(resource.authorization_servers[0])

    def _keep(self) -> None:
        if isinstance(self._provider, OAuthClientProvider) and self._tokens.access_token:
            context = self._provider.context
            self._tokens.keep(
                server=_dumped(context.oauth_metadata), resource=_dumped(context.protected_resource_metadata)
            )


class _Walk:
    """Through a flow, request by request: ``reply`` is handed in when the next one is wanted."""

    def __init__(self, flow: _Flow) -> None:
        self._flow = flow
        self.reply: httpx2.Response | None = None

    def __aiter__(self) -> _Walk:
        return self

    async def __anext__(self) -> httpx2.Request:
        if self.reply is None:
            return await anext(self._flow)
        return await self._flow.asend(self.reply)


class _Capped(httpx2.AsyncByteStream):
    """The body of an answer, up to the bound."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY:
                raise Refused(f"its authorization server's answer has more than {MAX_BODY:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bounded(response: httpx2.Response) -> httpx2.Response:
    """The answer with its body read. What was asked for without compression is not unpacked either."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        await response.aclose()
        raise Refused("its authorization server compresses what was asked for without compression")
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Capped(response.stream)
    await response.aread()
    return response


def _redirected(response: httpx2.Response) -> httpx2.Request | None:
    """The request a redirect asks for, if it stays on its host and asks for reading."""
    request, location = response.request, response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location or request.method != "GET":
        return None
    url = request.url.join(location)
    if (url.scheme, url.host, url.port) != (request.url.scheme, request.url.host, request.url.port):
        return None
    return httpx2.Request("GET", url, headers=request.headers)


def _as_bearer(response: httpx2.Response) -> httpx2.Response:
    """The answer with its token called ``Bearer``, the only type that the SDK's model of it knows."""
    if response.status_code != 200 or b'"token_type"' not in response.content:
        return response
    try:
        body = json.loads(response.content)
    except ValueError:
        return response
    if str(body.get("token_type", "")).lower() != "dpop":
        return response
    return httpx2.Response(200, json={**body, "token_type": "Bearer"}, request=response.request)


def _is_challenge(response: httpx2.Response) -> bool:
    if response.status_code == 401:
        return True
    return response.status_code == 403 and extract_field_from_www_auth(response, "error") == "insufficient_scope"


def _read(model: type[_Model], value: Any) -> _Model | None:
    try:
        return model.model_validate(value) if value else None
    except ValidationError:
        return None


def _dumped(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if value is not None else None
