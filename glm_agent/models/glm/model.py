"""A GLM at one host, as a ``Model``: one POST per attempt, its answer decoded as it comes.

There is no task, queue or cancel scope per delta.
It knows nothing of retries, tools that run, or where the key was found.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from string import Template
from time import monotonic

import httpx2

from glm_agent.errors import (
    AuthenticationError,
    ConfigurationError,
    ModelProtocolError,
    ModelTimeout,
)
from glm_agent.messages import JsonObject, ModelRequest, Notice, Retrying, SentRequest, ToolCallReady
from glm_agent.models.account import Bearer, SignedKey
from glm_agent.models.catalog import ModelInfo, lookup
from glm_agent.models.glm.clients import Answer, Client, Clients
from glm_agent.models.glm.faults import accepted, retry_after_seconds, transport_error
from glm_agent.models.glm.reading import is_stream, next_read, read, reads_of
from glm_agent.models.model import ModelEvent
from glm_agent.models.record import sent
from glm_agent.wire import jsontext
from glm_agent.wire.decode import Decoded, ResponseDecoder, Restarted
from glm_agent.wire.dialects import DIALECTS, Dialect
from glm_agent.wire.encode import BodyParts, encode_parts
from glm_agent.wire.failure import failure, redact
from glm_agent.wire.jsontext import an_object

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 300.0
"""Silence that is taken for a dead connection. GLM sends nothing while it thinks or reads a long prompt."""

_BODY_LIMIT = 32 * 2**20
"""Bytes of an answer that is no stream: far more than any window of tokens."""
_ERROR_BODY_LIMIT = 65_536
"""A proxy may answer with a whole page; what is said of it begins at its top."""


class GLMModel:
    """A GLM at one host.

    ``name`` is the model's id as that host spells it, ``dialect`` the host (or its name), ``base_url`` replaces the
    dialect's address, ``client`` replaces the HTTP client (it stays the caller's to close), ``info`` what the
    catalog says of the model. One object belongs to one event loop; ``aclose`` it there.

    Raises ``ConfigurationError`` on a key or an address that cannot work, before any traffic.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: str,
        base_url: str = "",
        dialect: Dialect | str = "zai",
        client: Client | None = None,
        info: ModelInfo | None = None,
        connect_timeout_seconds: float = CONNECT_SECONDS,
        idle_timeout_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._dialect = _dialect(dialect)
        self._name = name
        self._key = _checked_key(api_key, name, self._dialect)
        self._bearer = Bearer(api_key if isinstance(api_key, SignedKey) else self._key)
        self._url = httpx2.URL(_checked_url(base_url or self._dialect.base_url) + "/chat/completions")
        self._info = info or lookup(name)
        self._idle_seconds = idle_timeout_seconds
        timeout = httpx2.Timeout(idle_timeout_seconds, connect=connect_timeout_seconds, pool=None)
        self._clients = Clients(client, host=self._url.host, timeout=timeout)
        said = {
            "Accept": "text/event-stream, application/json",
            # Compression would hold small pieces back.
            "Accept-Encoding": "identity",
            "Accept-Language": "en-US,en",
            "Content-Type": "application/json",
            "User-Agent": "glm-agent",
        }
        self._headers = httpx2.Headers(said)

    def __repr__(self) -> str:
        return f"GLMModel({self._name!r}, dialect={self._dialect.name!r}, url={str(self._url)!r})"

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> None:
        """Open a connection that the next request finds ready; a failure is left to that request to tell."""
        with suppress(httpx2.TransportError):
            await self._clients.connect(self._url)

    async def aclose(self) -> None:
        """Close the connections; a client that was passed in stays open."""
        await self._clients.aclose()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """See ``Model.stream``. Every call is one attempt, with a ``request_id`` of its own."""
        request_id = os.urandom(16).hex()
        parts = self._encode(request)
        record = self._record(request, parts) if request.asked is not None else None
        body = parts.joined(request_id if self._dialect.is_native else "")
        restarts = 0
        with self._our_errors(request_id):
            posted = self._clients.get().stream("POST", self._url, content=body, headers=self._authorized())
            async with posted as answer:
                await self._check(answer, request_id)
                # Not before: a thousand requests that wait for an answer need none of it.
                decoder = ResponseDecoder(
                    tools=request.tools,
                    request_id=request_id,
                    secrets=(self._key,),
                    rescues_markup=self._dialect.rescues_markup,
                )
                async with aclosing(self._pieces(answer, decoder, request_id)) as pieces:
                    async for piece in pieces:
                        ready: list[ToolCallReady] = []
                        for event in piece:
                            if isinstance(event, ToolCallReady):
                                ready.append(event)
                            elif isinstance(event, Restarted):
                                restarts += 1
                                ready = []
                                yield Retrying(attempt=restarts + 1, wait_seconds=0.0, reason=event.reason)
                            else:
                                yield event
                        if not decoder.is_done:  # else the response is here too, and nothing is won by an early start
                            for event in ready:
                                yield event
        response = decoder.finish()
        for warning in decoder.warnings:
            yield Notice(text=warning, level="warning", source=self._name)
        yield accepted(response if record is None else replace(response, sent=record))

    def _authorized(self) -> httpx2.Headers:
        if self._key and (said := f"Bearer {self._bearer.value()}") != self._headers.get("authorization"):
            self._headers = self._headers.copy()
            self._headers["Authorization"] = said
        return self._headers

    def _encode(self, request: ModelRequest) -> BodyParts:
        return self._parts(_with_secrets(request))

    def _record(self, request: ModelRequest, parts: BodyParts) -> SentRequest:
        """What the response says of its request; secrets are not even in a hash."""
        if _has_headers(request):
            parts = self._parts(request)
        return sent(request, parts, model=self._name, dialect=self._dialect.name)

    def _parts(self, request: ModelRequest) -> BodyParts:
        # A fallback may answer a request that names another model.
        return encode_parts(request, model=self._name, capabilities=self._info.capabilities, dialect=self._dialect)

    async def _check(self, answer: Answer, request_id: str) -> None:
        if answer.is_success:
            return
        error = failure(
            status_code=answer.status_code,
            body=await read(answer, _ERROR_BODY_LIMIT),
            request_id=request_id,
            retry_after_seconds=retry_after_seconds(answer.headers),
            secrets=(self._key,),
        )
        if isinstance(error, AuthenticationError) and error.code == "1003":
            error.is_retryable = self._bearer.renew()
        raise error

    async def _pieces(
        self, answer: Answer, decoder: ResponseDecoder, request_id: str
    ) -> AsyncGenerator[Iterable[Decoded], None]:
        """What the decoder makes of the answer, per read of the socket."""
        if not is_stream(answer):
            yield decoder.receive(self._whole(await read(answer, _BODY_LIMIT + 1), answer, request_id))
            return
        heard, seen = monotonic(), 0
        async with aclosing(reads_of(answer)) as reads:
            while (data := await next_read(reads, decoder)) is not None:
                yield decoder.feed(data)
                now = monotonic()
                if decoder.received != seen:
                    heard, seen = now, decoder.received
                elif now - heard > self._idle_seconds:
                    # Single bytes and comments keep a socket alive, not an answer.
                    raise ModelTimeout(f"nothing but noise came for {self._idle_seconds:g} seconds", is_retryable=True)
        yield decoder.close()

    def _whole(self, data: bytes, answer: Answer, request_id: str) -> JsonObject:
        """The body of an answer that did not come as a stream."""
        try:
            body = jsontext.loads(data) if len(data) <= _BODY_LIMIT else None
        except ValueError:
            body = None
        if isinstance(body, dict):
            return jsontext.an_object(body)
        kind = answer.headers.get("content-type", "no content type")
        excerpt = redact(data[:2_000].decode("utf-8", "replace"), (self._key,))
        raise ModelProtocolError(
            f"'{self._url}' answered with {kind} instead of a chat completion: check the base URL; it said {excerpt!r}",
            request_id=request_id,
            is_retryable=not excerpt.lstrip().startswith("<"),
        )

    @contextmanager
    def _our_errors(self, request_id: str) -> Generator[None]:
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, httpx2.CookieConflict) as error:
            raise transport_error(error, url=str(self._url), request_id=request_id, secrets=(self._key,)) from error


def _with_secrets(request: ModelRequest) -> ModelRequest:
    """The request with ``${NAME}`` in the headers of hosted MCP servers replaced: secrets stay out of what is kept."""
    if not _has_headers(request):
        return request
    tools = tuple(_with_headers(tool) for tool in request.settings.hosted_tools)
    return replace(request, settings=replace(request.settings, hosted_tools=tools))


def _has_headers(request: ModelRequest) -> bool:
    return any("headers" in an_object(tool.get("mcp")) for tool in request.settings.hosted_tools)


def _with_headers(tool: JsonObject) -> JsonObject:
    server = an_object(tool.get("mcp"))
    if "headers" not in server:
        return tool
    headers = {name: Template(str(value)).safe_substitute(os.environ) for name, value in server["headers"].items()}
    return {**tool, "mcp": {**server, "headers": headers}}


def _dialect(dialect: Dialect | str) -> Dialect:
    if isinstance(dialect, Dialect):
        return dialect
    if dialect not in DIALECTS:
        raise ConfigurationError(f"the provider '{dialect}' is unknown: known are {', '.join(DIALECTS)}")
    return DIALECTS[dialect]


def _checked_key(key: str, model: str, dialect: Dialect) -> str:
    key = key.strip()
    if not key and dialect.needs_key:
        raise ConfigurationError(
            f"no API key for the model '{model}': set {', '.join(dialect.key_names)}, or pass api_key=; "
            "to try things without a key, use the built-in simulator: a model 'simulate:…'"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the API key for the model '{model}' holds spaces or characters that no key has: copy it again"
        )
    return key


def _checked_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    # httpx2 escapes what cannot be in a host's name instead of refusing it.
    if parsed.scheme not in ("http", "https") or not parsed.host or "%" in parsed.host:
        raise ConfigurationError(f"the base URL '{base_url}' is none: write one such as '{DIALECTS['zai'].base_url}'")
    return url
