"""Endpoints that remember: answers that are fetched later, files, and batches of them.

What they remember lives as long as the server; each time it is asked for, it is one step further.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from glm_agent.simulate.endpoints.request import CREATED, Ids, answered, body_of, illegal, routes, written
from glm_agent.simulate.json_values import JsonObject, is_object
from glm_agent.simulate.service import authenticate
from glm_agent.simulate.service_rules import Refused

_FILE_LIMIT = 100 * 2**20
_PURPOSES = ("batch", "code-interpreter", "agent", "voice-clone-input")


class Answers(Protocol):
    """Who answers chat requests."""

    def complete(self, body: JsonObject, key: str, *, is_coding: bool = False) -> JsonObject:
        """The body of an answer that is not streamed; raises ``Refused``."""
        ...


class Jobs:
    """What is begun with one request and looked after with others."""

    def __init__(self, answers: Answers, ids: Ids) -> None:
        self._answers, self._ids = answers, ids
        self._tasks: dict[str, list[JsonObject]] = {}
        """What a task says at each time of asking; the last word stays."""
        self._files: dict[str, tuple[JsonObject, bytes]] = {}
        self._batches: dict[str, list[JsonObject]] = {}

    def routes(self, prefix: str) -> Iterator[Route]:
        """The routes below a prefix."""
        return routes(
            prefix,
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
        )

    @answered
    async def start_chat(self, request: Request) -> Response:
        body = await body_of(request)
        if body.get("stream"):
            raise illegal("stream")
        task: JsonObject = {
            "id": self._ids.next(),
            "request_id": body.get("request_id", ""),
            "model": body.get("model"),
        }
        answer = self._answers.complete(body, authenticate(request.headers), is_coding="/coding/" in request.url.path)
        running = {**task, "task_status": "PROCESSING"}
        self._tasks[task["id"]] = [running, {**answer, **task, "task_status": "SUCCESS"}]
        return written(running)

    @answered
    async def chat_result(self, request: Request) -> Response:
        return written(_next_word(self._tasks, request.path_params["id"]))

    # -- files

    @answered
    async def upload(self, request: Request) -> Response:
        async with request.form(max_part_size=_FILE_LIMIT) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if file is None or isinstance(file, str):
                raise Refused(400, "1213", "The parameter 'file' was not received")
            if purpose not in _PURPOSES:
                raise illegal("purpose")
            data, name = await file.read(), file.filename or ""
        if len(data) > _FILE_LIMIT:
            raise Refused(435, "435", "The file is larger than 100 MB")
        return written(self._stored(data, name=name, purpose=str(purpose)))

    @answered
    async def files(self, request: Request) -> Response:
        wanted = request.query_params.get("purpose")
        listed = [about for about, _ in self._files.values() if wanted in (None, about["purpose"])]
        return written({"object": "list", "data": listed, "has_more": False})

    @answered
    async def file_content(self, request: Request) -> Response:
        return PlainTextResponse(self._file(request)[1], media_type="application/octet-stream")

    @answered
    async def delete_file(self, request: Request) -> Response:
        about, _ = self._file(request)
        del self._files[about["id"]]
        return written({"id": about["id"], "deleted": True, "object": "file"})

    # -- batches

    @answered
    async def create_batch(self, request: Request) -> Response:
        body = await body_of(request, "input_file_id", "endpoint")
        stored = self._files.get(body["input_file_id"])
        if stored is None or stored[0]["purpose"] != "batch":
            raise illegal("input_file_id")
        if body["endpoint"] != "/v4/chat/completions":
            raise illegal("endpoint")
        batch: JsonObject = {
            "id": f"batch_{self._ids.next()}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "metadata": body.get("metadata") or {},
        }
        completed, failed = self._answer_lines(stored[1], authenticate(request.headers))
        counts = {"total": len(completed) + len(failed), "completed": len(completed), "failed": len(failed)}
        over = {**batch, "status": "completed", "request_counts": counts}
        for field, lines in (("output_file_id", completed), ("error_file_id", failed)):
            if lines:
                over[field] = self._stored(b"\n".join(lines), name=f"{field}.jsonl", purpose="batch")["id"]
        begun = {**batch, "status": "validating", "request_counts": {"total": 0, "completed": 0, "failed": 0}}
        self._batches[batch["id"]] = [begun, {**begun, "status": "in_progress"}, over]
        return written(begun)

    @answered
    async def batch(self, request: Request) -> Response:
        return written(_next_word(self._batches, request.path_params["id"]))

    @answered
    async def batches(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", "20"))
        listed = [words[0] for words in self._batches.values()][-limit:]
        return written({"object": "list", "data": listed, "has_more": len(self._batches) > limit})

    @answered
    async def cancel_batch(self, request: Request) -> Response:
        begun = _next_word(self._batches, request.path_params["id"])
        self._batches[begun["id"]] = [{**begun, "status": "cancelled"}]
        return written(self._batches[begun["id"]][0])

    def _answer_lines(self, data: bytes, key: str) -> tuple[list[bytes], list[bytes]]:
        completed, failed = list[bytes](), list[bytes]()
        for line in filter(None, map(bytes.strip, data.splitlines())):
            entry = _entry(line)
            try:
                response: JsonObject = {"status_code": 200, "body": self._answers.complete(entry["body"], key)}
                kept = completed
            except Refused as refused:
                response, kept = {"status_code": refused.status, "body": refused.body}, failed
            kept.append(
                json.dumps({"id": self._ids.next(), "custom_id": entry.get("custom_id"), "response": response}).encode()
            )
        return completed, failed

    def _stored(self, data: bytes, *, name: str, purpose: str) -> JsonObject:
        about: JsonObject = {
            "id": f"file-{self._ids.next()}",
            "object": "file",
            "bytes": len(data),
            "created_at": CREATED,
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


def _next_word(kept: dict[str, list[JsonObject]], name: str) -> JsonObject:
    if name not in kept:
        raise Refused(404, "1222", f"There is no '{name}'")
    words = kept[name]
    return words.pop(0) if len(words) > 1 else words[0]


def _entry(line: bytes) -> JsonObject:
    """One line of a batch's file."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not is_object(entry) or not is_object(entry.get("body")) or len(str(entry.get("custom_id"))) < 6:
        raise Refused(400, "1210", "A line of the batch's file is no request with a custom_id")
    return entry
