"""What the provider's other endpoints answer: typed, patient about what is missing, with the body kept whole.

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11; docs.z.ai, October 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from glm_agent.errors import ModelError, ModelProtocolError
from glm_agent.messages import JsonObject, ModelResponse, Usage
from glm_agent.wire.answer import usage_of
from glm_agent.wire.decode import decode_body
from glm_agent.wire.failure import failure, is_failure
from glm_agent.wire.jsontext import an_array, an_object, loads

FilePurpose: TypeAlias = Literal["batch", "code-interpreter", "agent", "voice-clone-input"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """One page that the search found."""

    title: str
    link: str
    content: str
    """An excerpt."""
    media: str = ""
    """The site's name."""
    icon: str = ""
    refer: str = ""
    """What a text cites it by, such as ``ref_1``."""
    publish_date: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """What a web search found."""

    hits: tuple[SearchHit, ...]
    intents: tuple[JsonObject, ...] = ()
    """How the query was understood: ``query``, ``intent``, ``keywords``."""
    body: JsonObject = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A web page as text."""

    url: str
    title: str
    content: str
    """Markdown, or plain text where that was asked for."""
    description: str = ""
    body: JsonObject = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """One vector for each text, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...] = field(repr=False)
    model: str
    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A document and how well it answers the query."""

    index: int
    """Its place among the documents that were given."""
    score: float
    document: str = ""
    """Its text, where that was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """How many tokens a request's prompt has."""

    prompt_tokens: int
    image_tokens: int = 0
    video_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatTask:
    """A request that is answered later."""

    id: str
    status: Literal["PROCESSING", "SUCCESS", "FAIL"] | str
    model: str = ""
    request_id: str = ""
    response: ModelResponse | None = None
    """The answer, once ``status`` is ``SUCCESS``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file at the provider."""

    id: str
    filename: str = ""
    purpose: str = ""
    bytes: int = 0
    created_at: int = 0
    """Seconds since 1970."""
    status: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Many requests at half the price, answered within a day."""

    id: str
    status: str
    """``validating in_progress finalizing completed failed expired cancelling cancelled``."""
    input_file_id: str = ""
    output_file_id: str = ""
    error_file_id: str = ""
    total: int = 0
    completed: int = 0
    failed: int = 0
    body: JsonObject = field(default_factory=dict[str, Any], repr=False)

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "failed", "expired", "cancelled")


def search_result(body: JsonObject) -> SearchResult:
    """From ``POST /web_search``."""
    hits = tuple(
        SearchHit(**{name: _text(hit, name) for name in SearchHit.__dataclass_fields__})
        for hit in map(an_object, an_array(body.get("search_result")))
    )
    return SearchResult(hits=hits, intents=tuple(map(an_object, an_array(body.get("search_intent")))), body=body)


def page(body: JsonObject) -> Page:
    """From ``POST /reader``."""
    read = an_object(body.get("reader_result"))
    texts = {name: _text(read, name) for name in ("url", "title", "content", "description")}
    return Page(**texts, body=body)


def embeddings(body: JsonObject) -> Embeddings:
    """From ``POST /embeddings``."""
    entries = sorted(map(an_object, an_array(body.get("data"))), key=lambda entry: _count(entry, "index"))
    vectors = tuple(tuple(map(float, an_array(entry.get("embedding")))) for entry in entries)
    return Embeddings(vectors=vectors, model=_text(body, "model"), usage=usage_of(body.get("usage")))


def ranking(body: JsonObject) -> tuple[Ranked, ...]:
    """From ``POST /rerank``; the best first."""
    found = (
        Ranked(
            index=_count(entry, "index"),
            score=float(entry.get("relevance_score") or 0.0),
            document=_document(entry.get("document")),
        )
        for entry in map(an_object, an_array(body.get("results")))
    )
    return tuple(sorted(found, key=lambda one: -one.score))


def token_count(body: JsonObject) -> TokenCount:
    """From ``POST /tokenizer``."""
    usage = an_object(body.get("usage"))
    counts = {name: _count(usage, name) for name in ("prompt_tokens", "image_tokens", "video_tokens")}
    return TokenCount(**counts, total_tokens=_count(usage, "total_tokens") or sum(counts.values()))


def chat_task(body: JsonObject) -> ChatTask:
    """From ``POST /async/chat/completions`` and ``GET /async-result/…``."""
    status = _text(body, "task_status") or ("SUCCESS" if "choices" in body else "PROCESSING")
    return ChatTask(
        id=_text(body, "id"),
        status=status,
        model=_text(body, "model"),
        request_id=_text(body, "request_id"),
        response=decode_body(_answer(body)) if status == "SUCCESS" else None,
    )


def stored_file(body: JsonObject) -> StoredFile:
    """From ``POST /files``, and an entry of ``GET /files``."""
    texts = {name: _text(body, name) for name in ("id", "filename", "purpose", "status")}
    return StoredFile(**texts, bytes=_count(body, "bytes"), created_at=_count(body, "created_at"))


def batch(body: JsonObject) -> Batch:
    """From the endpoints of ``/batches``."""
    counts = an_object(body.get("request_counts"))
    return Batch(
        id=_text(body, "id"),
        status=_text(body, "status"),
        input_file_id=_text(body, "input_file_id"),
        output_file_id=_text(body, "output_file_id"),
        error_file_id=_text(body, "error_file_id"),
        total=_count(counts, "total"),
        completed=_count(counts, "completed"),
        failed=_count(counts, "failed"),
        body=body,
    )


def batch_answers(lines: bytes) -> dict[str, ModelResponse | ModelError]:
    """The answers in a batch's output and error files, by ``custom_id``."""
    return dict(_batch_answer(line) for line in lines.splitlines() if line.strip())


def listed(body: JsonObject) -> list[JsonObject]:
    """The entries of a list."""
    return [an_object(entry) for entry in an_array(body.get("data"))]


def _batch_answer(line: bytes) -> tuple[str, ModelResponse | ModelError]:
    entry = an_object(loads(line))
    response = an_object(entry.get("response"))
    body = an_object(response.get("body")) or entry
    status = _count(response, "status_code") or 200
    try:
        if status >= 400 or is_failure(body) or "choices" not in body:
            return _text(entry, "custom_id"), failure(status_code=status, body=body)
        return _text(entry, "custom_id"), decode_body(body)
    except ModelError as error:
        return _text(entry, "custom_id"), error


def _answer(body: JsonObject) -> JsonObject:
    if not body.get("choices"):
        raise ModelProtocolError(f"the task '{_text(body, 'id')}' succeeded and has no answer")
    return {name: value for name, value in body.items() if name != "task_status"}


def _document(value: Any) -> str:
    return value if isinstance(value, str) else _text(an_object(value), "text")


def _text(value: JsonObject, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else "" if found is None else str(found)


def _count(value: JsonObject, name: str) -> int:
    found = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
