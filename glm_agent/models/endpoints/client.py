"""``GLMClient``: what Zhipu's servers do beside chat. Knows paths, limits and fields; ``caller`` knows HTTP."""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import httpx2

from glm_agent.errors import ConfigurationError, ModelError, ModelProtocolError, ModelStatusError
from glm_agent.messages import JsonObject, ModelRequest, ModelResponse
from glm_agent.models.catalog import lookup
from glm_agent.models.endpoints.caller import Caller
from glm_agent.models.retry import RetryPolicy
from glm_agent.wire import endpoints as read
from glm_agent.wire import jsontext
from glm_agent.wire.dialects import DIALECTS
from glm_agent.wire.encode import encode_request
from glm_agent.wire.endpoints import (
    Batch,
    ChatTask,
    Embeddings,
    FilePurpose,
    Page,
    Ranked,
    SearchResult,
    StoredFile,
    TokenCount,
)
from glm_agent.wire.hosted import Recency, SearchEngine

FILE_LIMIT = 100 * 2**20
"""Bytes of one uploaded file. Source: code 435."""
BATCH_LIMIT = 50_000


class GLMClient:
    """The endpoints of one account. Use it as an asynchronous context manager, or ``aclose`` it.

    Args:
        api_key: Else ``ZAI_API_KEY``, ``ZHIPUAI_API_KEY`` or ``GLM_API_KEY``.
        base_url: Else ``ZAI_BASE_URL``, else that of ``provider``.
        provider: ``zai``, ``bigmodel``, ``coding`` or ``coding-cn``.
        client: An ``httpx2.AsyncClient`` to use; it stays open.
        retry: How often and how long failed requests are tried again.

    Every method raises ``ModelError`` as models do, and ``ConfigurationError`` on what cannot be sent.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        provider: str = "zai",
        client: httpx2.AsyncClient | None = None,
        timeout_seconds: float = 300.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        dialect = DIALECTS.get(provider)
        if dialect is None or not dialect.is_native:
            known = ", ".join(name for name, one in DIALECTS.items() if one.is_native)
            raise ConfigurationError(f"the provider '{provider}' has no such endpoints: known are {known}")
        key = api_key or _first(dialect.key_names)
        if not key:
            raise ConfigurationError(f"no API key: set {' or '.join(dialect.key_names)}, or pass api_key=")
        self._caller = Caller(
            api_key=key,
            base_url=base_url or _first(dialect.base_url_names) or dialect.base_url,
            client=client,
            timeout_seconds=timeout_seconds,
            policy=retry or RetryPolicy(max_attempts=4, max_seconds=120.0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a client that was passed in stays open."""
        await self._caller.aclose()

    # -- the web

    async def web_search(
        self,
        query: str,
        *,
        engine: SearchEngine = "search_pro",
        count: int | None = None,
        domain: str = "",
        recency: Recency | None = None,
        content_size: Literal["medium", "high"] | None = None,
        always: bool = True,
        user_id: str | None = None,
    ) -> SearchResult:
        """Pages that the web search finds; queries of up to 70 characters find best.

        ``always`` False lets the server decide whether the query wants a search at all.
        """
        _check("query", query, 1, 2_000)
        if count is not None and not 1 <= count <= 50:
            raise ConfigurationError(f"count is {count}: the web search gives 1 to 50 results")
        body = {
            "search_query": query,
            "search_engine": engine,
            "search_intent": not always,
            "count": count,
            "search_domain_filter": domain or None,
            "search_recency_filter": recency,
            "content_size": content_size,
            "request_id": uuid.uuid4().hex,
            "user_id": user_id,
        }
        return read.search_result(await self._post("/web_search", body))

    async def read_page(
        self,
        url: str,
        *,
        as_text: bool = False,
        keeps_images: bool = True,
        uses_cache: bool = True,
        timeout_seconds: int = 20,
    ) -> Page:
        """A web page as Markdown (or plain text), fetched by the provider."""
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"the address '{url}' is none of the web: it begins with https://")
        body = {
            "url": url,
            "timeout": timeout_seconds,
            "no_cache": not uses_cache,
            "return_format": "text" if as_text else "markdown",
            "retain_images": keeps_images,
        }
        return read.page(await self._post("/reader", body))

    # -- numbers from texts

    async def embed(
        self, texts: Sequence[str], *, model: str = "embedding-3", dimensions: int | None = None
    ) -> Embeddings:
        """A vector for each of 1 to 64 texts; ``dimensions`` is 256, 512, 1024 or 2048."""
        if not 1 <= len(texts) <= 64 or not all(texts):
            raise ConfigurationError(f"{len(texts)} texts are to be embedded: 1 to 64 go at once, none of them empty")
        body = {"model": model, "input": list(texts), "dimensions": dimensions}
        return read.embeddings(await self._post("/embeddings", body))

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top: int = 0,
        returns_documents: bool = False,
        model: str = "rerank",
    ) -> tuple[Ranked, ...]:
        """The documents by how well they answer the query, the best first; ``top`` 0 gives all."""
        _check("query", query, 1, 4_096)
        if not 1 <= len(documents) <= 128:
            raise ConfigurationError(f"{len(documents)} documents are to be ranked: 1 to 128 go at once")
        for at, document in enumerate(documents):
            _check(f"documents[{at}]", document, 1, 4_096)
        body = {
            "model": model,
            "query": query,
            "documents": list(documents),
            "top_n": top,
            "return_documents": returns_documents,
        }
        return read.ranking(await self._post("/rerank", body))

    async def count_tokens(self, request: ModelRequest) -> TokenCount:
        """How many tokens the prompt of a request has, counted by the server; newer models may be refused."""
        sent = _body(request)
        counted = {name: sent.get(name) for name in ("model", "messages", "tools")}
        return read.token_count(await self._post("/tokenizer", counted))

    async def models(self) -> tuple[str, ...]:
        """Ids of the models that this key may use."""
        return tuple(str(entry.get("id")) for entry in read.listed(await self._caller.json("GET", "/models")))

    # -- answered later

    async def start_chat(self, request: ModelRequest) -> ChatTask:
        """Hand over a request whose answer is fetched later with ``chat_result``."""
        body = _body(request, request_id=uuid.uuid4().hex)
        return read.chat_task(await self._post("/async/chat/completions", body, is_repeatable=False))

    async def chat_result(self, task_id: str) -> ChatTask:
        """The task, with its answer once there is one."""
        return read.chat_task(await self._caller.json("GET", f"/async-result/{_segment(task_id)}"))

    # -- files and batches

    async def upload_file(self, content: str | Path | bytes, *, name: str = "", purpose: FilePurpose) -> StoredFile:
        """Store a file (a path, or bytes with a ``name``) of up to 100 MiB."""
        data, name = (content, name) if isinstance(content, bytes) else _local(Path(content), name)
        if len(data) > FILE_LIMIT:
            raise ConfigurationError(f"the file '{name}' has {len(data):,} bytes: at most {FILE_LIMIT:,} are taken")
        form: dict[str, Any] = {"files": {"file": (name or "file", data)}, "data": {"purpose": purpose}}
        return read.stored_file(await self._caller.json("POST", "/files", is_repeatable=False, **form))

    async def files(self, *, purpose: FilePurpose | None = None) -> tuple[StoredFile, ...]:
        """The stored files."""
        params = {"purpose": purpose} if purpose else {}
        body = await self._caller.json("GET", "/files", params=params)
        return tuple(map(read.stored_file, read.listed(body)))

    async def file_content(self, file_id: str) -> bytes:
        """What a file holds."""
        return await self._caller.content("GET", f"/files/{_segment(file_id)}/content")

    async def delete_file(self, file_id: str) -> None:
        """Remove a file."""
        await self._caller.json("DELETE", f"/files/{_segment(file_id)}")

    async def create_batch(
        self, input_file_id: str, *, metadata: dict[str, str] | None = None, deletes_input: bool = True
    ) -> Batch:
        """Start the requests of an uploaded file (purpose ``batch``): at half the price, within a day."""
        if metadata and len(metadata) > 16:
            raise ConfigurationError(f"the batch's metadata has {len(metadata)} keys: at most 16 are taken")
        body = {
            "input_file_id": input_file_id,
            "endpoint": "/v4/chat/completions",
            "auto_delete_input_file": deletes_input,
            "metadata": metadata,
        }
        return read.batch(await self._post("/batches", body, is_repeatable=False))

    async def batch(self, batch_id: str) -> Batch:
        """How far a batch is."""
        return read.batch(await self._caller.json("GET", f"/batches/{_segment(batch_id)}"))

    async def batches(self, *, limit: int = 20) -> tuple[Batch, ...]:
        """The latest batches."""
        return tuple(map(read.batch, read.listed(await self._caller.json("GET", "/batches", params={"limit": limit}))))

    async def cancel_batch(self, batch_id: str) -> Batch:
        """Stop a batch; what is answered already stays."""
        return read.batch(await self._caller.json("POST", f"/batches/{_segment(batch_id)}/cancel"))

    async def run_batch(
        self,
        requests: Mapping[str, ModelRequest],
        *,
        poll_seconds: float = 30.0,
        on_progress: Callable[[Batch], object] | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> dict[str, ModelResponse | ModelError]:
        """Many single requests at half the price: upload, start, wait, fetch; the answers by the names given.

        It may take hours. A request that failed has its error as its answer. Raises ``ModelStatusError``
        when the batch as a whole failed.
        """
        stored = await self.upload_file(_lines(requests), name="batch.jsonl", purpose="batch")
        batch = await self.create_batch(stored.id)
        while not batch.is_over:
            await sleep(poll_seconds)
            batch = await self.batch(batch.id)
            if on_progress is not None:
                on_progress(batch)
        outputs = [await self.file_content(name) for name in (batch.output_file_id, batch.error_file_id) if name]
        if not outputs:
            raise ModelStatusError(f"the batch '{batch.id}' ended as {batch.status} without answers", status_code=200)
        answers = read.batch_answers(b"\n".join(outputs))
        lost = ModelProtocolError("the batch has no answer to this request")
        return {name: answers.get(_custom_id(name), lost) for name in requests}

    async def _post(self, path: str, body: JsonObject, *, is_repeatable: bool = True) -> JsonObject:
        given = {name: value for name, value in body.items() if value is not None}
        return await self._caller.json("POST", path, json=given, is_repeatable=is_repeatable)


def _body(request: ModelRequest, *, request_id: str = "") -> JsonObject:
    """The request as chat completions take it, without the field that says "not streaming"."""
    capabilities = lookup(request.model).capabilities
    text = encode_request(request, capabilities=capabilities, stream=False, request_id=request_id)
    return {name: value for name, value in jsontext.an_object(jsontext.loads(text)).items() if name != "stream"}


def _lines(requests: Mapping[str, ModelRequest]) -> bytes:
    """The file of a batch. Source: docs.bigmodel.cn, batch guide: names have 6 characters or more."""
    if not 1 <= len(requests) <= BATCH_LIMIT:
        raise ConfigurationError(f"the batch has {len(requests):,} requests: 1 to {BATCH_LIMIT:,} go at once")
    lines = (
        jsontext.dumps(
            {"custom_id": _custom_id(name), "method": "POST", "url": "/v4/chat/completions", "body": _body(request)}
        )
        for name, request in requests.items()
    )
    return b"\n".join(lines)


def _custom_id(name: str) -> str:
    return f"task-{name}"


def _check(name: str, text: str, least: int, most: int) -> None:
    if not least <= len(text) <= most:
        raise ConfigurationError(f"'{name}' has {len(text)} characters: {least} to {most} are taken")


def _segment(text: str) -> str:
    """An id as one part of a path: it may come from a model."""
    if (
        not text
        or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in text)
        or ".." in text
    ):
        raise ConfigurationError(f"'{text}' is no id of the provider")
    return text


def _local(path: Path, name: str) -> tuple[bytes, str]:
    try:
        return path.read_bytes(), name or path.name
    except OSError as error:
        raise ConfigurationError(f"the file '{path}' cannot be read: {error.strerror}") from error


def _first(names: Iterable[str]) -> str:
    return next(filter(None, (os.environ.get(name, "").strip() for name in names)), "")
