"""What goes wrong with an answer: a list of bytes to send becomes a list with a fault in it. No sockets here."""

from __future__ import annotations

import enum
import http
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from glm_agent.simulate.encode import DONE, Reply, frame, frames, to_bytes
from glm_agent.simulate.scenario_faults import Fault, RandomFaults

_EVENT_STREAM = "text/event-stream;charset=UTF-8"
_JSON = "application/json; charset=UTF-8"
_MEBIBYTE = 2**20


class End(enum.Enum):
    """How a response ends that does not end properly."""

    RESET = "reset"
    """The connection is reset."""
    CLOSE = "close"
    """The connection is closed."""
    HANG = "hang"
    """Nothing comes any more."""


Action = bytes | End


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What the server does with one request."""

    actions: Iterable[Action]
    status: int = 200
    content_type: str = _JSON
    headers: dict[str, str] = field(default_factory=dict[str, str])
    wait_seconds: float = 0.0
    """Before the first byte."""
    gap_seconds: float = 0.0
    """Before each piece."""


def chosen(faults: Sequence[Fault], *, attempt: int) -> Fault | None:
    """The fault of an attempt, counted from 0; None when all are over."""
    for fault in faults:
        if fault.times == "always" or attempt < fault.times:
            return fault
        attempt -= fault.times
    return None


def drawn(faults: RandomFaults, *, seed: str, attempt: int) -> Fault | None:
    """The fault that chance gives to this attempt: the same seed, the same fault."""
    if attempt >= faults.at_most:
        return None
    draw = random.Random(f"{seed}:{attempt}")
    return draw.choice(faults.faults) if draw.random() < faults.rate else None


def refusal(status: int, error: object) -> Response:
    """An error body, as the service words it."""
    return Response(status=status, actions=[to_bytes(error)])


def streamed(reply: Reply, fault: Fault | None) -> Response:
    """A stream, with the fault in it."""
    pace = reply.answer.pace
    gap = pace.chunk_seconds or (0.01 if fault and fault.drip else 0.0)
    actions = _spoiled(reply, fault) if fault else (*frames(reply), DONE)
    return Response(actions=actions, content_type=_EVENT_STREAM, wait_seconds=pace.think_seconds, gap_seconds=gap)


def whole(reply_body: bytes, reply: Reply, fault: Fault | None) -> Response:
    """A body in one piece, with the nearest thing to the fault in it."""
    actions = _spoiled_body(reply_body, fault) if fault else [reply_body]
    gap = reply.answer.pace.chunk_seconds or (0.01 if fault and fault.drip else 0.0)
    status = 500 if fault and fault.error_after is not None else 200
    return Response(status=status, actions=actions, wait_seconds=reply.answer.pace.think_seconds, gap_seconds=gap)


def instead(fault: Fault) -> Response | None:
    """The response that comes instead of an answer; None for a fault that happens within one."""
    headers = {**fault.headers, **({"retry-after": fault.retry_after} if fault.retry_after is not None else {})}
    if fault.disconnect:
        return Response(actions=[End.RESET])
    if fault.html is not None:
        title = f"{fault.html} {_PHRASES.get(fault.html, 'Error')}"
        head, page = f"<head><title>{title}</title></head>", f"<body>\n<center><h1>{title}</h1></center>\n</body>"
        page = f"<html>\n{head}\n{page}\n</html>\n"
        text = page if fault.body is None else fault.body
        return Response(status=fault.html, actions=[text.encode()], content_type="text/html", headers=headers)
    if fault.empty is not None:
        return Response(status=fault.empty, actions=[], headers=headers)
    if fault.status is not None:
        body = _error(fault) if fault.body is None else fault.body.encode()
        return Response(status=fault.status, actions=[body], headers=headers)
    return None


def _error(fault: Fault) -> bytes:
    code = fault.code or "500"
    message = fault.message or _MESSAGES.get(code, "Internal error, please try again later")
    return to_bytes({"error": {"code": code, "message": message}})


_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_MESSAGES = {
    "1000": "Authentication failed",
    "1113": "Your account is in arrears, please recharge and try again",
    "1261": "Prompt exceeds max length",
    "1301": "The system has detected potentially unsafe or sensitive content in input or generation",
    "1302": "High concurrency usage of this API, please reduce concurrency",
    "1305": "The API is currently overloaded, please try again later",
    "1308": "Usage limit reached for 5 hour. Your limit will reset at 2026-11-22 12:00:00",
    "1312": "The model is busy, please use another one or try again later",
}
"""Sentences for the codes that clients meet most. Source: error tables of docs.z.ai and recordings."""


def _spoiled(reply: Reply, fault: Fault) -> Iterator[Action]:
    """The frames of a stream with one fault."""
    proper = [*frames(reply), DONE]
    match fault.kind:
        case "cut_after" | "reset_after" | "stall_after":
            yield from _first(proper, getattr(fault, fault.kind))
            yield _ENDS[fault.kind]
        case "end_after":
            yield from _first(proper, fault.end_after)
        case "restart_after":
            yield from _restarted(proper, reply, fault.restart_after or 0)
        case "malformed_after":
            yield from _inserted(proper, fault.malformed_after, proper[0][: len(proper[0]) // 2] + b"\n\n")
        case "error_after":
            yield from (*_first(proper, fault.error_after), _error_frame(fault))
        case "duplicate_after":
            at = min(fault.duplicate_after or 1, len(proper) - 1)
            yield from _inserted(proper, at, proper[at - 1])
        case "huge_after":
            yield from _huge(proper, reply, fault)
        case "endless":
            yield from _endless(reply, is_line=fault.endless == "line")
        case "drip":
            yield from _dripped(b"".join(proper), fault.drip or 1)
        case "encoding":
            yield from _encoded(b"".join(proper), fault.encoding or "")
        case _:
            yield from proper


_ENDS = {"cut_after": End.CLOSE, "reset_after": End.RESET, "stall_after": End.HANG}


def _first(proper: list[bytes], count: int | None) -> list[bytes]:
    """So many frames, but never the last ones: they would make the stream complete."""
    return proper[: min(count or 0, len(proper) - 2)]


def _inserted(proper: list[bytes], at: int | None, extra: bytes) -> list[bytes]:
    place = min(at or 0, len(proper) - 1)
    return [*proper[:place], extra, *proper[place:]]


def _restarted(proper: list[bytes], reply: Reply, count: int) -> Iterator[bytes]:
    """A frame is cut in its middle and directly followed by a new generation.

    Source: recorded on z.ai with glm-5.1 (GLM-5#66, 2026-04).
    """
    first = _first(proper, count)
    yield from first
    broken = proper[len(first)]
    yield broken[: len(broken) // 2]
    yield from frames(reply.again())
    yield DONE


def _error_frame(fault: Fault) -> bytes:
    error = _error(fault)
    if fault.form == "bare":
        return error + b"\n\n"
    return (b"event: error\n" if fault.form == "event" else b"") + b"data: " + error + b"\n\n"


def _huge(proper: list[bytes], reply: Reply, fault: Fault) -> Iterator[bytes]:
    at = min(fault.huge_after or 0, len(proper) - 2)
    yield from proper[:at]
    head, tail = _around_text(reply)
    left = max(fault.bytes - len(head) - len(tail), 0)
    yield head
    while left:
        yield b"x" * min(left, _MEBIBYTE)
        left -= min(left, _MEBIBYTE)
    yield tail
    yield from proper[at:]


def _endless(reply: Reply, *, is_line: bool) -> Iterator[bytes]:
    head, tail = _around_text(reply)
    if is_line:
        yield head
    yield from itertools.repeat(b"x" * 65_536 if is_line else head + b" and so on" + tail)


def _around_text(reply: Reply) -> tuple[bytes, bytes]:
    """A text chunk, before and after its text."""
    delta = {"role": "assistant", "content": "\0"}
    chunk = frame(
        {"id": reply.id, "created": reply.created, "model": reply.model, "choices": [{"index": 0, "delta": delta}]}
    )
    head, _, tail = chunk.partition(b"\\u0000")
    return head, tail


def _dripped(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


def _encoded(data: bytes, encoding: str) -> Iterator[bytes]:
    match encoding:
        case "bom":
            yield b"\xef\xbb\xbf" + data
        case "crlf":
            yield data.replace(b"\n", b"\r\n")
        case "invalid":
            yield data.replace(b'"content":"', b'"content":"\xff\xfe', 1)
        case _:
            yield from _dripped(data, 1)


def _spoiled_body(body: bytes, fault: Fault) -> Iterator[Action]:
    """One body with a fault: what a stream does between chunks happens in its middle."""
    half = body[: len(body) // 2]
    match fault.kind:
        case "cut_after" | "restart_after" | "reset_after":
            yield half
            yield _ENDS.get(fault.kind, End.CLOSE)
        case "end_after" | "malformed_after":
            yield half
        case "stall_after":
            yield End.HANG
        case "error_after":
            yield _error(fault)
        case "huge_after":
            yield from (body, *(b" " * _MEBIBYTE for _ in range(fault.bytes // _MEBIBYTE)))
        case "endless":
            yield from itertools.chain([half], itertools.repeat(b" " * 65_536))
        case "drip":
            yield from _dripped(body, fault.drip or 1)
        case "encoding":
            yield from _encoded(body, fault.encoding or "")
        case _:
            yield body
