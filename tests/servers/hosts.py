"""Hosts of GLM that are not Zhipu, as small servers: what each takes, what it wants back, how it streams.

Each answers a conversation with one call of ``add`` and then with its result in words; a request with a field that the
host does not know, or without the thinking of the step before, is refused.

Sources: recordings of OpenRouter (2026-04) and Crusoe (vLLM, 2026); documentation of Cerebras, Alibaba Cloud Model
Studio and SGLang (2026); shapes of calls from GLM-4#194, GLM-4.5#146.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from threaded import threaded

Chunk = dict[str, Any]

THOUGHT = "Two and three. "
ARGUMENTS = '{"a": 2, "b": 3}'
BASE = frozenset(
    {"model", "messages", "stream", "tools", "temperature", "top_p", "max_tokens", "stop", "response_format", "user"}
)
FIELDS: dict[str, frozenset[str]] = {
    "openrouter": BASE | {"reasoning", "usage"},
    "vllm": BASE | {"stream_options", "chat_template_kwargs", "reasoning_effort"},
    "sglang": BASE | {"stream_options", "chat_template_kwargs", "reasoning_effort"},
    "dashscope": BASE | {"stream_options", "enable_thinking", "reasoning_effort"},
    "cerebras": BASE | {"stream_options", "clear_thinking", "disable_reasoning"},
}
REPLAYED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "openrouter": lambda message: "".join(part["text"] for part in message.get("reasoning_details", ())),
    "vllm": lambda message: message.get("reasoning_content"),
    "sglang": lambda message: message.get("reasoning_content"),
    "dashscope": lambda message: message.get("reasoning_content"),
    "cerebras": lambda message: str(message.get("content")).partition("<think>")[2].partition("</think>")[0],
}


class LoopbackServer:
    """Answers every POST with what ``respond`` makes of its body."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.bodies.append(body)
                self.answer(*server.respond(body))

            def answer(self, status: int, kind: str, data: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._running = threaded(self._server)
        self._running.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, trace)

    def respond(self, body: dict[str, Any]) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        raise NotImplementedError


class RepliesServer(LoopbackServer):
    """Gives one reply after the other, the last one for ever: chunks of a stream, or status and error body."""

    def __init__(self, *replies: list[Chunk] | tuple[int, Any]) -> None:
        super().__init__()
        self._replies = list(replies)

    def respond(self, body: dict[str, Any]) -> tuple[int, str, bytes]:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, tuple):
            return reply[0], "application/json", json.dumps(reply[1]).encode()
        return 200, "text/event-stream", b"".join(frame(chunk) for chunk in reply) + b"data: [DONE]\n\n"


class HostServer(LoopbackServer):
    """One host."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    def respond(self, body: dict[str, Any]) -> tuple[int, str, bytes]:
        if fault := self.fault_of(body):
            return 400, "application/json", json.dumps({"error": {"message": fault, "code": 400}}).encode()
        return 200, "text/event-stream", b"".join(self.stream(body))

    def fault_of(self, body: dict[str, Any]) -> str:
        if foreign := body.keys() - FIELDS[self.host]:
            return f"unknown fields {sorted(foreign)}"
        said = [message for message in body["messages"] if message["role"] == "assistant"]
        if said and REPLAYED[self.host](said[-1]) != THOUGHT:
            return f"the thinking is missing: {said[-1]}"
        return ""

    def stream(self, body: dict[str, Any]) -> Iterator[bytes]:
        last = body["messages"][-1]
        chunks = ANSWERS[self.host](last["content"] if last["role"] == "tool" else "")
        if self.host == "openrouter":
            yield b": OPENROUTER PROCESSING\n\n"
        for chunk in chunks:
            yield frame(chunk)
        yield b"data: [DONE]\n\n"


def frame(chunk: Chunk) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps({"id": "gen-1", "object": "chat.completion.chunk", **chunk}).encode() + b"\n\n"


def choice(delta: Chunk, finish: str | None = None, **more: Any) -> Chunk:
    return {"model": "host/glm-4.6", "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def call(arguments: str, *, id: str | None = None, name: str | None = None) -> Chunk:
    entry: Chunk = {"index": 0, "function": {"arguments": arguments}}
    if id is not None:
        entry |= {"id": id, "type": "function"}
    if name is not None:
        entry["function"]["name"] = name
    return {"tool_calls": [entry]}


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ALONE: Chunk = {"model": "host/glm-4.6", "choices": [], "usage": USAGE}


def openrouter(result: str) -> Iterator[Chunk]:
    for piece in (THOUGHT[:4], THOUGHT[4:]):
        detail = {"type": "reasoning.text", "text": piece, "format": "unknown", "index": 0}
        yield choice({"role": "assistant", "content": "", "reasoning": piece, "reasoning_details": [detail]})
    if result:
        yield choice({"role": "assistant", "content": f"It is {result}."})
    else:
        yield choice({"role": "assistant", "content": None} | call("", id="call_1", name="add"))
        yield choice({"role": "assistant", "content": None} | call(ARGUMENTS))
    yield choice({"role": "assistant", "content": ""}, "stop" if result else "tool_calls", native_finish_reason="x")
    yield choice({"role": "assistant", "content": ""}) | {"usage": {**USAGE, "cost": 0.00001, "is_byok": False}}


def vllm(result: str) -> Iterator[Chunk]:
    yield choice({"role": "assistant", "content": ""})
    yield choice({"reasoning_content": THOUGHT, "reasoning": THOUGHT})
    if result:
        yield choice({"content": f"It is {result}."})
    else:
        yield choice(call("", id="chatcmpl-tool-1", name="add"))
        for piece in ('{"a": 2', ', "b"', ": 3}"):
            yield choice(call(piece))
    yield choice({}, "stop" if result else "tool_calls", stop_reason=None if result else 151338)
    yield ALONE


def sglang(result: str) -> Iterator[Chunk]:
    yield choice({"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None})
    yield choice({"reasoning_content": THOUGHT, "content": None, "tool_calls": None})
    if result:
        yield choice({"content": f"It is {result}.", "reasoning_content": None})
    else:
        yield choice(call("", id="call_a", name="add"))
        yield choice(call('{"a": 2, ', id="call_b"))
        yield choice(call('"b": 3}', id="call_c"))
    yield choice({"content": None}, "stop" if result else "tool_calls", matched_stop=151338)
    yield ALONE


def dashscope(result: str) -> Iterator[Chunk]:
    yield choice({"content": None, "reasoning_content": THOUGHT, "role": "assistant"})
    if result:
        yield choice({"content": f"It is {result}.", "reasoning_content": None})
    else:
        yield choice({"content": None} | call('{"a": ', id="call_d", name="add"))
        yield choice({"content": None} | call('2, "b": 3}', id="", name=""))
    yield choice({"content": ""}, "stop" if result else "tool_calls")
    yield ALONE


def cerebras(result: str) -> Iterator[Chunk]:
    yield choice({"role": "assistant"})
    yield choice({"reasoning": THOUGHT})
    if result:
        yield choice({"content": f"It is {result}."})
    else:
        yield choice(call(ARGUMENTS, id="9f2", name="add"))
    yield choice({}, "stop" if result else "tool_calls") | {"usage": USAGE, "time_info": {"total_time": 0.1}}


ANSWERS: dict[str, Callable[[str], Iterator[Chunk]]] = {
    "openrouter": openrouter,
    "vllm": vllm,
    "sglang": sglang,
    "dashscope": dashscope,
    "cerebras": cerebras,
}
