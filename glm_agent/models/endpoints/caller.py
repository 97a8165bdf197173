"""One request to an endpoint of the provider, tried again where that helps; its errors are those of models."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
import httpx2

from glm_agent.errors import AuthenticationError, ConfigurationError, ModelError, ModelProtocolError, RateLimited
from glm_agent.messages import JsonObject
from glm_agent.models.account import Bearer
from glm_agent.models.glm.clients import LOOPBACK
from glm_agent.models.glm.faults import retry_after_seconds, transport_error
from glm_agent.models.retry import RetryPolicy, wait_seconds
from glm_agent.wire import jsontext
from glm_agent.wire.failure import failure, is_failure

BODY_LIMIT = 128 * 2**20
"""Bytes of an answer; a batch's output is the largest."""

_T = TypeVar("_T")


class Caller:
    """Sends requests below one base URL."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        client: httpx2.AsyncClient | None,
        timeout_seconds: float,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"the base URL '{base_url}' is none: it begins with https://")
        self._key, self._bearer = api_key, Bearer(api_key)
        self._base_url = base_url.rstrip("/")
        # A proxy cannot reach this machine's own loopback.
        trusts = httpx2.URL(base_url).host not in LOOPBACK
        self._given, self._made = client, None if client is not None else httpx2.AsyncClient(trust_env=trusts)
        self._timeout = httpx2.Timeout(timeout_seconds, connect=10.0)
        self._policy, self._sleep = policy, sleep

    async def aclose(self) -> None:
        """Close the client that was made here."""
        if self._made is not None:
            await self._made.aclose()

    async def json(self, method: str, path: str, **request: Any) -> JsonObject:
        """The body of the answer; ``ModelError`` where it is an error or no JSON object."""
        return await self._persist(method, path, request, self._object)

    async def content(self, method: str, path: str, **request: Any) -> bytes:
        """The bytes of the answer."""
        return await self._persist(method, path, request, bytes)

    async def _persist(self, method: str, path: str, request: dict[str, Any], read: Callable[[bytes], _T]) -> _T:
        """What ``read`` makes of the answer, tried again as the policy says.

        ``is_repeatable`` in the request is False where it may have been done although its answer was lost: then
        it is sent again only when the server refused it.
        """
        is_repeatable = request.pop("is_repeatable", True)
        began, attempt = time.monotonic(), 1
        while True:
            try:
                return read(await self._once(method, path, request))
            except ModelError as error:
                wait = wait_seconds(
                    error,
                    attempt=attempt,
                    elapsed_seconds=time.monotonic() - began,
                    chance=random.random(),
                    policy=self._policy,
                )
                if wait is None or not (is_repeatable or isinstance(error, RateLimited)):
                    raise
            attempt += 1
            await self._sleep(wait)

    def _object(self, data: bytes) -> JsonObject:
        try:
            body = jsontext.loads(data)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ModelProtocolError(f"no JSON object came from below '{self._base_url}': check the base URL")
        found = jsontext.an_object(body)
        if is_failure(found):
            raise failure(status_code=200, body=found, secrets=(self._key,))
        return found

    async def _once(self, method: str, path: str, request: Mapping[str, Any]) -> bytes:
        url = self._base_url + path
        client = self._given or self._made
        assert client is not None
        headers = {"Authorization": f"Bearer {self._bearer.value()}", "Accept-Language": "en-US,en"}
        try:
            async with client.stream(method, url, headers=headers, timeout=self._timeout, **request) as answer:
                data = await _read(answer)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise transport_error(error, url=url, secrets=(self._key,)) from error
        if answer.is_success:
            return data
        refused = failure(
            status_code=answer.status_code,
            body=data,
            retry_after_seconds=retry_after_seconds(answer.headers),
            secrets=(self._key,),
        )
        if isinstance(refused, AuthenticationError) and refused.code == "1003":
            refused.is_retryable = self._bearer.renew()
        raise refused


async def _read(answer: httpx2.Response) -> bytes:
    data = bytearray()
    async for piece in answer.aiter_bytes():
        data += piece
        if len(data) > BODY_LIMIT:
            raise ModelProtocolError(f"'{answer.url}' answered with more than {BODY_LIMIT // 2**20} MiB")
    return bytes(data)
