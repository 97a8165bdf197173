"""Endpoints whose answer follows from the request alone: search, reader, embeddings, rerank, tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from glm_agent.simulate.endpoints.request import CREATED, Ids, answered, body_of, illegal, routes, written
from glm_agent.simulate.json_values import JsonObject, array_in, is_array
from glm_agent.simulate.service_rules import Refused
from glm_agent.simulate.service_tools import ENGINES
from glm_agent.simulate.tokens import blocks, prompt_tokens
from glm_agent.simulate.tokens import count as text_tokens

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


class Lookups:
    """What is asked once and answered at once."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def routes(self, prefix: str) -> Iterator[Route]:
        """The routes below a prefix."""
        return routes(
            prefix,
            ("/web_search", "POST", self.web_search),
            ("/reader", "POST", self.reader),
            ("/embeddings", "POST", self.embeddings),
            ("/rerank", "POST", self.rerank),
            ("/tokenizer", "POST", self.tokenizer),
        )

    @answered
    async def web_search(self, request: Request) -> Response:
        body = await body_of(request, "search_query", "search_engine", "search_intent")
        if body["search_engine"] not in ENGINES:
            raise illegal("search_engine")
        count = body.get("count", 10)
        if not isinstance(count, int) or not 1 <= count <= 50:
            raise illegal("count")
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
        return written({"id": self._ids.next(), "created": CREATED, "search_intent": intents, "search_result": hits})

    @answered
    async def reader(self, request: Request) -> Response:
        body = await body_of(request, "url")
        if body.get("return_format", "markdown") not in ("markdown", "text"):
            raise illegal("return_format")
        url = str(body["url"])
        read: JsonObject = {
            "url": url,
            "title": f"Title of {url}",
            "description": "",
            "content": f"# Content of {url}",
            "metadata": {},
        }
        return written({"id": self._ids.next(), "created": CREATED, "reader_result": read})

    @answered
    async def embeddings(self, request: Request) -> Response:
        body = await body_of(request, "model", "input")
        if (known := _DIMENSIONS.get(body["model"])) is None:
            raise Refused(400, "1211", f"The model '{body['model']}' does not exist: check the model code")
        texts = body["input"] if is_array(body["input"]) else [body["input"]]
        size = body.get("dimensions") or known[-1]
        if size not in known or not 1 <= len(texts) <= 64 or not all(isinstance(text, str) and text for text in texts):
            raise illegal("input")
        data = [{"object": "embedding", "index": at, "embedding": _vector(text, size)} for at, text in enumerate(texts)]
        tokens = sum(map(text_tokens, texts))
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        return written({"model": body["model"], "object": "list", "data": data, "usage": usage})

    @answered
    async def rerank(self, request: Request) -> Response:
        body = await body_of(request, "model", "query", "documents")
        documents = array_in(body, "documents")
        if not 1 <= len(documents) <= 128 or any(not isinstance(text, str) or len(text) > 4_096 for text in documents):
            raise illegal("documents")
        if len(body["query"]) > 4_096:
            raise illegal("query")
        words = set(str(body["query"]).lower().split())
        scores = [len(words & set(text.lower().split())) / max(1, len(words)) for text in documents]
        order = sorted(range(len(documents)), key=lambda at: -scores[at])[: body.get("top_n") or None]
        shows = body.get("return_documents")
        results = [
            {"index": at, "relevance_score": scores[at], **({"document": documents[at]} if shows else {})}
            for at in order
        ]
        return written({"id": self._ids.next(), "request_id": self._ids.next(), "results": results})

    @answered
    async def tokenizer(self, request: Request) -> Response:
        body = await body_of(request, "model", "messages")
        if body["model"] not in _COUNTED and not str(body["model"]).startswith("simulate"):
            raise Refused(400, "1211", f"The model '{body['model']}' does not exist: check the model code")
        tokens = sum(map(prompt_tokens, blocks(body, keeps_thinking=True)))
        return written(
            {"id": self._ids.next(), "created": CREATED, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        )


def _vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(size)
    return [round(byte / 127.5 - 1, 4) for byte in digest]
