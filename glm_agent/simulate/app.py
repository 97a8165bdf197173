"""The simulated service as an ASGI application: a request is checked, answered by a player, spoiled and sent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
import struct
from collections import OrderedDict, deque
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as PlainResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from glm_agent.simulate.answer import Answer, NoAnswer, Player, fitted, is_thinking
from glm_agent.simulate.conversation import Conversation
from glm_agent.simulate.encode import Reply, to_bytes
from glm_agent.simulate.encode import body as body_of
from glm_agent.simulate.endpoints import Endpoints
from glm_agent.simulate.faults import End, Response, chosen, drawn, instead, refusal, streamed, whole
from glm_agent.simulate.json_values import JsonObject, object_in
from glm_agent.simulate.scenario_faults import Fault
from glm_agent.simulate.service import authenticate, check
from glm_agent.simulate.service_models import MODELS, SIMULATED, facts_of
from glm_agent.simulate.service_rules import Refused
from glm_agent.simulate.tokens import PrefixCache, blocks, prompt_tokens

PREFIXES = ("/api/paas/v4", "/api/coding/paas/v4", "/v1", "")
"""Where the service answers; the first is that of ``base_url``."""
_MOST_REMEMBERED = 20_000
_MOST_KEPT_BYTES = 64 * 2**20
_log = logging.getLogger("glm_agent.simulate")


class Service:
    """The simulated service: a player, and what the real one remembers between requests."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._prefixes = PrefixCache()
        self._request_ids: OrderedDict[str, int] = OrderedDict()
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._running = 0
        self._endpoints = Endpoints(self)

    @property
    def requests(self) -> list[JsonObject]:
        """Bodies of the accepted requests, in order; of many, the latest."""
        return [json.loads(raw) for raw in tuple(self._kept)]

    def app(self) -> Starlette:
        chats = [Route(f"{prefix}/chat/completions", self.chat, methods=["POST"]) for prefix in PREFIXES]
        lists = [Route(f"{prefix}/models", self.models, methods=["GET"]) for prefix in PREFIXES]
        others = [route for prefix in PREFIXES for route in self._endpoints.routes(prefix)]
        return Starlette(routes=[*chats, *lists, *others], exception_handlers={404: _nowhere, 405: _nowhere})

    async def models(self, request: Request) -> PlainResponse:
        try:
            authenticate(request.headers)
        except Refused as refused:
            return JSONResponse(refused.body, status_code=refused.status)
        listed = [{"id": name, "object": "model", "created": 1_763_740_800, "owned_by": "z-ai"} for name in MODELS]
        return JSONResponse({"object": "list", "data": listed})

    async def chat(self, request: Request) -> PlainResponse:
        raw = await request.body()
        limit = self.player.settings.concurrency
        if limit is not None and self._running >= limit:
            return _Sent(refusal(429, Refused(429, "1302", "High concurrency usage of this API").body), self)
        try:
            response = self._respond(request, raw)
        except Refused as refused:
            response = refusal(refused.status, refused.body)
        except NoAnswer as none:
            response = refusal(400, {"error": {"code": "simulator", "message": str(none)}})
        except Exception as error:
            _log.exception("a defect of the simulator")
            response = refusal(
                500, {"error": {"code": "simulator", "message": f"a defect of the simulator: {error!r}"}}
            )
        return _Sent(response, self)

    def _keep(self, raw: bytes) -> None:
        self._kept.append(raw)
        self._kept_bytes += len(raw)
        while self._kept_bytes > _MOST_KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft())

    def began(self) -> None:
        self._running += 1

    def ended(self) -> None:
        self._running -= 1

    def complete(self, body: JsonObject, key: str, *, is_coding: bool = False) -> JsonObject:
        """The body of an answer that is not streamed, without faults; raises ``Refused``."""
        check(body, is_coding=is_coding)
        self._first_time(key, body.get("request_id"))
        self._keep(json.dumps(body).encode())
        try:
            return body_of(self._reply(body, key, is_coding=is_coding))
        except NoAnswer as none:
            raise Refused(400, "simulator", str(none)) from None

    def _respond(self, request: Request, raw: bytes) -> Response:
        """What comes of an accepted request; raises ``Refused`` or ``NoAnswer``."""
        is_coding = "/coding/" in request.url.path
        key = authenticate(request.headers)
        body = _parsed(raw)
        check(body, is_coding=is_coding)
        self._first_time(key, body.get("request_id"))
        self._keep(raw)
        reply = self._reply(body, key, is_coding=is_coding)
        fault = self._fault(reply, key)
        if fault is not None and (other := instead(fault)) is not None:
            return other
        if fault is not None and fault.finish is not None:
            reply = replace(
                reply, answer=Answer(finish=fault.finish, pace=reply.answer.pace, quirks=reply.answer.quirks)
            )
        if body.get("stream"):
            return streamed(reply, fault)
        return whole(to_bytes(body_of(reply)), reply, fault)

    def _reply(self, body: JsonObject, key: str, *, is_coding: bool) -> Reply:
        settings = self.player.settings
        facts = facts_of(body["model"]) or SIMULATED
        clears = object_in(body, "thinking").get("clear_thinking")
        prompt = blocks(body, keeps_thinking=is_coding if clears is None else not clears)
        tokens = [prompt_tokens(block) for block in prompt]
        room = (settings.context_window or facts.window) - sum(tokens)
        if room < (body.get("max_tokens") or 1):
            raise Refused(400, "1261", f"Prompt exceeds max length: {sum(tokens)} tokens and the answer do not fit")
        answer = fitted(
            self.player.answer(Conversation.of(body)),
            body,
            thinks=is_thinking(body, facts),
            limit=body.get("max_tokens") or facts.default_output,
            room=room,
        )
        return Reply(
            answer=answer,
            digest=_digest(settings.seed, body),
            model=body["model"],
            request_id=body.get("request_id") or "",
            prompt_tokens=sum(tokens),
            cached_tokens=self._prefixes.look_up(f"{key}:{body['model']}", prompt, tokens),
            in_fragments=bool(body.get("tool_stream")),
        )

    def _fault(self, reply: Reply, key: str) -> Fault | None:
        """What goes wrong with this attempt: first the step's faults, then chance."""
        attempt = self._count(self._attempts, f"{reply.digest}:{key}")
        fault = chosen(reply.answer.faults, attempt=attempt)
        by_chance = self.player.settings.random_faults
        if fault is not None or by_chance is None:
            return fault
        planned = sum(int(planned.times) for planned in reply.answer.faults)
        return drawn(by_chance, seed=reply.digest, attempt=attempt - planned)

    def _first_time(self, key: str, request_id: str | None) -> None:
        """Source: code 1231, duplicate request_id."""
        if request_id is not None and self._count(self._request_ids, f"{key}:{request_id}"):
            raise Refused(400, "1231", f"The request_id '{request_id}' was used before: it must be unique")

    @staticmethod
    def _count(seen: OrderedDict[str, int], key: str) -> int:
        """How often the key was counted before; old keys are forgotten."""
        times = seen.pop(key, 0)
        seen[key] = times + 1
        if len(seen) > _MOST_REMEMBERED:
            seen.popitem(last=False)
        return times


class _Sent(PlainResponse):
    """Performs a response, faults and waits included; ends quietly when the client goes away."""

    def __init__(self, response: Response, service: Service) -> None:
        super().__init__(status_code=response.status, headers=response.headers)
        self.headers["content-type"] = response.content_type
        del self.headers["content-length"]
        self._response = response
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        self._service.began()
        try:
            await self._perform(scope, send, gone)
        finally:
            self._service.ended()
            gone.cancel()

    async def _perform(self, scope: Scope, send: Send, gone: asyncio.Future[None]) -> None:
        if await _pause(self._response.wait_seconds, gone):
            return
        has_begun = False
        for action in self._response.actions:
            if not has_begun and action is not End.RESET:
                await self._begin(send)
                has_begun = True
            if isinstance(action, End):
                await _end(action, scope, gone)
                return
            if await _pause(self._response.gap_seconds, gone):
                return
            await send({"type": "http.response.body", "body": action, "more_body": True})
        if not has_begun:
            await self._begin(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})


async def _end(how: End, scope: Scope, gone: asyncio.Future[None]) -> None:
    """End the connection, or wait until the client does."""
    transport: asyncio.Transport = scope["state"]["transport"]
    if how is End.RESET:
        # Without lingering, closing sends RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    elif how is End.CLOSE:
        transport.close()
    await gone


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(seconds: float, gone: asyncio.Future[None]) -> bool:
    """Wait; whether the client went away meanwhile."""
    await asyncio.wait([gone], timeout=seconds)
    return gone.done()


async def _nowhere(request: Request, error: Exception) -> PlainResponse:
    del error
    path = request.url.path
    message = f"{request.method} {path} is not served here: POST {PREFIXES[0]}/chat/completions"
    return JSONResponse({"error": {"code": "404", "message": message}}, status_code=404)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "1210", "The request body is not valid JSON") from None


def _digest(seed: int, body: JsonObject) -> str:
    """What makes a request this one: everything but its ``request_id``."""
    told = {key: value for key, value in body.items() if key != "request_id"}
    text = json.dumps(told, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()
