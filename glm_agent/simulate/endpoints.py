"""The service's other endpoints: search, reader, embeddings, rerank, tokenizer, answers later, files, batches.

Each checks what the documents say it checks; answers follow from the request alone, so that a test can tell what
comes. The state (tasks, files, batches) lives as long as the server.

Source: OpenAPI of docs.bigmodel.cn, 2026-07-11.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Protocol, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from glm_agent.simulate.json_values import JsonObject, array_in, is_array, is_object
from glm_agent.simulate.service import authenticate
from glm_agent.simulate.service_rules import Refused
from glm_agent.simulate.service_tools import ENGINES
from glm_agent.simulate.tokens import blocks, prompt_tokens
from glm_agent.simulate.tokens import count as text_tokens

_Handler: TypeAlias = Callable[[Any, Request], Coroutine[Any, Any, Response]]

_FILE_LIMIT = 100 * 2**20
_PURPOSES = ("batch", "code-interpreter", "agent", "voice-clone-input")
_COUNTED = (
    "glm-5",
    "glm-4.6",
    "glm-4.6v",
    "glm-4.5",
    "glm-4.5-air",
    "glm-4-0520",
    "glm-4-long",
    "glm-4-air",
    "glm-4-flash",
)
_DIMENSIONS = {"embedding-3": (256, 512, 1024, 2048), "embedding-2": (1024,)}


class Answers(Protocol):
    """Who answers chat requests."""

    def complete(self, body: JsonObject, key: str, *, is_coding: bool = False) -> JsonObject:
        """The body of an answer that is not streamed; raises ``Refused``."""
        ...


def _answered(handler: _Handler) -> _Handler:
    @wraps(handler)
    async def answer(self: Any, request: Request) -> Response:
        try:
            authenticate(request.headers)
            return await handler(self, request)
        except Refused as refused:
            return JSONResponse(refused.body, status_code=refused.status)

    return answer


class Endpoints:
    """The endpoints beside chat completions, and what they remember."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._tasks: dict[str, list[JsonObject]] = {}
        """What a task says at each time of asking; the last word stays."""
        self._files: dict[str, tuple[JsonObject, bytes]] = {}
        self._batches: dict[str, list[JsonObject]] = {}
        self._made = 0

    def routes(self, prefix: str) -> Iterator[Route]:
        """The routes below a prefix."""
        for path, method, handler in (
            ("/web_search", "POST", self.web_search),
            ("/reader", "POST", self.reader),
            ("/embeddings", "POST", self.embeddings),
            ("/rerank", "POST", self.rerank),
            ("/tokenizer", "POST", self.tokenizer),
            ("/async/chat/completions", "POST", self.start_chat),
            ("/async-result/{id}", "GET", self.chat_result),
            ("/files", "POST", self.upload),
            ("/files", "GET", self.files),
            ("/files/{id}/content", "GET", self.file_content),
            ("/files/{id}", "DELETE", self.delete_file),
            ("/batches", "POST", self.create_batch),
            ("/batches", "GET", self.batches),
            ("/batches/{id}", "GET", self.batch),
            ("/batches/{id}/cancel", "POST", self.cancel_batch),
        ):
            yield Route(prefix + path, handler, methods=[method])

    @_answered
    async def web_search(self, request: Request) -> Response:
        body = await _body(request, "search_query", "search_engine", "search_intent")
        if body["search_engine"] not in ENGINES:
            raise _illegal("search_engine")
        count = body.get("count", 10)
        if not isinstance(count, int) or not 1 <= count <= 50:
            raise _illegal("count")
        query = body["search_query"]
        hits = [
            {
                "title": f"{query} ({at})",
                "content": f"What page {at} says about {query}.",
                "link": f"https://{body.get('search_domain_filter') or 'example.com'}/{at}",
                "media": "Example",
                "icon": "",
                "refer": f"ref_{at}",
                "publish_date": "2026-11-22",
            }
            for at in range(1, count + 1)
        ]
        intent = "SEARCH_ALL" if body["search_intent"] else "SEARCH_ALWAYS"
        intents = [{"query": query, "intent": intent, "keywords": query}]
        return _json({"id": self._id(), "created": 1_763_740_800, "search_intent": intents, "search_result": hits})

    @_answered
    async def reader(self, request: Request) -> Response:
        body = await _body(request, "url")
        if body.get("return_format", "markdown") not in ("markdown", "text"):
            raise _illegal("return_format")
        url = str(body["url"])
        read: JsonObject = {
            "url": url,
            "title": f"Title of {url}",
            "description": "",
            "content": f"# Content of {url}",
            "metadata": {},
        }
        return _json({"id": self._id(), "created": 1_763_740_800, "reader_result": read})

    @_answered
    async def embeddings(self, request: Request) -> Response:
        body = await _body(request, "model", "input")
        if (known := _DIMENSIONS.get(body["model"])) is None:
            raise Refused(400, "1211", f"The model '{body['model']}' does not exist: check the model code")
        texts = body["input"] if is_array(body["input"]) else [body["input"]]
        size = body.get("dimensions") or known[-1]
        if size not in known or not 1 <= len(texts) <= 64 or not all(isinstance(text, str) and text for text in texts):
            raise _illegal("input")
        data = [{"object": "embedding", "index": at, "embedding": _vector(text, size)} for at, text in enumerate(texts)]
        tokens = sum(map(text_tokens, texts))
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        return _json({"model": body["model"], "object": "list", "data": data, "usage": usage})

    @_answered
    async def rerank(self, request: Request) -> Response:
        body = await _body(request, "model", "query", "documents")
        documents = array_in(body, "documents")
        if not 1 <= len(documents) <= 128 or any(not isinstance(text, str) or len(text) > 4_096 for text in documents):
            raise _illegal("documents")
        if len(body["query"]) > 4_096:
            raise _illegal("query")
        words = set(str(body["query"]).lower().split())
        scores = [len(words & set(text.lower().split())) / max(1, len(words)) for text in documents]
        order = sorted(range(len(documents)), key=lambda at: -scores[at])[: body.get("top_n") or None]
        shows = body.get("return_documents")
        results = [
            {"index": at, "relevance_score": scores[at], **({"document": documents[at]} if shows else {})}
            for at in order
        ]
        return _json({"id": self._id(), "request_id": self._id(), "results": results})

    @_answered
    async def tokenizer(self, request: Request) -> Response:
        body = await _body(request, "model", "messages")
        if body["model"] not in _COUNTED and not str(body["model"]).startswith("simulate"):
            raise Refused(400, "1211", f"The model '{body['model']}' does not exist: check the model code")
        tokens = sum(map(prompt_tokens, blocks(body, keeps_thinking=True)))
        return _json(
            {"id": self._id(), "created": 1_763_740_800, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        )

    # -- answers later

    @_answered
    async def start_chat(self, request: Request) -> Response:
        body = await _body(request)
        if body.get("stream"):
            raise _illegal("stream")
        task: JsonObject = {"id": self._id(), "request_id": body.get("request_id", ""), "model": body.get("model")}
        answer = self._answers.complete(body, authenticate(request.headers), is_coding="/coding/" in request.url.path)
        running = {**task, "task_status": "PROCESSING"}
        self._tasks[task["id"]] = [running, {**answer, **task, "task_status": "SUCCESS"}]
        return _json(running)

    @_answered
    async def chat_result(self, request: Request) -> Response:
        return _json(_next_word(self._tasks, request.path_params["id"]))

    # -- files

    @_answered
    async def upload(self, request: Request) -> Response:
        async with request.form(max_part_size=_FILE_LIMIT) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if file is None or isinstance(file, str):
                raise Refused(400, "1213", "The parameter 'file' was not received")
            if purpose not in _PURPOSES:
                raise _illegal("purpose")
            data, name = await file.read(), file.filename or ""
        if len(data) > _FILE_LIMIT:
            raise Refused(435, "435", "The file is larger than 100 MB")
        return _json(self._stored(data, name=name, purpose=str(purpose)))

    @_answered
    async def files(self, request: Request) -> Response:
        wanted = request.query_params.get("purpose")
        listed = [about for about, _ in self._files.values() if wanted in (None, about["purpose"])]
        return _json({"object": "list", "data": listed, "has_more": False})

    @_answered
    async def file_content(self, request: Request) -> Response:
        return PlainTextResponse(self._file(request)[1], media_type="application/octet-stream")

    @_answered
    async def delete_file(self, request: Request) -> Response:
        about, _ = self._file(request)
        del self._files[about["id"]]
        return _json({"id": about["id"], "deleted": True, "object": "file"})

    # -- batches

    @_answered
    async def create_batch(self, request: Request) -> Response:
        body = await _body(request, "input_file_id", "endpoint")
        stored = self._files.get(body["input_file_id"])
        if stored is None or stored[0]["purpose"] != "batch":
            raise _illegal("input_file_id")
        if body["endpoint"] != "/v4/chat/completions":
            raise _illegal("endpoint")
        batch: JsonObject = {
            "id": f"batch_{self._id()}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "metadata": body.get("metadata") or {},
        }
        answered, failed = self._answer_lines(stored[1], authenticate(request.headers))
        counts = {"total": len(answered) + len(failed), "completed": len(answered), "failed": len(failed)}
        over = {**batch, "status": "completed", "request_counts": counts}
        for field, lines in (("output_file_id", answered), ("error_file_id", failed)):
            if lines:
                over[field] = self._stored(b"\n".join(lines), name=f"{field}.jsonl", purpose="batch")["id"]
        begun = {**batch, "status": "validating", "request_counts": {"total": 0, "completed": 0, "failed": 0}}
        self._batches[batch["id"]] = [begun, {**begun, "status": "in_progress"}, over]
        return _json(begun)

    @_answered
    async def batch(self, request: Request) -> Response:
        return _json(_next_word(self._batches, request.path_params["id"]))

    @_answered
    async def batches(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", "20"))
        listed = [words[0] for words in self._batches.values()][-limit:]
        return _json({"object": "list", "data": listed, "has_more": len(self._batches) > limit})

    @_answered
    async def cancel_batch(self, request: Request) -> Response:
        begun = _next_word(self._batches, request.path_params["id"])
        self._batches[begun["id"]] = [{**begun, "status": "cancelled"}]
        return _json(self._batches[begun["id"]][0])

    def _answer_lines(self, data: bytes, key: str) -> tuple[list[bytes], list[bytes]]:
        answered, failed = list[bytes](), list[bytes]()
        for line in filter(None, map(bytes.strip, data.splitlines())):
            entry = _entry(line)
            try:
                response: JsonObject = {"status_code": 200, "body": self._answers.complete(entry["body"], key)}
                kept = answered
            except Refused as refused:
                response, kept = {"status_code": refused.status, "body": refused.body}, failed
            kept.append(
                json.dumps({"id": self._id(), "custom_id": entry.get("custom_id"), "response": response}).encode()
            )
        return answered, failed

    def _stored(self, data: bytes, *, name: str, purpose: str) -> JsonObject:
        about: JsonObject = {
            "id": f"file-{self._id()}",
            "object": "file",
            "bytes": len(data),
            "created_at": 1_763_740_800,
            "filename": name,
            "purpose": purpose,
        }
        self._files[about["id"]] = about, data
        return about

    def _file(self, request: Request) -> tuple[JsonObject, bytes]:
        try:
            return self._files[request.path_params["id"]]
        except KeyError:
            raise Refused(404, "1222", "There is no such file") from None

    def _id(self) -> str:
        self._made += 1
        return f"20261122{self._made:06}{hashlib.sha256(str(self._made).encode()).hexdigest()[:16]}"


def _next_word(kept: dict[str, list[JsonObject]], name: str) -> JsonObject:
    if name not in kept:
        raise Refused(404, "1222", f"There is no '{name}'")
    words = kept[name]
    return words.pop(0) if len(words) > 1 else words[0]


async def _body(request: Request, *required: str) -> JsonObject:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not is_object(body):
        raise Refused(400, "1210", "The request body must be a JSON object")
    for name in required:
        if body.get(name) in (None, ""):
            raise Refused(400, "1213", f"The parameter '{name}' was not received")
    return body


def _entry(line: bytes) -> JsonObject:
    """One line of a batch's file."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not is_object(entry) or not is_object(entry.get("body")) or len(str(entry.get("custom_id"))) < 6:
        raise Refused(400, "1210", "A line of the batch's file is no request with a custom_id")
    return entry


def _illegal(name: str) -> Refused:
    return Refused(400, "1214", f"The parameter '{name}' is illegal")


def _json(body: JsonObject) -> Response:
    return JSONResponse(body)


def _vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(size)
    return [round(byte / 127.5 - 1, 4) for byte in digest]
