"""A GLM server for measuring: answers from memory, costs the client's core nothing.

The model's name is the script, the last tool result in the request tells how far it got:

    loop-50         50 tool calls, one a step, then "done"
    parallel-20     20 calls of 50 ms in one response, then "done"
    early-5         5 calls that take 500, 400 … 100 ms, sent 100 ms apart, then "done"
    text-5000       5,000 fragments of text
    arguments-2000  one call whose arguments come in 2,000 fragments, then "done"

Options behind dots: ``.l200`` thinks 200 ms before each answer, ``.d5`` waits 5 ms between fragments,
``.tNAME`` calls the tool NAME.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import signal
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

MODEL = re.compile(rb'"model"\s*:\s*"([^"]+)"')
LAST_RESULT = b'"tool_call_id":"call_'
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%b"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64},
}


@dataclass(frozen=True)
class Script:
    """A model's name, read."""

    kind: str
    size: int
    tool: str = "get_item"
    think_seconds: float = 0.0
    gap_seconds: float = 0.0

    @staticmethod
    @cache
    def read(name: bytes) -> Script:
        base, *options = name.decode().rsplit("/", 1)[-1].split(".")
        kind, _, size = base.partition("-")
        given = {option[0]: option[1:] for option in options}
        return Script(
            kind=kind,
            size=int(size or 1),
            tool=given.get("t", "get_item"),
            think_seconds=float(given.get("l", 0)) / 1000,
            gap_seconds=float(given.get("d", 100 if kind == "early" else 0)) / 1000,
        )


def calls(script: Script, step: int) -> list[tuple[str, dict[str, Any]]]:
    """Name and arguments of the calls of one step; none: the answer is in words."""
    match script.kind:
        case "loop" if step < script.size:
            return [(script.tool, arguments(script.tool, step))]
        case "parallel" if step == 0:
            return [("sleep_ms", {"ms": 50, "tag": place}) for place in range(script.size)]
        case "early" if step == 0:
            return [("sleep_ms", {"ms": 100 * (script.size - place), "tag": place}) for place in range(script.size)]
        case "arguments" if step == 0:
            return [("save_text", {"text": "".join(words(script.size))})]
        case _:
            return []


def arguments(tool: str, step: int) -> dict[str, Any]:
    match tool.rpartition("__")[2]:
        case "get_item":
            return {"item_id": step, "note": f"turn {step}"}
        case "stock":
            return {"sku": f"A-{step}"}
        case "fetch_page":
            return {"page": step}
        case "echo":
            return {"text": f"hello {step}"}
        case "call_tool":
            return {"name": "echo__echo", "arguments": {"text": f"hello {step}"}}
        case _:
            return {"query": f"query {step}", "limit": 5}


def words(count: int) -> list[str]:
    return [f"tok{place} " for place in range(count)]


def entries(script: Script, step: int) -> list[dict[str, Any]]:
    return [
        {
            "index": place,
            "id": f"call_{step}_{place}",
            "type": "function",
            "function": {"name": name, "arguments": compact(given).decode()},
        }
        for place, (name, given) in enumerate(calls(script, step))
    ]


@cache
def whole(script: Script, step: int) -> bytes:
    """The answer in one piece."""
    asked = entries(script, step)
    text = "".join(words(script.size)) if script.kind == "text" else "done"
    message = {"role": "assistant", "content": None if asked else text} | ({"tool_calls": asked} if asked else {})
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if asked else "stop"}
    body = compact({**identity(script, step, "chat.completion"), "choices": [choice], "usage": USAGE})
    return JSON_HEAD % (len(body), body)


@cache
def pieces(script: Script, step: int) -> list[bytes]:
    """The answer as a stream, one piece a fragment; what opens it comes with the first, what ends it alone."""
    asked = entries(script, step)
    head = identity(script, step, "chat.completion.chunk")

    def fragment(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return framed(compact({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))

    first = fragment({"role": "assistant", "content": ""})
    last = fragment({}, "tool_calls" if asked else "stop")
    end = framed(compact({**head, "choices": [], "usage": USAGE})) + framed(b"[DONE]") + b"0\r\n\r\n"
    opening, *more = (fragment(delta) for delta in deltas(script, asked))
    return [STREAM_HEAD + first + opening, *more, last + end]


def deltas(script: Script, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if script.kind == "text":
        return [{"content": word} for word in words(script.size)]
    if script.kind == "arguments" and asked:
        (call,) = asked
        opening = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        texts = ['{"text":"', *words(script.size), '"}']
        more = [{"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in texts]
        return [{"tool_calls": [opening]}, *more]
    return [{"tool_calls": [entry]} for entry in asked] or [{"content": "done"}]


def identity(script: Script, step: int, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{step}", "object": kind, "created": 1760000000, "model": script.kind}


def framed(data: bytes) -> bytes:
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Connection(asyncio.Protocol):
    """One client: requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.loop = asyncio.get_running_loop()
        self.received: list[bytes] = []
        self.size = self.expected = 0
        self.playing: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self.playing is not None:
            self.playing.cancel()

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        self.size += len(data)
        if not self.expected:
            self.expected = request_size(b"".join(self.received))
        if self.expected and self.size >= self.expected:
            request = b"".join(self.received)
            self.received, self.size, self.expected = [], 0, 0
            self.answer(request)

    def answer(self, request: bytes) -> None:
        name = MODEL.search(request)
        assert name is not None
        script, step = Script.read(name[1]), steps_done(request)
        if b'"stream":true' not in request:
            self.later(script, whole(script, step))
        elif not script.gap_seconds and script.kind != "text" and len(pieces(script, step)) < 50:
            self.later(script, joined(script, step))
        else:
            self.playing = self.loop.create_task(self.play(script, pieces(script, step)))

    def later(self, script: Script, answer: bytes) -> None:
        if script.think_seconds:
            self.loop.call_later(script.think_seconds, self.transport.write, answer)
        else:
            self.transport.write(answer)

    async def play(self, script: Script, answer: list[bytes]) -> None:
        await asyncio.sleep(script.think_seconds)
        due = self.loop.time()
        first, *more, end = answer
        self.transport.write(first)
        for piece in more:
            due += script.gap_seconds
            await asyncio.sleep(max(0.0, due - self.loop.time()))
            self.transport.write(piece)
        self.transport.write(end)


@cache
def joined(script: Script, step: int) -> bytes:
    return b"".join(pieces(script, step))


def request_size(data: bytes) -> int:
    """Length of the whole request; 0 while its head is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = data[:end].lower()
    at = head.find(b"content-length:")
    return end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)


def steps_done(request: bytes) -> int:
    """Steps whose results the request holds: the last result's id carries the number of its step."""
    at = request.rfind(LAST_RESULT)
    return 0 if at < 0 else int(request[at + len(LAST_RESULT) : at + len(LAST_RESULT) + 20].split(b"_", 1)[0]) + 1


async def serve() -> None:
    """Serve until standard input ends; the first line of output is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    stopped = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, stopped.cancel)
    loop.add_reader(sys.stdin, stopped.cancel)
    await asyncio.wait([stopped])
    server.close()


if __name__ == "__main__":
    gc.freeze()
    asyncio.run(serve())
